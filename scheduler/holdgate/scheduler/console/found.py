"""What the output gate found in an output, for a page: kinds, places and fingerprints, never a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from holdgate.scheduler.words.views import seen_through

SHOWN_MAX = 200


@dataclass(frozen=True, slots=True)
class Findings:
    """Those that a page carries; `left_out` more were counted."""

    items: tuple[dict[str, Any], ...]
    left_out: int


def found_in(verdict: Mapping[str, Any]) -> Findings:
    """The findings of a verdict, each with the views that it was `seen` through."""
    findings = verdict.get("findings") or []
    shown = tuple({**each, "seen": seen_through(str(each.get("via") or ""))} for each in findings[:SHOWN_MAX])
    total = max(int(verdict.get("findings_total") or 0), len(findings))
    return Findings(shown, total - len(shown))
