"""What stands in place of a bundle that was in force and does not hold any more. No IO."""

from __future__ import annotations

from holdgate.bundles.reach import EVERYWHERE, RESERVED_ID
from holdgate.bundles.root import Scope
from holdgate.kernel.canonical import digest
from holdgate.kernel.dataclass import DataClass
from holdgate.kernel.ids import Digest
from holdgate.kernel.match import Match
from holdgate.kernel.records import Verdict
from holdgate.kernel.rules import BundleRules, Combining, OutputRule, OutputVerdict, Rule
from holdgate.kernel.topics import REST

DROPPED_ID = f"{RESERVED_ID}dropped."
MISSING = "bundle_missing"
"""Why a bundle is dropped that is simply not there."""
ENDED = "bundle_expired"
"""Why a bundle is dropped whose grace is over."""


def digest_of_dropped(name: str, scope: Scope | None) -> Digest:
    """Names it in a snapshot; the reason is no part of it, so that kernels that dropped it for different ones agree."""
    return digest({"dropped": name, "scope": None if scope is None else scope.model_dump(mode="json")})


def closing_rules(name: str, scope: Scope | None) -> BundleRules:
    """What stands for a dropped bundle: everything in its scope is denied; all is its scope where that is not known.

    All output is quarantined there: what its rules, its detectors and its classes of destinations would have kept back
    cannot be told from the rest.
    """
    closed = EVERYWHERE if scope is None else scope
    tenants = frozenset(() if "*" in closed.tenants else closed.tenants)
    topics = () if REST in closed.topics else tuple(closed.topics)
    reason = f"bundle `{name}` does not hold any more; its whole scope is closed until it is published again"
    return BundleRules(
        name=name,
        combining=Combining.DENY_OVERRIDES,
        rules=(
            Rule(
                id=f"{DROPPED_ID}{name}",
                bundle=name,
                decision=Verdict.DENY,
                reason=reason,
                match=Match(tenants=tenants, topics=topics).with_checks(),
            ),
        ),
        output_rules=(
            OutputRule(
                id=f"{DROPPED_ID}{name}.output",
                bundle=name,
                verdict=OutputVerdict.QUARANTINE,
                reason=reason,
                tenants=tenants,
                topics=topics,
                data_classes=frozenset(DataClass),
            ),
        ),
    )
