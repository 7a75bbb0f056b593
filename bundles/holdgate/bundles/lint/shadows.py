"""Rules that other rules leave without effect.

What always holds: dropping a rule that is reported here, alone, changes no verdict, no constraint, no approval and no
rate limit of any job.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TypeAlias

from holdgate.bundles.lint.budget import Budget
from holdgate.bundles.lint.catalog import finding
from holdgate.bundles.lint.findings import Finding
from holdgate.bundles.lint.placed import Placed, holds_wherever
from holdgate.bundles.lint.regions import Region
from holdgate.kernel.policy import STRICTNESS
from holdgate.kernel.records import ApprovalRequirement, Verdict
from holdgate.kernel.rules import Rule
from holdgate.kernel.topics import ONE, REST

_OF_THE_RULE = frozenset({"rule", "reason", "definition"})
"""Fields of a demand that say which rule it is of."""


@dataclass(slots=True)
class Neighbours:
    """Finds the rules that may cover a region, by the tokens with which their topics begin, within a bound."""

    bundles: Mapping[str, Sequence[Placed]]
    by_prefix: dict[tuple[str, ...], list[Placed]]
    budget: Budget

    @classmethod
    def of(cls, bundles: Mapping[str, Sequence[Placed]], alive: Iterable[Placed], budget: Budget) -> Neighbours:
        """Over the rules `alive` of `bundles`."""
        by_prefix: dict[tuple[str, ...], list[Placed]] = {}
        for item in alive:
            for prefix in {_literal_prefix(pattern) for pattern in item.region.topics}:
                by_prefix.setdefault(prefix, []).append(item)
        return cls(bundles, by_prefix, budget)

    def around(self, inner: Placed, pattern: str) -> Iterator[Placed]:
        """Other rules that may cover the part of `inner` under `pattern`; fewer once the bound is reached."""
        prefix = _literal_prefix(pattern)
        for length in range(len(prefix) + 1):
            for outer in self.by_prefix.get(prefix[:length], ()):
                if not self.budget.spend(len(outer.region.topics)):
                    return
                if outer is not inner:
                    yield outer

    def counts(self, item: Placed, region: Region) -> bool:
        """Whether `item`, where it matches in `region`, certainly counts."""
        return self.budget.spend(item.position) and item.counts_in(region, self.bundles[item.rule.bundle])


LeavesVoid: TypeAlias = Callable[[Placed, Placed, Region, Neighbours], bool]
"""Whether the second rule leaves the first without effect in the region."""


def shadow_findings(inner: Placed, neighbours: Neighbours) -> list[Finding]:
    """Why `inner` is without effect; nothing where it has one, or where that is not known."""
    if outers := _covering(inner, neighbours, _earlier):
        return [_finding("unreachable-rule", inner.rule, outers)]
    if outers := _covering(inner, neighbours, _stricter):
        return _shadowed(inner, outers)
    if outers := _covering(inner, neighbours, _same):
        is_twin = len(outers) == 1 and same_jobs(inner, outers[0]) and _absorbs(inner.rule, outers[0].rule)
        return [_finding("duplicate-rule" if is_twin else "redundant-rule", inner.rule, outers)]
    return []


def same_jobs(one: Placed, other: Placed) -> bool:
    """Whether two rules certainly match the same jobs."""
    return holds_wherever(one, other, other.region) and holds_wherever(other, one, one.region)


def _covering(inner: Placed, neighbours: Neighbours, leaves_void: LeavesVoid) -> list[Placed]:
    """For each topic of `inner` a rule that leaves it without effect there; nothing where one has none."""
    outers: list[Placed] = []
    for pattern in sorted(inner.region.topics):
        part = inner.at(pattern)
        around = neighbours.around(inner, pattern)
        outer = next((item for item in around if leaves_void(inner, item, part, neighbours)), None)
        if outer is None:
            return []
        if not any(outer is known for known in outers):
            outers.append(outer)
    return outers


def _earlier(inner: Placed, outer: Placed, region: Region, _: Neighbours) -> bool:
    same_bundle = inner.first_only and outer.rule.bundle == inner.rule.bundle
    return same_bundle and outer.position < inner.position and holds_wherever(outer, inner, region)


def _stricter(inner: Placed, outer: Placed, region: Region, neighbours: Neighbours) -> bool:
    return (
        STRICTNESS[outer.rule.decision] < STRICTNESS[inner.rule.decision]
        and _absorbs(outer.rule, inner.rule)
        and _outweighs(inner, outer, region, neighbours)
    )


def _same(inner: Placed, outer: Placed, region: Region, neighbours: Neighbours) -> bool:
    if outer.rule.decision is not inner.rule.decision or not _absorbs(outer.rule, inner.rule):
        return False
    if not _outweighs(inner, outer, region, neighbours):
        return False
    return _comes_first(outer, inner) or not same_jobs(inner, outer)


def _outweighs(inner: Placed, outer: Placed, region: Region, neighbours: Neighbours) -> bool:
    if inner.first_only and (outer.rule.decision is not Verdict.DENY or outer.rule.bundle == inner.rule.bundle):
        return False  # without `inner` a later rule of its bundle would count
    return holds_wherever(outer, inner, region) and neighbours.counts(outer, region)


def _absorbs(outer: Rule, inner: Rule) -> bool:
    """Whether, where both count, `inner` adds nothing to what `outer` says."""
    if outer.decision is Verdict.DENY:
        return inner.decision is not Verdict.DENY or all(item in outer.remediations for item in inner.remediations)
    if inner.decision is Verdict.ALLOW:
        return outer.decision is not Verdict.THROTTLE
    if inner.decision is Verdict.ALLOW_WITH_CONSTRAINTS and outer.decision is Verdict.THROTTLE:
        return False
    return (
        outer.constraints.tightest(inner.constraints) == outer.constraints
        and inner.throttle == (outer.throttle if inner.throttle is not None else None)
        and _demand(inner.approval) in (None, _demand(outer.approval))
        and all(item in outer.remediations for item in inner.remediations)
    )


def _demand(approval: ApprovalRequirement | None) -> tuple[object, ...] | None:
    """What is demanded, without the rule that does."""
    if approval is None:
        return None
    own = [getattr(approval, item.name) for item in fields(approval) if item.name not in _OF_THE_RULE]
    return tuple(frozenset(value) if isinstance(value, tuple) else value for value in own)


def _shadowed(inner: Placed, outers: Sequence[Placed]) -> list[Finding]:
    outer = outers[0]
    denied = inner.allows and outer.rule.decision is Verdict.DENY and outer.rule.bundle != inner.rule.bundle
    if not (denied and len(outers) == 1 and same_jobs(inner, outer)):
        return [_finding("shadowed-rule", inner.rule, outers)]
    deny = _named(outer.rule, inner.rule)
    allow = _named(inner.rule, outer.rule)
    return [
        finding(
            "contradicting-bundles",
            inner.rule.bundle,
            inner.rule.id,
            f"allows exactly the jobs that {deny} denies, so none; drop one, or narrow the deny",
        ),
        finding(
            "contradicting-bundles",
            outer.rule.bundle,
            outer.rule.id,
            f"denies exactly the jobs that {allow} allows; agree with its authors on one",
        ),
    ]


def _comes_first(one: Placed, other: Placed) -> bool:
    """Of two that say the same the later one is reported."""
    return (one.rule.bundle, one.position) < (other.rule.bundle, other.position)


def _finding(code: str, rule: Rule, outers: Sequence[Placed]) -> Finding:
    names = ", ".join(_named(outer.rule, rule) for outer in outers[:3]) + (", …" if len(outers) > 3 else "")
    if code == "unreachable-rule":
        message = f"never counts: {names} comes first and matches all that it matches; put this one before, or drop it"
    elif code == "shadowed-rule":
        message = f"changes nothing: {names} decides more strictly about all that it matches; narrow that, or drop this"
    else:
        message = f"changes nothing: {names} says the same of all that it matches; drop one"
    return finding(code, rule.bundle, rule.id, message)


def _named(rule: Rule, beside: Rule) -> str:
    return f"`{rule.id}`" if rule.bundle == beside.bundle else f"`{rule.id}` of bundle `{rule.bundle}`"


def _literal_prefix(pattern: str) -> tuple[str, ...]:
    prefix: list[str] = []
    for token in pattern.split("."):
        if token in (ONE, REST):
            break
        prefix.append(token)
    return tuple(prefix)
