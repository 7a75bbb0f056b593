"""Where a kernel puts live decisions that a candidate is to be compared with; `holdgate.bundles` does the comparing.

What always holds: nothing that comes of it reaches an answer; a decision that nobody has time for is dropped.
"""

from __future__ import annotations

from typing import Protocol

from holdgate.kernel.records import Decision, Job


class Shadow(Protocol):
    """Looks on. The kernel's service never waits for it and goes on without it."""

    def offer(self, job: Job, decision: Decision) -> None:
        """Take note of a decision that was made, in constant time, or drop and count it. Called for each one."""
        ...

    def status(self) -> list[dict[str, object]]:
        """What is shadowed, counts and samples. Plain values, without payload and prompt."""
        ...
