"""A rule in its place: with the region of its match, and what its `when` comes down to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from holdgate.bundles.lint.expressions import Node, constant_answer, tree_of
from holdgate.bundles.lint.regions import Region, region_of
from holdgate.kernel.conditions import Condition
from holdgate.kernel.records import ALLOWING
from holdgate.kernel.rules import BundleRules, Combining, Rule


@dataclass(frozen=True, slots=True)
class Placed:
    """`region` is that of `match`, `excepted` that of `not`. `when`: None, too, where it is true of every job."""

    rule: Rule
    position: int
    first_only: bool
    """Its bundle combines by `first-applicable`."""
    region: Region
    excepted: Region | None
    when: Condition | None
    tree: Node | None
    """Of the `when` that was written, whatever it comes down to."""

    @property
    def allows(self) -> bool:
        """An allowing rule: one whose `when` does not count where it fails."""
        return self.rule.decision in ALLOWING

    def at(self, pattern: str) -> Region:
        """The part of its region under one of its topics."""
        return self.region.at({pattern})

    def counts_in(self, region: Region, others: Sequence[Placed]) -> bool:
        """Whether, where it matches in `region`, certainly no earlier rule of its bundle makes it void.

        `others` are the rules of its bundle.
        """
        if not self.first_only:
            return True
        return all(other.position >= self.position or other.region.is_apart(region) for other in others)


def placed(bundle: BundleRules) -> list[Placed]:
    """The rules of a bundle in their places."""
    first_only = bundle.combining is Combining.FIRST_APPLICABLE
    return [_placed(rule, position, first_only=first_only) for position, rule in enumerate(bundle.rules)]


def holds_wherever(outer: Placed, inner: Placed, region: Region) -> bool:
    """Whether `outer` certainly matches every job of `region` that `inner` matches; `region` is a part of inner's."""
    return (
        region.is_within(outer.region)
        and _not_excepted(outer, inner, region)
        and (outer.when is None or _same_condition(outer, inner))
    )


def _placed(rule: Rule, position: int, *, first_only: bool) -> Placed:
    answer = None if rule.when is None else constant_answer(rule.when)
    always = answer is True or (isinstance(answer, str) and rule.decision not in ALLOWING)
    return Placed(
        rule=rule,
        position=position,
        first_only=first_only,
        region=region_of(rule.match),
        excepted=None if rule.unless is None else region_of(rule.unless),
        when=None if always else rule.when,
        tree=None if rule.when is None else tree_of(rule.when),
    )


def _not_excepted(outer: Placed, inner: Placed, region: Region) -> bool:
    if outer.excepted is None or region.is_apart(outer.excepted):
        return True
    return inner.excepted is not None and region.meet(outer.excepted).is_within(inner.excepted)


def _same_condition(outer: Placed, inner: Placed) -> bool:
    # Where the condition fails a rule that allows does not match, and any other does.
    same = outer.when is not None and inner.when is not None and outer.when.source == inner.when.source
    return same and (not outer.allows or inner.allows)
