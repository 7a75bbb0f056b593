"""What happens to a result: the output rules of the bundles over built-in defaults and a floor.

What always holds: a finding that no rule speaks of gets its default, one that rules speak of the strictest of them;
nothing loosens the floor (private keys, credentials of the platform, what could not be scanned, what is too large are
quarantined whatever a bundle says); the whole result gets the strictest verdict of its findings and of the rules about
whole outputs, and is quarantined where its data class is above that of its destination in any bundle (one that no
bundle names is public). What a bundle lets through
(`allow_findings`), or how it sets a detector (`detector_modes`), lifts defaults and that bundle's own rules, never
those of another bundle, nor the data class that those go by. Pure; the time comes in.
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
    DetectorMode,
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
    classes = _Classes(facts, lifts)
    rules = [rule for rule in policy.output_rules if _looks_at(rule, facts, classes)]
    of_category = {
        category: [rule for rule in rules if not rule.categories or category in rule.categories]
        for category in {category for _, category, _ in facts.findings}
    }
    judged = [
        _judge(place, facts, of_category[category], lifts) for place, (_, category, _) in enumerate(facts.findings)
    ]
    said = [*_of_whole(policy, facts, rules, classes), *judged]
    verdict = max((each.verdict for each in said), key=STRICTNESS.__getitem__, default=OutputVerdict.ALLOW)
    return OutputDecision(
        verdict=verdict,
        findings=tuple(each.verdict for each in judged),
        rules=tuple(sorted({name for each in said for name in each.rules})),
        reason=min((each.reason for each in said if each.verdict is verdict), default="nothing found"),
        snapshot=policy.snapshot,
        data_class=classes.of(None),
        marks=tuple(sorted({each.mark for each in judged if each.mark is not None})),
        shadowed=_of_mode(facts, judged, Mode.SHADOW),
        ignored=_of_mode(facts, judged, Mode.IGNORE),
        allowed_by=tuple(sorted({name for each in judged for name in each.allowed_by})),
    )


def class_of_destination(policy: Policy, facts: OutputFacts) -> DataClass:
    """What may go there at most: over bundles the lowest class. A destination that no bundle names is public."""
    allowed = (item.data_class for item in _closest(policy, facts))
    return min(allowed, key=lambda each: each.height, default=DESTINATION_DEFAULT)


class _Lifts:
    """What bundles let through of this output at this time."""

    def __init__(self, policy: Policy, facts: OutputFacts, now_ms: int) -> None:
        self._shipped_in_shadow = frozenset(facts.shadow_detectors)
        self._owners = {detector.id: detector.bundle for detector in policy.detectors}
        self._modes: dict[str, list[DetectorMode]] = {}
        for mode in policy.detector_modes:
            if (mode.expires_ms is None or now_ms < mode.expires_ms) and is_within(
                mode.tenants, mode.topics, facts.tenant, facts.topic
            ):
                self._modes.setdefault(mode.detector, []).append(mode)
        allowing: dict[str, list[AllowFinding]] = {}
        for item in policy.allow_findings:
            if (
                now_ms < item.expires_ms
                and is_within(item.tenants, item.topics, facts.tenant, facts.topic)
                and has_labels(item.labels, facts.labels)
            ):
                allowing.setdefault(item.bundle, []).append(item)
        self.allowing = sorted(allowing.items())
        """By bundle."""

    def mode(self, finding: Finding) -> tuple[Mode, frozenset[str] | None]:
        """How the detector is set, and the bundles whose rules that lifts; None: those of all.

        The strictest setting wins. Who brought a detector decides whether it counts yet, whatever others say of its
        category.
        """
        detector, category, _ = finding
        if category in FLOOR:
            return Mode.ENFORCE, frozenset()
        found = self._modes.get(detector)
        if not found:
            return (Mode.SHADOW if detector in self._shipped_in_shadow else Mode.ENFORCE), None
        mode = min((item.mode for item in found), key=_MODES.index)
        setters = frozenset(item.bundle for item in found if item.mode is mode)
        is_own = detector in self._shipped_in_shadow or self._owners.get(detector) in setters
        return mode, None if is_own else setters


class _Classes:
    """The class of an output, as each bundle sees it: what it set itself not to count does not count for it.

    What is told of the output is what all others see. Only who brought a detector says for all whether it counts.
    """

    def __init__(self, facts: OutputFacts, lifts: _Lifts) -> None:
        given = class_of(facts.classification if facts.input_class is None else facts.input_class)
        lifted: list[tuple[DataClass, frozenset[str]]] = []
        for finding in facts.findings:
            mode, setters = lifts.mode(finding)
            if mode is Mode.ENFORCE:
                given = highest([given, class_found((finding[1],))])
            elif setters is not None:
                lifted.append((class_found((finding[1],)), setters))
        self._given = given
        self._lifted = lifted

    def of(self, bundle: str | None) -> DataClass:
        """As `bundle` sees it; None: as told."""
        if not self._lifted:
            return self._given
        return highest([self._given, *(each for each, setters in self._lifted if bundle not in setters)])


def _of_whole(policy: Policy, facts: OutputFacts, rules: Sequence[OutputRule], classes: _Classes) -> Iterator[_Judged]:
    """What keeps the output back whatever was found in it."""
    for rule in rules:
        if rule.keeps_whole:
            yield _Judged(rule.verdict, rule.reason, (rule.id,))
    if facts.destination is None:
        return
    entries: list[tuple[str | None, DataClass]] = [(item.bundle, item.data_class) for item in _closest(policy, facts)]
    for bundle, allowed in entries or [(None, DESTINATION_DEFAULT)]:
        data_class = classes.of(bundle)
        if data_class.height <= allowed.height:
            continue
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
    for bundle, items in lifts.allowing:
        used = _covering([item for item in items if _is_for(item, finding)], values)
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


def _looks_at(rule: OutputRule, facts: OutputFacts, classes: _Classes) -> bool:
    return (
        is_within(rule.tenants, rule.topics, facts.tenant, facts.topic)
        and has_labels(rule.labels, facts.labels)
        and (not rule.classifications or facts.classification in rule.classifications)
        and (not rule.data_classes or classes.of(rule.bundle) in rule.data_classes)
        and (not rule.destinations or _goes_to(rule.destinations, facts.destination))
    )


def _closest(policy: Policy, facts: OutputFacts) -> Iterable[Destination]:
    """Of each bundle the entry that names the destination most closely."""
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
    return closest.values()


def _goes_to(patterns: Iterable[str], destination: str | None) -> bool:
    return destination is not None and any(names(pattern, destination) for pattern in patterns)


def _closeness(item: Destination) -> tuple[bool, int]:
    """Larger for what names fewer destinations."""
    return not item.name.endswith("*"), len(item.name)


def _of_mode(facts: OutputFacts, judged: Sequence[_Judged], mode: Mode) -> tuple[Finding, ...]:
    pairs = zip(facts.findings, judged, strict=True)
    return tuple(dict.fromkeys(finding for finding, each in pairs if each.mode is mode))
