"""The one parser of rules documents (stub)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdgate.kernel.rules import BundleRules


def parse_rules(data: Mapping[str, Any], bundle: str) -> BundleRules:
    """The rules of a document; PolicyInvalid with every problem found."""
    raise NotImplementedError
