"""What a held job still misses beside ordinary votes, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def or_glass(done: Mapping[str, Any]) -> str:
    """To be added to how many votes are missing: who broke the glass is counted apart. Empty where nobody did."""
    glass, wanted = done.get("glass_votes"), done.get("glass_votes_needed")
    return f", or {wanted - glass} more to break the glass ({glass} of {wanted} did)" if glass and wanted else ""
