"""What happens to a result: the output rules of the bundles over built-in defaults and a floor.

What always holds: a finding that no rule speaks of gets its default, one that rules speak of the strictest of them;
nothing loosens the floor (private keys, credentials of the platform, what could not be scanned, what is too large are
quarantined whatever a bundle says); the whole result gets the strictest verdict of its findings and of the rules about
whole outputs, and is quarantined where its data class is above that of its destination. What a bundle lets through
(`allow_findings`), or how it sets a detector (`detector_modes`), lifts defaults and that bundle's own rules, never
those of another bundle. Pure; the time comes in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from holdgate.kernel.dataclass import DESTINATION_DEFAULT, DataClass, class_found, class_of, highest
from holdgate.kernel.outputfacts import DESTINATION_LABEL, Finding, OutputDecision, OutputFacts
from holdgate.kernel.outputrules import (
    DEFAULT_UNKNOWN,
    DEFAULTS,
    FLOOR,
    MARKED,
    STRICTNESS,
    AllowFinding,
    Destination,
    Mode,
    OutputRule,
    OutputVerdict,
    default_of,
    has_labels,
    is_within,
    names,
)
from holdgate.kernel.policy import Policy

__all__ = [
    "CLASSIFICATION_LABEL",
    "DEFAULTS",
    "DEFAULT_UNKNOWN",
    "DESTINATION_LABEL",
    "DESTINATION_RULE",
    "FLOOR",
    "STRICTNESS",
    "Finding",
    "OutputDecision",
    "OutputFacts",
    "OutputVerdict",
    "class_of_destination",
    "decide_output",
]

CLASSIFICATION_LABEL = "classification"
DESTINATION_RULE = "holdgate.destination-class"
"""Stands among the rules where an output is above its destination's class. No bundle can have a rule of this id."""
_MODES = list(Mode)


@dataclass(frozen=True, slots=True)
class _Judged:
    """What is said of one finding, or of the whole. `mode`: that of the finding's detector, as far as it holds."""

    verdict: OutputVerdict
    reason: str
    rules: tuple[str, ...] = ()
    mode: Mode = Mode.ENFORCE
    allowed_by: tuple[str, ...] = ()
    mark: str | None = None


def decide_output(policy: Policy, facts: OutputFacts, now_ms: int) -> OutputDecision:
    """The verdict about a result with these findings, at `now_ms`."""
    lifts = _Lifts(policy, facts, now_ms)
    data_class = _data_class(facts, lifts)
    rules = [rule for rule in policy.output_rules if _looks_at(rule, facts, data_class)]
    judged = [_judge(place, facts, rules, lifts) for place in range(len(facts.findings))]
    said = [*_of_whole(policy, facts, rules, data_class), *judged]
    verdict = max((each.verdict for each in said), key=STRICTNESS.__getitem__, default=OutputVerdict.ALLOW)
    return OutputDecision(
        verdict=verdict,
        findings=tuple(each.verdict for each in judged),
        rules=tuple(sorted({name for each in said for name in each.rules})),
        reason=min((each.reason for each in said if each.verdict is verdict), default="nothing found"),
        snapshot=policy.snapshot,
        data_class=data_class,
        marks=tuple(sorted({each.mark for each in judged if each.mark is not None})),
        shadowed=_of_mode(facts, judged, Mode.SHADOW),
        ignored=_of_mode(facts, judged, Mode.IGNORE),
        allowed_by=tuple(sorted({name for each in judged for name in each.allowed_by})),
    )


def class_of_destination(policy: Policy, facts: OutputFacts) -> DataClass:
    """What may go there: of each bundle the entry that names it most closely counts, over bundles the lowest class.

    A destination that no bundle names is public.
    """
    closest: dict[str, Destination] = {}
    for item in policy.destinations:
        if names(item.name, facts.destination or "") and is_within(
            item.tenants, item.topics, facts.tenant, facts.topic
        ):
            other = closest.get(item.bundle)
            if other is None or (_closeness(item), -item.data_class.height) > (
                _closeness(other),
                -other.data_class.height,
            ):
                closest[item.bundle] = item
    return min(
        (item.data_class for item in closest.values()), key=lambda each: each.height, default=DESTINATION_DEFAULT
    )


class _Lifts:
    """What bundles let through of this output at this time."""

    def __init__(self, policy: Policy, facts: OutputFacts, now_ms: int) -> None:
        self._shipped_in_shadow = frozenset(facts.shadow_detectors)
        self._owners = {detector.id: detector.bundle for detector in policy.detectors}
        self._modes = [
            item
            for item in policy.detector_modes
            if (item.expires_ms is None or now_ms < item.expires_ms)
            and is_within(item.tenants, item.topics, facts.tenant, facts.topic)
        ]
        self.allowing = [
            item
            for item in policy.allow_findings
            if now_ms < item.expires_ms
            and is_within(item.tenants, item.topics, facts.tenant, facts.topic)
            and has_labels(item.labels, facts.labels)
        ]

    def mode(self, finding: Finding) -> tuple[Mode, frozenset[str] | None]:
        """How the detector is set, and the bundles whose rules that lifts; None: those of all.

        The strictest setting wins. Who brought a detector decides whether it counts yet, whatever others say of its
        category.
        """
        detector, category, _ = finding
        if category in FLOOR:
            return Mode.ENFORCE, frozenset()
        found = [item for item in self._modes if item.detector == detector]
        if not found:
            return (Mode.SHADOW if detector in self._shipped_in_shadow else Mode.ENFORCE), None
        mode = min((item.mode for item in found), key=_MODES.index)
        setters = frozenset(item.bundle for item in found if item.mode is mode)
        is_own = detector in self._shipped_in_shadow or self._owners.get(detector) in setters
        return mode, None if is_own else setters


def _data_class(facts: OutputFacts, lifts: _Lifts) -> DataClass:
    given = class_of(facts.classification if facts.input_class is None else facts.input_class)
    counted = (finding for finding in facts.findings if lifts.mode(finding)[0] is Mode.ENFORCE)
    return highest([given, class_found(category for _, category, _ in counted)])


def _of_whole(
    policy: Policy, facts: OutputFacts, rules: Sequence[OutputRule], data_class: DataClass
) -> Iterator[_Judged]:
    """What keeps the output back whatever was found in it."""
    for rule in rules:
        if rule.keeps_whole:
            yield _Judged(rule.verdict, rule.reason, (rule.id,))
    if facts.destination is None:
        return
    allowed = class_of_destination(policy, facts)
    if data_class.height > allowed.height:
        reason = f"destination_class: `{data_class}` output for a destination of class `{allowed}`"
        yield _Judged(OutputVerdict.QUARANTINE, reason, (DESTINATION_RULE,))


def _judge(place: int, facts: OutputFacts, rules: Iterable[OutputRule], lifts: _Lifts) -> _Judged:
    finding = facts.findings[place]
    detector, category, _ = finding
    matching = [rule for rule in rules if _speaks_of(rule, finding)]
    ids = tuple(rule.id for rule in matching)
    if category in FLOOR:
        return _Judged(OutputVerdict.QUARANTINE, f"`{category}` is always quarantined", ids)
    mode, setters = lifts.mode(finding)
    if mode is not Mode.ENFORCE and not _holding(matching, setters):
        return _Judged(OutputVerdict.ALLOW, f"`{detector}` is set to `{mode}`", ids, mode)
    mark = category if category in MARKED else None
    verdict, reason = _strictest(matching, finding)
    if verdict is OutputVerdict.ALLOW and mark is None:
        return _Judged(verdict, reason, ids)
    values = frozenset(facts.fingerprints[place]) if facts.fingerprints else frozenset()
    for bundle in sorted({item.bundle for item in lifts.allowing}):
        own = [item for item in lifts.allowing if item.bundle == bundle and _is_for(item, finding)]
        used = _covering(own, values)
        if used and not _holding(matching, frozenset({bundle})):
            return _Judged(OutputVerdict.ALLOW, used[0].reason, ids, allowed_by=tuple(item.id for item in used))
    return _Judged(verdict, reason, ids, mark=mark)


def _strictest(matching: Sequence[OutputRule], finding: Finding) -> tuple[OutputVerdict, str]:
    detector, category, _ = finding
    if not matching:
        return default_of(category, detector), f"the default for `{category}`"
    deciding = min(matching, key=lambda rule: (-STRICTNESS[rule.verdict], rule.id))
    return deciding.verdict, deciding.reason


def _holding(matching: Iterable[OutputRule], lifted: frozenset[str] | None) -> bool:
    """Whether a rule keeps back what bundles let through whose own rules are `lifted` (None: all rules are)."""
    if lifted is None:
        return False
    return any(rule.bundle not in lifted and rule.verdict is not OutputVerdict.ALLOW for rule in matching)


def _covering(entries: Sequence[AllowFinding], values: frozenset[str]) -> list[AllowFinding]:
    """The entries that let all of the values through: one for any value, or those that name each; none otherwise."""
    for item in entries:
        if not item.fingerprints:
            return [item]
    named = [item for item in entries if item.fingerprints & values]
    return named if values <= frozenset().union(*(item.fingerprints for item in named)) else []


def _is_for(item: AllowFinding, finding: Finding) -> bool:
    detector, category, _ = finding
    return (not item.detectors or detector in item.detectors) and (not item.categories or category in item.categories)


def _speaks_of(rule: OutputRule, finding: Finding) -> bool:
    detector, category, severity = finding
    return (
        (not rule.categories or category in rule.categories)
        and (not rule.detectors or detector in rule.detectors)
        and (not rule.severities or severity in rule.severities)
    )


def _looks_at(rule: OutputRule, facts: OutputFacts, data_class: DataClass) -> bool:
    return (
        is_within(rule.tenants, rule.topics, facts.tenant, facts.topic)
        and has_labels(rule.labels, facts.labels)
        and (not rule.classifications or facts.classification in rule.classifications)
        and (not rule.data_classes or data_class in rule.data_classes)
        and (not rule.destinations or _goes_to(rule.destinations, facts.destination))
    )


def _goes_to(patterns: Iterable[str], destination: str | None) -> bool:
    return destination is not None and any(names(pattern, destination) for pattern in patterns)


def _closeness(item: Destination) -> tuple[bool, int]:
    """Larger for what names fewer destinations."""
    return not item.name.endswith("*"), len(item.name)


def _of_mode(facts: OutputFacts, judged: Sequence[_Judged], mode: Mode) -> tuple[Finding, ...]:
    pairs = zip(facts.findings, judged, strict=True)
    return tuple(dict.fromkeys(finding for finding, each in pairs if each.mode is mode))
