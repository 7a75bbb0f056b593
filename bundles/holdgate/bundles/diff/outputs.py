"""The comparison of output rules: which findings would be let out, or only redacted, that were not.

The same thought as for jobs (`duties.py`). A finding gets the strictest verdict of its rules, and its default where it
has none: a rule guards as far as it is strict, and lifts where it is looser than a default. What always is quarantined
is no concern of rules.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations, islice
from typing import Any

from holdgate.bundles.diff.areas import EVERY_TOPIC, FOUND, LABEL, Area, covers, meet, output_area, price
from holdgate.bundles.diff.changes import Change, Direction
from holdgate.bundles.diff.lifts import LiftChange, compare_lifts, lift_area, lifts_of
from holdgate.bundles.diff.sides import COMPARISONS_MAX, Budget
from holdgate.bundles.diff.witness import FRESH, VALUES_MAX, plain_topics
from holdgate.bundles.diff.words import output_change_of
from holdgate.kernel.ids import Tenant
from holdgate.kernel.match import CLASSIFICATION_LABEL
from holdgate.kernel.output import DEFAULT_UNKNOWN, DEFAULTS, FLOOR, STRICTNESS, OutputFacts, decide_output
from holdgate.kernel.policy import Policy
from holdgate.kernel.rules import OutputRule, OutputVerdict

NOW_MS = 0
"""Before anything expires: what expires later than before is told of by itself."""
CANDIDATES_MAX = 400
AREAS_MAX = 50
RULES_PER_COST = 4
"""So many rules that are asked take as long as comparing two."""
_CATEGORIES = (*dict.fromkeys(category for category, _ in DEFAULTS), FRESH)


def compare_outputs(before: Policy, after: Policy) -> Iterator[Change]:
    """Every output rule that is not as it was."""
    budget = Budget(COMPARISONS_MAX)
    old, new = _Rules(before, budget), _Rules(after, budget)
    for name in sorted(old.by_id.keys() | new.by_id.keys()):
        was, now = old.by_id.get(name), new.by_id.get(name)
        if was != now:
            yield _change(was, now, old, new)
    for change in compare_lifts(before, after):
        yield _shown_change(change, old, new)


@dataclass(frozen=True, slots=True)
class _Placed:
    rule: OutputRule
    area: Area


class _Rules:
    """The output rules of one side. `budget`: how much they may still be looked at, which both sides share."""

    def __init__(self, policy: Policy, budget: Budget) -> None:
        self.policy = policy
        self.budget = budget
        self.by_id = {rule.id: rule for rule in policy.output_rules}
        self.placed = [_Placed(rule, output_area(rule)) for rule in policy.output_rules]
        self.lifts = [(lift.bundle, lift_area(lift)) for lift in lifts_of(policy)]

    def hold(self, area: Area, strictness: int, bundle: str) -> bool:
        """Whether every finding of `area` gets a verdict as strict, as far as a rule of `bundle` saw to it."""
        if self.name(area, strictness, bundle):
            return True
        if self._lifted(area, {name for name, _ in self.lifts} - {bundle}):
            return False
        looser = (item for item in self.placed if STRICTNESS[item.rule.verdict] < strictness)
        return min(_defaults(area)) >= strictness and all(self._is_apart(item.area, area) for item in looser)

    def name(self, area: Area, strictness: int = 0, bundle: str | None = None) -> bool:
        """Whether every finding of `area` has a rule as strict; of another bundle than `bundle`, one that holds as well
        against what that one lets through."""
        able = [
            item.area
            for item in self.placed
            if STRICTNESS[item.rule.verdict] >= strictness
            and (bundle in (None, item.rule.bundle) or not self._lifted(area, {item.rule.bundle}))
        ]
        if any(self._covers(outer, area) for outer in able):
            return True
        return any(all(any(self._covers(outer, part) for outer in able) for part in parts) for parts in area.parts())

    def _lifted(self, area: Area, bundles: Collection[str]) -> bool:
        """Whether one of `bundles` may let through a finding of `area`."""
        return any(bundle in bundles and not self._is_apart(lift, area) for bundle, lift in self.lifts)

    def _covers(self, outer: Area, inner: Area) -> bool:
        return self.budget.spend(price(outer, inner)) and covers(outer, inner)

    def _is_apart(self, one: Area, other: Area) -> bool:
        return self.budget.spend(price(one, other)) and meet(one, other) is None


def _shown_change(change: LiftChange, old: _Rules, new: _Rules) -> Change:
    """With an example, where one is found; what has one and lets more out is sure to widen."""
    direction, found = change.direction, None
    if direction is Direction.UNCLEAR:
        tried = () if change.example is None else _compared([change.example], old, new)
        near = () if change.area is None else _near(change.area, old, new)
        found = next(chain(tried, near), None)
        direction = Direction.UNCLEAR if found is None else Direction.WIDENS
    return Change(direction, change.bundle, change.name, change.what, found)


def _change(was: OutputRule | None, now: OutputRule | None, old: _Rules, new: _Rules) -> Change:
    what = output_change_of(was, now)
    rule = now or was
    bundle, name = ("", "") if rule is None else (rule.bundle, rule.id)
    if _loses(was, now, old, new):
        example = next((found for item in (was, now) if item is not None for found in _search(item, old, new)), None)
        direction = Direction.UNCLEAR if example is None else Direction.WIDENS
    elif _loses(now, was, new, old):
        example = next(
            (found for item in (now, was) if item is not None for found in _search(item, old, new, -1)), None
        )
        direction = Direction.TIGHTENS
    else:
        example, direction = None, Direction.CHANGES
    return Change(direction, bundle, name, what, example)


def _loses(was: OutputRule | None, now: OutputRule | None, old: _Rules, new: _Rules) -> bool:
    """Whether a finding may get a looser verdict by the loss of `was`, or since `now` came."""
    if was is not None:
        area = _without_floor(output_area(was))
        if not area.is_empty and not new.hold(area, STRICTNESS[was.verdict], was.bundle):
            return True
    if now is None:
        return False
    area = _without_floor(output_area(now))
    if area.is_empty:
        return False
    most = max(_defaults(area))
    return STRICTNESS[now.verdict] < most and not old.name(area) and not new.name(area, most, now.bundle)


def _without_floor(area: Area) -> Area:
    categories = area.one.get("category")
    return area if categories is None else replace(area, one={**area.one, "category": categories - FLOOR})


def _defaults(area: Area) -> set[int]:
    """How strict the defaults for findings of the area are."""
    categories, detectors = area.one.get("category"), area.one.get("detector")
    known = {category for category, _ in DEFAULTS}
    found = {
        STRICTNESS[verdict]
        for (category, detector), verdict in DEFAULTS.items()
        if (categories is None or category in categories)
        and (detectors is None or detector is None or detector in detectors)
    }
    if categories is None or not categories <= known:
        found.add(STRICTNESS[DEFAULT_UNKNOWN])
    if FOUND not in area.one:
        found.add(STRICTNESS[OutputVerdict.ALLOW])
    return found


def _search(rule: OutputRule, old: _Rules, new: _Rules, sign: int = 1) -> Iterator[Mapping[str, Any]]:
    """Findings near the rule that get a looser verdict than before (`sign` -1: a stricter one)."""
    return _near(output_area(rule), old, new, sign)


def _near(area: Area, old: _Rules, new: _Rules, sign: int = 1) -> Iterator[Mapping[str, Any]]:
    areas = [area]
    for item in (*old.placed, *new.placed):
        if len(areas) == AREAS_MAX or not old.budget.spend(price(areas[0], item.area)):
            break
        both = meet(areas[0], item.area)
        if both is not None and both not in areas:
            areas.append(both)
    yield from _compared((facts for area in areas for facts in _candidates(area)), old, new, sign)


def _compared(
    candidates: Iterable[OutputFacts], old: _Rules, new: _Rules, sign: int = 1
) -> Iterator[Mapping[str, Any]]:
    cost = 2 + (len(old.placed) + len(new.placed)) // RULES_PER_COST
    for facts in islice(candidates, CANDIDATES_MAX):
        if not old.budget.spend(cost):
            return
        before, after = decide_output(old.policy, facts, NOW_MS), decide_output(new.policy, facts, NOW_MS)
        if sign * (STRICTNESS[before.verdict] - STRICTNESS[after.verdict]) > 0:
            yield {
                "output": facts.as_dict(),
                "before": _shown(before.verdict, before.rules, before.reason),
                "after": _shown(after.verdict, after.rules, after.reason),
                "how": f"{before.verdict} → {after.verdict}",
            }


def _shown(verdict: OutputVerdict, rules: Sequence[str], reason: str) -> dict[str, Any]:
    return {"verdict": str(verdict), "rules": list(rules), "reason": reason}


def _candidates(area: Area) -> Iterator[OutputFacts]:
    options = list(_options(area))
    base = {name: values[0] for name, values in options}
    others = [(name, value) for name, values in options for value in values[1:]]
    yield _facts(base)
    for one in others:
        yield _facts({**base, **dict([one])})
    if FOUND not in area.one:
        for one in (*base.items(), *others):
            yield replace(_facts({**base, **dict([one])}), findings=())
    for pair in combinations(others, 2):
        yield _facts({**base, **dict(pair)})


def _options(area: Area) -> Iterator[tuple[str, list[str]]]:
    topics = area.topics if area.topics != EVERY_TOPIC else ("job.>",)
    yield "topic", [topic for pattern in topics[:VALUES_MAX] for topic in plain_topics(pattern)]
    for name in ("category", "detector", "severity", "tenant", "classification"):
        if name in area.one:
            yield name, sorted(area.one[name])[:VALUES_MAX]
        elif name != "classification":
            yield name, list(_CATEGORIES) if name == "category" else [FRESH, "email"] if name == "detector" else [FRESH]
    for name, values in (*area.one.items(), *area.some):
        if name.startswith(LABEL) or name in ("data_class", "destination"):
            yield name, sorted(values)[:VALUES_MAX]


def _facts(values: Mapping[str, str]) -> OutputFacts:
    labels = {name.removeprefix(LABEL): value for name, value in values.items() if name.startswith(LABEL)}
    classification = values.get("classification", labels.get(CLASSIFICATION_LABEL))
    if classification is not None:
        labels[CLASSIFICATION_LABEL] = classification
    return OutputFacts(
        tenant=Tenant(values["tenant"]),
        topic=values["topic"],
        labels=labels,
        classification=classification,
        findings=((values["detector"], values["category"], values["severity"]),),
        destination=None if (name := values.get("destination")) is None else name.replace("*", FRESH),
        input_class=values.get("data_class"),
    )
