"""Jobs of every kind, as data: what is submitted, and what the load does with it later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

LARGE_CHARS = 300_000
"""Above what travels inline."""


class After(StrEnum):
    """What the load does with such a job once it is in."""

    NOTHING = "nothing"
    CANCEL = "cancel"
    RESUBMIT = "resubmit"
    """The same key and body again."""
    CONFLICT = "conflict"
    """The same key with another body."""
    LISTEN = "listen"


@dataclass(frozen=True, slots=True)
class JobKind:
    """One kind. `weight`: how often, beside the others. `run_in_s`, `deadline_in_s`: from now."""

    name: str
    weight: int
    topic: str = "job.torture.read.echo"
    payload: Mapping[str, Any] = field(default_factory=dict)
    filler_chars: int = 0
    run_in_s: float | None = None
    deadline_in_s: float | None = None
    max_attempts: int | None = None
    concurrency_key: str | None = None
    after: After = After.NOTHING


KINDS: tuple[JobKind, ...] = (
    JobKind("allowed", 20),
    JobKind("listened", 3, payload={"run": "slow", "seconds": 0.5}, after=After.LISTEN),
    JobKind("denied", 5, "job.torture.denied"),
    JobKind("held", 10, "job.torture.held"),
    JobKind("held-for-two", 4, "job.torture.held-for-two"),
    JobKind("held-and-cancelled", 2, "job.torture.held", after=After.CANCEL),
    JobKind("held-and-retried", 2, "job.torture.held", {"run": "flaky"}, max_attempts=2),
    JobKind("held-and-delayed", 2, "job.torture.held", run_in_s=2.0),
    JobKind("constrained", 5, "job.torture.bounded"),
    JobKind("overlong", 2, "job.torture.bounded", {"run": "slow", "seconds": 6.0}),
    JobKind("throttled", 5, "job.torture.throttled"),
    JobKind("delayed", 4, run_in_s=3.0),
    JobKind("delayed-and-cancelled", 2, run_in_s=4.0, after=After.CANCEL),
    JobKind("cancelled", 4, payload={"run": "slow", "seconds": 2.0}, after=After.CANCEL),
    JobKind("deadline", 2, "job.torture.held", deadline_in_s=2.0),
    JobKind("sent-again", 4, after=After.RESUBMIT),
    JobKind("sent-otherwise", 1, after=After.CONFLICT),
    JobKind("retried", 4, payload={"run": "flaky"}, max_attempts=3),
    JobKind("failing", 2, payload={"run": "fail"}, max_attempts=2),
    JobKind("one-at-once", 3, payload={"run": "slow", "seconds": 0.2}, concurrency_key="one"),
    JobKind("redacted", 4, payload={"run": "leak"}),
    JobKind("quarantined", 2, payload={"run": "planted-key"}),
    JobKind("released", 2, payload={"run": "key"}),
    JobKind("large", 1, filler_chars=LARGE_CHARS),
    JobKind("large-output", 1, payload={"run": "large"}),
)
WEIGHTS = tuple(kind.weight for kind in KINDS)
