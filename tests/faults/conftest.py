"""Fixtures of tests that break something."""

from __future__ import annotations

from random import Random

import pytest

RNG_SEED = 1


@pytest.fixture
def rng() -> Random:
    """What a fault draws from."""
    return Random(RNG_SEED)
