"""One pure function decides: for submit, dispatch, simulate and explain (stub)."""

from __future__ import annotations

from holdgate.kernel.ids import Digest
from holdgate.kernel.policy import Policy, cache_key, compile_policy
from holdgate.kernel.records import Decision, Job, Phase

__all__ = ["cache_key", "compile_policy", "evaluate"]


def evaluate(
    policy: Policy, job: Job, *, now_ms: int, phase: Phase, trace: bool = False, job_hash: Digest | None = None
) -> Decision:
    """The decision about `job` at `now_ms`. `job_hash` is computed when it is not given."""
    raise NotImplementedError
