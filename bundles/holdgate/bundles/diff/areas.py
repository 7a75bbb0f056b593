"""The jobs that a `match` names, as an area that can be compared: one covers another, two meet.

What always holds: `covers` is only true where every job of the inner area is in the outer one, and `meet` is only None
where no job is in both. Neither says more: they may be wrong in the careful direction, never in the other. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from holdgate.bundles.diff.implication import implies
from holdgate.bundles.trusted import covers_pattern
from holdgate.kernel.match import CLASSIFICATION_LABEL, ENVIRONMENT_LABEL, MCP_LABELS, Match
from holdgate.kernel.records import ALLOWING
from holdgate.kernel.rules import OutputRule, Rule
from holdgate.kernel.topics import ONE, REST

LABEL = "labels."
_BOTH = {True, False}
FOUND = "found"
_FOUND = frozenset({"something"})
EVERY_TOPIC = (REST,)
TOPICS_PER_COST = 8
PARTS_MAX = 16
"""Values of one field by which an area is taken apart."""


@dataclass(frozen=True, slots=True)
class Area:
    """All that must hold of a job, under the names of the form of a job.

    `one` holds fields of one value (a label as `labels.<name>`), `some` fields of which any value is enough.
    """

    topics: tuple[str, ...] = EVERY_TOPIC
    one: Mapping[str, frozenset[str]] = field(default_factory=dict)
    some: tuple[tuple[str, frozenset[str]], ...] = ()
    requires: frozenset[str] = frozenset()
    secrets: bool | None = None
    pii: bool | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no job can be in it."""
        return not self.topics or not all(self.one.values())

    def parts(self) -> Iterator[tuple[Area, ...]]:
        """Ways to take the area apart: in each, the parts together are the whole."""
        if 1 < len(self.topics) <= PARTS_MAX:
            yield tuple(replace(self, topics=(pattern,)) for pattern in self.topics)
        for name, values in self.one.items():
            if 1 < len(values) <= PARTS_MAX:
                yield tuple(replace(self, one={**self.one, name: frozenset({value})}) for value in sorted(values))
        for place, (name, values) in enumerate(self.some):
            if 1 < len(values) <= PARTS_MAX:
                others = (*self.some[:place], *self.some[place + 1 :])
                yield tuple(replace(self, some=(*others, (name, frozenset({value})))) for value in sorted(values))


def area_of(match: Match) -> Area:
    """The area of a `match`."""
    single = {
        "tenant": match.tenants,
        "capability": match.capabilities,
        "actor": match.actors,
        "actor_type": match.actor_types,
    }
    one = {name: values for name, values in single.items() if values}
    for key, values in _labels(match):
        name = LABEL + key
        one[name] = one[name] & values if name in one else values
    some = (("risk_tags", match.risk_tags), ("principals", match.principals), ("secrets", match.secrets))
    return Area(
        topics=match.topics or EVERY_TOPIC,
        one=one,
        some=tuple((name, values) for name, values in some if values),
        requires=match.requires,
        secrets=match.secrets_present,
        pii=match.pii_present,
    )


def output_area(rule: OutputRule) -> Area:
    """The area of findings that an output rule speaks of: a finding is taken for a job with more fields."""
    named = {
        "category": rule.categories,
        "detector": rule.detectors,
        "severity": rule.severities,
        "classification": rule.classifications,
        "tenant": rule.tenants,
        "data_class": rule.data_classes,
        # A rule about whole outputs also is about those in which nothing was found.
        FOUND: frozenset() if rule.keeps_whole else _FOUND,
    }
    one = {name: values for name, values in named.items() if values}
    one.update((LABEL + key, values) for key, values in rule.labels)
    # Patterns of names overlap, so that two of them are never known to be apart.
    some = (("destination", rule.destinations),) if rule.destinations else ()
    return Area(topics=rule.topics or EVERY_TOPIC, one=one, some=some)


def covers(outer: Area, inner: Area) -> bool:
    """Whether every job in `inner` is in `outer`."""
    if inner.is_empty:
        return True
    for name, values in outer.one.items():
        found = inner.one.get(name)
        if found is None or not found <= values:
            return False
    for name, values in outer.some:
        if not any(name == other and found <= values for other, found in inner.some):
            return False
    if not outer.requires <= inner.requires:
        return False
    if outer.secrets not in (None, inner.secrets) or outer.pii not in (None, inner.pii):
        return False
    return all(any(covers_pattern(wide, narrow) for wide in outer.topics) for narrow in inner.topics)


def price(one: Area, other: Area) -> int:
    """What comparing the two costs: 1 for most, more where both name many topics."""
    return 1 + len(one.topics) * len(other.topics) // TOPICS_PER_COST


def meet(left: Area, right: Area) -> Area | None:
    """The jobs in both; None where there is none."""
    if {left.secrets, right.secrets} == _BOTH or {left.pii, right.pii} == _BOTH:
        return None
    one = dict(left.one)
    for name, values in right.one.items():
        one[name] = one[name] & values if name in one else values
        if not one[name]:
            return None
    topics = {both for first in left.topics for second in right.topics if (both := meet_patterns(first, second))}
    if not topics or left.is_empty:
        return None
    return Area(
        topics=tuple(sorted(topics)),
        one=one,
        some=(*left.some, *(item for item in right.some if item not in left.some)),
        requires=left.requires | right.requires,
        secrets=left.secrets if right.secrets is None else right.secrets,
        pii=left.pii if right.pii is None else right.pii,
    )


def meet_patterns(left: str, right: str) -> str | None:
    """The pattern of the topics that both name; None where there is none."""
    first, second = left.split("."), right.split(".")
    both: list[str] = []
    for place in range(max(len(first), len(second))):
        if place >= len(first) or place >= len(second):
            return None
        one, other = first[place], second[place]
        if one == REST or other == REST:
            return ".".join([*both, *(second if one == REST else first)[place:]])
        if one != other and ONE not in (one, other):
            return None
        both.append(other if one == ONE else one)
    return ".".join(both)


@dataclass(frozen=True, slots=True)
class Reach:
    """A rule and the jobs that it is for: those in `area` and not in `without`, where `when` is true."""

    rule: Rule
    area: Area
    without: Area | None

    def covers(self, other: Reach) -> bool:
        """Whether this rule counts for every job for which the `other` does."""
        mine, theirs = self.rule.when, other.rule.when
        if mine is not None and theirs is None:
            return False
        if mine is not None and self.rule.decision in ALLOWING and other.rule.decision not in ALLOWING:
            return False  # a condition that cannot be evaluated counts for that rule and not for this one
        if not covers(self.area, other.area):
            return False
        if mine is not None and theirs is not None and not implies(theirs.source, mine.source):
            return False
        if self.without is None:
            return True
        spared = meet(self.without, other.area)
        return spared is None or (other.without is not None and covers(other.without, spared))

    def is_apart_from(self, other: Reach) -> bool:
        """Whether there is no job for which both count."""
        both = meet(self.area, other.area)
        return both is None or any(
            without is not None and covers(without, both) for without in (self.without, other.without)
        )


def reach_of(rule: Rule) -> Reach:
    """The reach of a rule by itself, whatever its bundle does with it."""
    return Reach(rule, area_of(rule.match), None if rule.unless is None else area_of(rule.unless))


def _labels(match: Match) -> Iterator[tuple[str, frozenset[str]]]:
    yield from match.labels
    yield from ((MCP_LABELS[kind], values) for kind, values in match.mcp)
    if match.environments:
        yield ENVIRONMENT_LABEL, match.environments
    if match.classifications:
        yield CLASSIFICATION_LABEL, match.classifications
