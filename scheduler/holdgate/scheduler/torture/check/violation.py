"""What a checker says when something does not hold."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that does not hold. `rule` is stable; `invariant` the number in the design (section 13); `evidence` the
    events in question, in order, for a person to follow."""

    rule: str
    invariant: int
    message: str
    job_id: str = ""
    tenant: str = ""
    evidence: tuple[str, ...] = ()

    def __str__(self) -> str:
        head = f"{self.rule} (invariant {self.invariant}): {self.message}"
        return "\n    ".join((head, *self.evidence))
