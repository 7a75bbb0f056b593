"""The active policy: the rules of all active bundles, indexed, under one snapshot.

What always holds: a policy is made whole or not at all; rule ids are unique over all bundles; nothing in it changes
after it was made. No IO.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from holdgate.kernel.ids import Digest
from holdgate.kernel.records import Job, Verdict
from holdgate.kernel.ruleform import parse_rules
from holdgate.kernel.rules import BundleRules, Combining, OutputRule, OutputVerdict, Rule

__all__ = [
    "BundleRules",
    "Combining",
    "OutputRule",
    "OutputVerdict",
    "Policy",
    "Rule",
    "cache_key",
    "compile_policy",
    "parse_rules",
    "snapshot_of",
]


@dataclass(frozen=True, slots=True)
class Policy:
    """What `evaluate` and `decide_output` decide by. `reads`: the fields of a job that some rule looks at."""

    snapshot: Digest
    default: Verdict
    rules: tuple[Rule, ...]
    output_rules: tuple[OutputRule, ...]
    reads: frozenset[str]


def compile_policy(bundles: Sequence[BundleRules], *, snapshot: Digest, default: Verdict = Verdict.DENY) -> Policy:
    """The policy of `bundles`; PolicyInvalid when a rule id is taken twice or there are too many rules."""
    raise NotImplementedError


def snapshot_of(bundle_digests: Iterable[str], root_version: int, combining: str = Combining.DENY_OVERRIDES) -> Digest:
    """The name of a policy: a digest over the sorted digests of the active bundles, the root's version, combining."""
    raise NotImplementedError


def cache_key(policy: Policy, job: Job) -> tuple[Any, ...]:
    """Equal for two jobs only if every loaded rule sees the same in both; hashable."""
    raise NotImplementedError
