"""What an approver is told beyond the approval itself: whether they may vote, how soon, and what was before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from holdgate.scheduler.gates.approval.stale import Change
from holdgate.scheduler.state.approvals import PastRound


@dataclass(frozen=True, slots=True)
class Look:
    """`refused_for` is the code of what a vote would be refused for now, None where it would count.

    `glass_refused_for`: the same of a vote that breaks the glass.
    `reading_left_ms`: until an approval is not too soon. `to_sign`: what a vote of one's own key must say.
    """

    refused_for: str | None = None
    glass_refused_for: str | None = None
    reading_left_ms: int = 0
    past: PastRound | None = None
    changes: tuple[Change, ...] = ()
    can_reconfirm: bool = False
    to_sign: dict[str, Any] | None = None
