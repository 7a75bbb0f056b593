"""One of the two sets that are compared: its rules, where they reach, and whether they see to a duty everywhere.

In a bundle that combines by deny-overrides a rule counts wherever it matches. In one that combines by
`first-applicable` it counts only where none before it does, so that its rules are looked at in their order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from holdgate.bundles.diff.areas import Reach, price, reach_of
from holdgate.kernel.ids import Digest
from holdgate.kernel.match import Match
from holdgate.kernel.policy import Policy, compile_policy
from holdgate.kernel.records import ALLOWING, Severity, Verdict
from holdgate.kernel.rules import BundleRules, Combining, Rule

SNAPSHOT = Digest("sha256:" + "0" * 64)
"""Stands for the snapshots of policies that are only compared."""
LIFTING = ALLOWING | {Verdict.REQUIRE_APPROVAL}
"""Decisions by which a job that no other rule speaks of may run, at once or once released."""
COMPARISONS_MAX = 400_000
"""Pairs of rules that are looked at, in one comparison; a duty that is left over then counts as not seen to."""
_OF_THE_RULE: dict[str, Any] = {"rule": "", "reason": "", "definition": "", "excluded": (), "severity": Severity.MEDIUM}
"""What of a demand says whose it is, and for whom; it changes nothing of who releases a job, and how."""
Content: TypeAlias = tuple[Any, ...]
Good: TypeAlias = Callable[[Rule], bool]


@dataclass(slots=True)
class Budget:
    """How much may still be done. What it does not reach counts as not shown."""

    left: int

    def spend(self, cost: int = 1) -> bool:
        """Whether there was as much left."""
        self.left -= cost
        return self.left >= 0

    def covers(self, outer: Reach, inner: Reach) -> bool:
        """`outer.covers(inner)`, while there is something left."""
        return self.spend(price(outer.area, inner.area)) and outer.covers(inner)


@dataclass(frozen=True, slots=True)
class Placed:
    """A rule in its bundle. `kind` is a number for its content: the same on both sides.

    In a bundle that counts only the first that matches, `place` is the rule's, and `order` the bundle.
    """

    reach: Reach
    kind: int
    place: int = 0
    order: Order | None = None

    @property
    def rule(self) -> Rule:
        """The rule itself."""
        return self.reach.rule

    def narrowed(self, reach: Reach) -> Placed:
        """The same for a part of its reach."""
        return replace(self, reach=reach)

    def is_never_met_by(self, other: Placed, budget: Budget) -> bool:
        """Whether for no job both this rule counts and the `other`, of another set, matches."""
        order = self.order
        if order is not None and order.first.get(other.kind, self.place) < self.place:
            return True  # the same rule comes before this one in its own bundle
        if not budget.spend(price(self.reach.area, other.reach.area)):
            return False
        if other.reach.is_apart_from(self.reach):
            return True
        before = () if order is None else order.reaches[: self.place]
        return any(budget.covers(reach, other.reach) for reach in before)


@dataclass(frozen=True, slots=True)
class Order:
    """The rules of a first-applicable bundle. `first`: the place at which a content stands first, by its number."""

    reaches: tuple[Reach, ...]
    first: Mapping[int, int]


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
        return all(item.rule.decision not in LIFTING or inner.is_never_met_by(item, budget) for item in self.placed)

    def _sees_to(self, inner: Placed, is_good: Good, budget: Budget, *, by_one: bool = False) -> bool:
        for item in self.free:
            if is_good(item.rule) and budget.covers(item.reach, inner.reach):
                return True
        return any(_first_sees_to(items, inner, is_good, budget, by_one=by_one) for items in self.ordered.values())


def _first_sees_to(items: Sequence[Placed], inner: Placed, is_good: Good, budget: Budget, *, by_one: bool) -> bool:
    """The same where only the first that matches counts: none that is not good may come first for a job of `inner`."""
    for item in items:
        good = is_good(item.rule)
        if good and budget.covers(item.reach, inner.reach):
            return True
        passes = good and (not by_one or item.rule.decision is Verdict.DENY)
        if not passes and not inner.is_never_met_by(item, budget):
            return False
    return False


def side_of(bundles: Sequence[BundleRules], default: Verdict, kinds: dict[Content, int]) -> Side:
    """The side of a set of bundles; PolicyInvalid where an id is taken twice. `kinds` numbers contents, and grows."""
    policy = compile_policy(bundles, snapshot=SNAPSHOT, default=default)
    free: list[Placed] = []
    ordered: dict[str, tuple[Placed, ...]] = {}
    for bundle in bundles:
        reaches = tuple(reach_of(rule) for rule in bundle.rules)
        numbers = [kinds.setdefault(content_of(rule), len(kinds)) for rule in bundle.rules]
        if bundle.combining is Combining.FIRST_APPLICABLE:
            order = Order(reaches, {kind: place for place, kind in reversed(list(enumerate(numbers)))})
            ordered[bundle.name] = tuple(
                Placed(reach, numbers[place], place, order) for place, reach in enumerate(reaches)
            )
        else:
            free.extend(map(Placed, reaches, numbers))
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
        None if rule.approval is None else replace(rule.approval, **_OF_THE_RULE),
        rule.throttle,
    )


def _match_content(match: Match) -> Content:
    lists = (frozenset(match.topics), frozenset(match.labels), frozenset(match.mcp))
    return (replace(match, topics=(), labels=(), mcp=()), *lists)
