"""What every unit test finds as it was: commands and processes that run inside a test set up logging."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, configured = list(root.handlers), root.level, structlog.is_configured()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    if not configured and structlog.is_configured():
        structlog.reset_defaults()
