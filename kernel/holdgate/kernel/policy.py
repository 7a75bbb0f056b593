"""The active policy: the rules of all active bundles, indexed, under one snapshot.

What always holds: a policy is made whole or not at all; rule ids are unique over all bundles; nothing in it changes
after it was made. No IO.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from holdgate.kernel import limits, patterns, wire
from holdgate.kernel.canonical import digest
from holdgate.kernel.detectors import DetectorSet
from holdgate.kernel.errors import PolicyInvalid
from holdgate.kernel.ids import Digest
from holdgate.kernel.index import Index
from holdgate.kernel.match import Check
from holdgate.kernel.records import STRICTEST_FIRST, Verdict
from holdgate.kernel.ruleform import parse_rules
from holdgate.kernel.rules import (
    AllowFinding,
    BundleRules,
    Combining,
    Destination,
    Detector,
    DetectorMode,
    OutputRule,
    OutputVerdict,
    Rule,
)

__all__ = [
    "BundleRules",
    "Combining",
    "CompiledRule",
    "OutputRule",
    "OutputVerdict",
    "Policy",
    "Rule",
    "compile_policy",
    "parse_rules",
    "snapshot_of",
]

STRICTNESS = {verdict: place for place, verdict in enumerate(STRICTEST_FIRST)}


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule as `evaluate` asks it. `position` is its place in its bundle; `first_only`: the bundle's combining.

    `checks` leaves the topic out, which the index has compared.
    """

    rule: Rule
    checks: tuple[Check, ...]
    plain: bool
    """Neither `not` nor `when`."""
    position: int
    first_only: bool


@dataclass(frozen=True, slots=True)
class Policy:
    """What `evaluate` and `decide_output` decide by.

    `rules` stand strictest first, then by id, so that the first of those that match decides and the order in which they
    were written never matters. `reads`: the fields of the job record that some rule looks at, a single label as
    `labels.<name>`: two jobs that agree in these are one job to the rules. `reads_now`: some rule looks at the time.
    """

    snapshot: Digest
    default: Verdict
    rules: tuple[Rule, ...]
    output_rules: tuple[OutputRule, ...]
    allow_findings: tuple[AllowFinding, ...]
    destinations: tuple[Destination, ...]
    detectors: tuple[Detector, ...]
    detector_modes: tuple[DetectorMode, ...]
    reads: frozenset[str]
    reads_now: bool
    compiled: tuple[CompiledRule, ...] = field(repr=False)
    index: Index = field(repr=False, compare=False)

    @property
    def detector_set(self) -> DetectorSet:
        """What outputs are scanned with beside the built-in detectors."""
        named = frozenset().union(*(item.fingerprints for item in self.allow_findings))
        return DetectorSet(self.snapshot, tuple(sorted(self.detectors, key=lambda item: item.id)), named)


def compile_policy(bundles: Sequence[BundleRules], *, snapshot: Digest, default: Verdict = Verdict.DENY) -> Policy:
    """The policy of `bundles`; PolicyInvalid when an id is taken twice or there are too many rules."""
    _verify_unique(bundles)
    compiled = [_compile(bundle, position) for bundle in bundles for position in range(len(bundle.rules))]
    _verify_number(bundles)
    compiled.sort(key=lambda item: (STRICTNESS[item.rule.decision], item.rule.id))
    rules = tuple(item.rule for item in compiled)
    reads = frozenset().union(*(_reads(rule) for rule in rules))
    policy = Policy(
        snapshot=snapshot,
        default=default,
        rules=rules,
        output_rules=tuple(rule for bundle in bundles for rule in bundle.output_rules),
        allow_findings=tuple(item for bundle in bundles for item in bundle.allow_findings),
        destinations=tuple(item for bundle in bundles for item in bundle.destinations),
        detectors=tuple(item for bundle in bundles for item in bundle.detectors),
        detector_modes=tuple(item for bundle in bundles for item in bundle.detector_modes),
        reads=reads,
        reads_now=any(rule.when is not None and rule.when.reads_now for rule in rules),
        compiled=tuple(compiled),
        index=Index([rule.match for rule in rules]),
    )
    _verify_detectors(policy.detector_set)
    return policy


def snapshot_of(bundle_digests: Iterable[str], root_version: int, combining: str = Combining.DENY_OVERRIDES) -> Digest:
    """The name of a policy: a digest over the sorted digests of the active bundles, the root's version, combining."""
    return digest({"bundles": sorted(bundle_digests), "root_version": root_version, "combining": str(combining)})


def _compile(bundle: BundleRules, position: int) -> CompiledRule:
    rule = bundle.rules[position]
    return CompiledRule(
        rule=rule,
        checks=tuple(check for name, check in rule.match.checks if name != "topics"),
        plain=rule.unless is None and rule.when is None,
        position=position,
        first_only=bundle.combining is Combining.FIRST_APPLICABLE,
    )


def _verify_unique(bundles: Sequence[BundleRules]) -> None:
    names: set[str] = set()
    owner: dict[str, str] = {}
    problems: list[tuple[tuple[str | int, ...], str]] = []
    for bundle in bundles:
        if bundle.name in names:
            problems.append(((bundle.name,), "two bundles have this name"))
        names.add(bundle.name)
        for name in bundle.ids:
            if name in owner:
                problems.append(((bundle.name, name), f"the id `{name}` is also taken in bundle `{owner[name]}`"))
            owner[name] = bundle.name
        twice = [name for name, count in Counter(item.name for item in bundle.destinations).items() if count > 1]
        problems.extend(((bundle.name, name), "this destination stands in two files") for name in twice)
    if problems:
        raise PolicyInvalid(problems)


def _verify_number(bundles: Sequence[BundleRules]) -> None:
    for what, limit in _LIMITS.items():
        numbers = [(len(getattr(bundle, what)), bundle.name) for bundle in bundles]
        most, own = getattr(limits, f"{limit}_MAX"), getattr(limits, f"{limit}_PER_BUNDLE_MAX", None)
        if sum(number for number, _ in numbers) > most:
            raise PolicyInvalid([((), f"more than {most} {what.replace('_', ' ')} in all bundles together")])
        for number, name in numbers:
            if own is not None and number > own:
                raise PolicyInvalid([((name,), f"more than {own} {what.replace('_', ' ')} in one bundle")])


_LIMITS = {
    "rules": "RULES",
    "output_rules": "RULES",
    "allow_findings": "ALLOW_FINDINGS",
    "destinations": "DESTINATIONS",
    "detectors": "DETECTORS",
    "detector_modes": "DETECTOR_MODES",
}


def _verify_detectors(handed_out: DetectorSet) -> None:
    """All of them fit into one message and, compiled together, into one automaton."""
    size = len(wire.pack(handed_out.as_dict()))
    if size > limits.DETECTOR_BYTES_MAX:
        raise PolicyInvalid([((), f"detectors and fingerprints of all bundles together are {size} bytes, too many")])
    first = (item.regex if item.anchor is None else item.anchor for item in handed_out.detectors)
    instructions = sum(patterns.compiled(pattern).programsize for pattern in first)
    if instructions > limits.DETECTOR_SIZE_MAX:
        why = f"the detectors of all bundles together are too large once compiled: {instructions}; shorten repeats"
        raise PolicyInvalid([((), why)])


def _reads(rule: Rule) -> frozenset[str]:
    reads = rule.match.reads()
    if rule.unless is not None:
        reads |= rule.unless.reads()
    if rule.when is not None:
        reads |= rule.when.reads
    if rule.throttle is not None:
        reads |= frozenset(rule.throttle.key)
    return reads
