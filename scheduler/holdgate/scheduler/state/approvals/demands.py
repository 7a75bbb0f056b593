"""What the requirements of a held job demand together, beside the quorum that `kernel.standing` counts. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from holdgate.kernel.records import ApprovalRequirement, Severity

_SEVERITIES = tuple(Severity)
OVER_A_LIMIT = "over the rate limit of this rule"
"""Why a job is held whose rule says nothing of it."""


def severity_of(requirements: Sequence[ApprovalRequirement]) -> Severity:
    """The gravest."""
    return max((item.severity for item in requirements), key=_SEVERITIES.index, default=Severity.MEDIUM)


def rules_of(requirements: Sequence[ApprovalRequirement]) -> tuple[str, ...]:
    """Ids of the rules that hold the job, the gravest first."""
    return tuple(dict.fromkeys(item.rule for item in _gravest_first(requirements)))


def reason_of(requirements: Sequence[ApprovalRequirement]) -> str:
    """Why the gravest of the rules holds the job, and how many more there are."""
    reason = next((item.reason for item in _gravest_first(requirements) if item.reason), OVER_A_LIMIT)
    more = len({item.rule for item in requirements}) - 1
    return f"{reason}, and {more} more rule{'s' if more > 1 else ''}" if more > 0 else reason


def _gravest_first(requirements: Sequence[ApprovalRequirement]) -> list[ApprovalRequirement]:
    return sorted(requirements, key=lambda item: _SEVERITIES.index(item.severity), reverse=True)


def reading_s_of(requirements: Sequence[ApprovalRequirement]) -> int:
    """How long an approver must have had the job before them: the longest that a rule asks for."""
    return max((item.reading_s for item in requirements), default=0)


def confirm_of(requirements: Sequence[ApprovalRequirement]) -> str:
    """The text to type, '' for none; where several rules want one, all of them, in order, a space between."""
    return " ".join(dict.fromkeys(item.confirm for item in requirements if item.confirm))


def escalates_ms(requirements: Sequence[ApprovalRequirement], held_ms: int) -> int | None:
    """When the first of them escalates, of a job held since `held_ms`; None for never."""
    after_s = [item.escalate_after_s for item in requirements if item.escalate_after_s is not None]
    return held_ms + min(after_s) * 1000 if after_s else None
