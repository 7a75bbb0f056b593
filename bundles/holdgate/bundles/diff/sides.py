"""One of the two sets that are compared: its rules, where they reach, and whether they see to a duty everywhere.

In a bundle that combines by deny-overrides a rule counts wherever it matches. In one that combines by
`first-applicable` it counts only where none before it does, so that its rules are looked at in their order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from holdgate.bundles.diff.areas import Reach, reach_of
from holdgate.kernel.ids import Digest
from holdgate.kernel.match import Match
from holdgate.kernel.policy import Policy, compile_policy
from holdgate.kernel.records import ALLOWING, Verdict
from holdgate.kernel.rules import BundleRules, Combining, Rule

SNAPSHOT = Digest("sha256:" + "0" * 64)
"""Stands for the snapshots of policies that are only compared."""
LIFTING = ALLOWING | {Verdict.REQUIRE_APPROVAL}
"""Decisions by which a job that no other rule speaks of may run, at once or once released."""
COMPARISONS_MAX = 400_000
"""Pairs of rules that are looked at; a duty that is left over then counts as not seen to."""
Content: TypeAlias = tuple[Any, ...]
Good: TypeAlias = Callable[[Rule], bool]


@dataclass(slots=True)
class Budget:
    """How many pairs of rules may still be compared."""

    left: int = COMPARISONS_MAX

    def spend(self) -> bool:
        """Whether there was one left."""
        self.left -= 1
        return self.left >= 0


@dataclass(frozen=True, slots=True)
class Placed:
    """A rule in its bundle. `before`: those that come first, in a bundle that counts only the first."""

    reach: Reach
    content: Content
    before: tuple[Reach, ...] = ()

    @property
    def rule(self) -> Rule:
        """The rule itself."""
        return self.reach.rule

    def narrowed(self, reach: Reach) -> Placed:
        """The same for a part of its reach."""
        return replace(self, reach=reach)


@dataclass(frozen=True, slots=True)
class Side:
    """A set of bundles. `ordered`: those that combine by `first-applicable`; the rules of all others are `free`."""

    free: tuple[Placed, ...]
    ordered: Mapping[str, tuple[Placed, ...]]
    rules: Mapping[str, Rule]
    policy: Policy
    default: Verdict

    @property
    def placed(self) -> tuple[Placed, ...]:
        """All rules."""
        return (*self.free, *(item for items in self.ordered.values() for item in items))

    def sees_to(self, inner: Placed, is_good: Good, budget: Budget, *, by_one: bool = False) -> bool:
        """Whether for every job of `inner` some rule counts that `is_good`; `by_one`: the same rule for all of them."""
        if by_one:
            return self._sees_to(inner, is_good, budget, by_one=True)
        if self._sees_to(inner, is_good, budget):
            return True
        reach = inner.reach
        for parts in reach.area.parts():
            narrow = (inner.narrowed(replace(reach, area=part)) for part in parts)
            if all(self._sees_to(part, is_good, budget) for part in narrow):
                return True
        return False

    def cannot_lift(self, inner: Placed, budget: Budget) -> bool:
        """Whether every job of `inner` is denied since no rule here could allow or hold it."""
        if self.default in LIFTING:
            return False
        return all(
            item.rule.decision not in LIFTING or (budget.spend() and item.reach.is_apart_from(inner.reach))
            for item in self.placed
        )

    def _sees_to(self, inner: Placed, is_good: Good, budget: Budget, *, by_one: bool = False) -> bool:
        for item in self.free:
            if is_good(item.rule) and budget.spend() and item.reach.covers(inner.reach):
                return True
        return any(_first_sees_to(items, inner, is_good, budget, by_one=by_one) for items in self.ordered.values())


def _first_sees_to(items: Sequence[Placed], inner: Placed, is_good: Good, budget: Budget, *, by_one: bool) -> bool:
    """The same where only the first that matches counts: none that is not good may come first for a job of `inner`."""
    for item in items:
        good = is_good(item.rule)
        if not budget.spend():
            return False
        if good and item.reach.covers(inner.reach):
            return True
        passes = good and (not by_one or item.rule.decision is Verdict.DENY)
        if passes or item.reach.is_apart_from(inner.reach):
            continue
        if not any(hidden.covers(item.reach) for hidden in inner.before):
            return False
    return False


def side_of(bundles: Sequence[BundleRules], default: Verdict) -> Side:
    """The side of a set of bundles; PolicyInvalid where an id is taken twice."""
    policy = compile_policy(bundles, snapshot=SNAPSHOT, default=default)
    free: list[Placed] = []
    ordered: dict[str, tuple[Placed, ...]] = {}
    for bundle in bundles:
        reaches = [reach_of(rule) for rule in bundle.rules]
        if bundle.combining is Combining.FIRST_APPLICABLE:
            ordered[bundle.name] = tuple(
                Placed(reach, content_of(reach.rule), tuple(reaches[:place])) for place, reach in enumerate(reaches)
            )
        else:
            free.extend(Placed(reach, content_of(reach.rule)) for reach in reaches)
    rules = {rule.id: rule for rule in policy.rules}
    return Side(tuple(free), ordered, rules, policy, default)


def content_of(rule: Rule) -> Content:
    """What a rule does, without its name and its words: two rules of the same content do the same."""
    return (
        rule.decision,
        _match_content(rule.match),
        None if rule.unless is None else _match_content(rule.unless),
        None if rule.when is None else rule.when.source,
        rule.constraints,
        None if rule.approval is None else replace(rule.approval, rule="", reason=""),
        rule.throttle,
    )


def _match_content(match: Match) -> Content:
    lists = (frozenset(match.topics), frozenset(match.labels), frozenset(match.mcp))
    return (replace(match, topics=(), labels=(), mcp=()), *lists)
