"""The comparison of what bundles say of outputs beside their rules: what they let through, how detectors are set, which
detectors they bring, what may go where.

What always holds: whatever lets an output out that was kept back before, or looks for less, is told as `unclear` or, by
`outputs.compare_outputs` with an example, as widening. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from itertools import islice, product
from typing import Any

from holdgate.bundles.diff.areas import EVERY_TOPIC, LABEL, Area, covers
from holdgate.bundles.diff.changes import Direction
from holdgate.bundles.diff.witness import FRESH, plain_topics
from holdgate.kernel.clock import rfc3339
from holdgate.kernel.dataclass import DataClass
from holdgate.kernel.detectors import Detector
from holdgate.kernel.ids import Tenant
from holdgate.kernel.output import OutputFacts, class_of_destination
from holdgate.kernel.outputrules import AllowFinding, Destination, DetectorMode, Mode, names
from holdgate.kernel.policy import Policy

Lift = AllowFinding | DetectorMode
PLACES_MAX = 5000
"""Destinations, with tenants and topics, that are looked up on both sides."""
_UNTOLD = frozenset({"reason", "bundle", "docs", "examples"})
_LOOSE = (Mode.SHADOW, Mode.IGNORE)


@dataclass(frozen=True, slots=True)
class LiftChange:
    """A change, and where an example may be found: an area of findings, or an output that has none."""

    direction: Direction
    bundle: str
    name: str
    what: str
    area: Area | None = None
    example: OutputFacts | None = None


def lifts_of(policy: Policy) -> list[Lift]:
    """Everything by which a bundle lets findings through."""
    return [*policy.allow_findings, *(item for item in policy.detector_modes if item.mode in _LOOSE)]


def lift_area(lift: Lift) -> Area:
    """The findings that it may let through."""
    one: dict[str, frozenset[str]] = {"tenant": lift.tenants}
    if isinstance(lift, AllowFinding):
        one.update({"category": lift.categories, "detector": lift.detectors})
        one.update((LABEL + key, values) for key, values in lift.labels)
    else:
        one["detector"] = frozenset({lift.detector})
    return Area(topics=lift.topics or EVERY_TOPIC, one={name: values for name, values in one.items() if values})


def compare_lifts(before: Policy, after: Policy) -> Iterator[LiftChange]:
    """Every change but those of output rules."""
    yield from _of_entries(before, after)
    yield from _of_modes(before, after)
    yield from _of_detectors(before, after)
    yield from _of_destinations(before, after)


def _of_entries(before: Policy, after: Policy) -> Iterator[LiftChange]:
    old = {item.id: item for item in before.allow_findings}
    new = {item.id: item for item in after.allow_findings}
    for name in sorted(old.keys() | new.keys()):
        was, now = old.get(name), new.get(name)
        if was == now:
            continue
        if now is None:
            bundle = "" if was is None else was.bundle
            yield LiftChange(Direction.TIGHTENS, bundle, name, "findings are not let through any more")
        elif was is None:
            what = f"findings are let through until {_day(now.expires_ms)}"
            yield LiftChange(Direction.UNCLEAR, now.bundle, name, what, lift_area(now))
        else:
            what = f"findings that are let through: {_differences(was, now)}"
            direction = Direction.TIGHTENS if _is_within(now, was) else Direction.UNCLEAR
            if direction is Direction.TIGHTENS and _is_within(was, now):
                direction = Direction.CHANGES
            yield LiftChange(direction, now.bundle, name, what, lift_area(now))


def _is_within(one: AllowFinding, other: AllowFinding) -> bool:
    """Whether `other` lets through all that `one` does, against the same rules and as long."""
    values = not other.fingerprints or (bool(one.fingerprints) and one.fingerprints <= other.fingerprints)
    is_as_long = one.expires_ms <= other.expires_ms and one.bundle == other.bundle
    return is_as_long and values and covers(lift_area(other), lift_area(one))


def _of_modes(before: Policy, after: Policy) -> Iterator[LiftChange]:
    old, new = ([replace(item, reason="") for item in policy.detector_modes] for policy in (before, after))
    for item in new:
        if item not in old:
            direction = Direction.UNCLEAR if item.mode in _LOOSE else Direction.TIGHTENS
            yield LiftChange(
                direction, item.bundle, item.id, f"`{item.detector}` is set to `{item.mode}`", lift_area(item)
            )
    for item in old:
        if item not in new:
            direction = Direction.TIGHTENS if item.mode in _LOOSE else Direction.UNCLEAR
            what = f"`{item.detector}` is not set to `{item.mode}` any more"
            yield LiftChange(direction, item.bundle, item.id, what, lift_area(item))


def _of_detectors(before: Policy, after: Policy) -> Iterator[LiftChange]:
    old, new = ({item.id: item for item in policy.detectors} for policy in (before, after))
    for name in sorted(old.keys() | new.keys()):
        was, now = old.get(name), new.get(name)
        if was is None and now is not None:
            yield LiftChange(Direction.TIGHTENS, now.bundle, name, "detector added")
        elif was is not None and now is None:
            what = "detector removed: nothing looks for that any more"
            yield LiftChange(Direction.UNCLEAR, was.bundle, name, what)
        elif was is not None and now is not None and was != now:
            yield LiftChange(_of_detector(was, now), now.bundle, name, f"detector: {_differences(was, now)}")


def _of_detector(was: Detector, now: Detector) -> Direction:
    if replace(was, examples=now.examples) == now:
        return Direction.CHANGES
    reach = [
        Area(item.topics or EVERY_TOPIC, {"tenant": frozenset(item.tenants)} if item.tenants else {})
        for item in (was, now)
    ]
    is_same = replace(was, examples=now.examples, tenants=now.tenants, topics=now.topics) == now
    return Direction.TIGHTENS if is_same and covers(reach[1], reach[0]) else Direction.UNCLEAR


def _of_destinations(before: Policy, after: Policy) -> Iterator[LiftChange]:
    old, new = ({(item.bundle, item.name): item for item in policy.destinations} for policy in (before, after))
    changed = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    if not changed:
        return
    raised, is_whole = _raised(before, after)
    for bundle, name in changed:
        was, now = old.get((bundle, name)), new.get((bundle, name))
        facts = next((each for each in raised if _names(name, each)), None)
        direction = Direction.UNCLEAR if facts is not None or not is_whole else Direction.TIGHTENS
        yield LiftChange(direction, bundle, f"destination {name}", _moved(was, now), example=facts)


def _raised(before: Policy, after: Policy) -> tuple[list[OutputFacts], bool]:
    """Outputs whose destination takes a higher class than before, and whether all places were looked at.

    A name is told from others by the patterns that it is named by: as each is written, and beyond each.
    """
    items = [*before.destinations, *after.destinations]
    places = {item.name.removesuffix("*") for item in items} | {item.name.replace("*", FRESH) for item in items}
    tenants = [FRESH, *sorted({tenant for item in items for tenant in item.tenants})]
    patterns = sorted({pattern for item in items for pattern in item.topics})
    topics = [FRESH, *(topic for pattern in patterns for topic in plain_topics(pattern))]
    found: list[OutputFacts] = []
    for place, tenant, topic in islice(product(sorted(places), tenants, topics), PLACES_MAX):
        facts = OutputFacts(Tenant(tenant), topic, {}, None, destination=place)
        was, now = (class_of_destination(policy, facts) for policy in (before, after))
        if now.height > was.height:
            found.append(replace(facts, input_class=str(now)))
    return found, not patterns and len(places) * len(tenants) * len(topics) <= PLACES_MAX


def _names(pattern: str, facts: OutputFacts) -> bool:
    return names(pattern, facts.destination or "")


def _moved(was: Destination | None, now: Destination | None) -> str:
    old = DataClass.PUBLIC if was is None else was.data_class
    if now is None:
        return f"destination removed: `{old}`"
    if was is None:
        return f"destination added: `{now.data_class}`"
    return f"destination: `{old}` → `{now.data_class}`" if old is not now.data_class else "destination: for others"


def _differences(was: Any, now: Any) -> str:
    changed = [item.name for item in fields(was) if getattr(was, item.name) != getattr(now, item.name)]
    told = [f"`{_said(name)}`" for name in changed if name not in _UNTOLD]
    return f"{', '.join(told)} changed" if told else "said in other words"


def _said(name: str) -> str:
    return "expires" if name == "expires_ms" else name


def _day(time_ms: int) -> str:
    return rfc3339(time_ms)[:10]
