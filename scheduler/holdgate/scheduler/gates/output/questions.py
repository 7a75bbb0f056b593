"""What the kernel is asked about an output, and what its answers mean for each finding. Pure.

A question is a kind of finding; where a bundle allows single values by their fingerprints, a value of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cache, lru_cache
from typing import TypeAlias

from holdgate.kernel.dataclass import class_found, class_of, highest
from holdgate.kernel.output import OutputDecision, OutputFacts
from holdgate.kernel.rules import OutputVerdict
from holdgate.scan.findings import Category
from holdgate.scan.output import FindingKind, Inspection, Keep
from holdgate.scan.ruleset import builtin_rules
from holdgate.scheduler.gates.output.message import ResultMessage
from holdgate.scheduler.state.results import RunningFacts

Question: TypeAlias = tuple[FindingKind, str | None]
"""A kind, and the fingerprint of the value where each value of it is asked about."""
VALUES_MAX = 100
"""Values of one output that are asked about singly; of more, each kind is asked about as a whole."""


def to_ask(inspection: Inspection, kinds: Sequence[FindingKind], named: AbstractSet[str]) -> tuple[Question, ...]:
    """A question for each of `kinds`; for one with a value of a fingerprint in `named`, a question for each value."""
    values = _values(inspection) if named else {}
    asked: list[Question] = []
    for kind in kinds:
        of_kind = values.get(kind, ())
        if any(value in named for value in of_kind):
            asked += [(kind, value) for value in of_kind]
        else:
            asked.append((kind, None))
    return tuple(asked)


def output_facts(message: ResultMessage, facts: RunningFacts, asked: Sequence[Question]) -> OutputFacts:
    """What output rules may look at."""
    labels = facts.labels
    singly = any(value is not None for _, value in asked)
    return OutputFacts(
        tenant=message.tenant,
        topic=facts.topic,
        labels=labels,
        classification=labels.get("classification"),
        findings=tuple(kind for kind, _ in asked),
        fingerprints=tuple(() if value is None else (value,) for _, value in asked) if singly else (),
        destination=labels.get("destination"),
        input_class=input_class(facts),
        shadow_detectors=builtin_shadows(),
    )


def input_class(facts: RunningFacts) -> str:
    """The data class of what the job was given: what its label claims, but never below what was measured."""
    return _input_class(facts.labels.get("classification"), facts.secrets_present, facts.pii_present)


@lru_cache(maxsize=256)
def _input_class(label: str | None, secrets_present: bool, pii_present: bool) -> str:
    measured = [Category.SECRET] * secrets_present + [Category.PII] * pii_present
    return str(highest([class_of(label), class_found(map(str, measured))]))


def verdicts_by_question(asked: Sequence[Question], decision: OutputDecision) -> dict[Question, OutputVerdict]:
    """What happens to each."""
    return dict(zip(asked, decision.findings, strict=True))


def to_keep(asked: Sequence[Question], decision: OutputDecision) -> Keep:
    """What the policy lets through as it is."""
    allowed = [
        question for question, verdict in zip(asked, decision.findings, strict=True) if verdict is OutputVerdict.ALLOW
    ]
    return Keep(
        kinds=frozenset(kind for kind, value in allowed if value is None),
        values=frozenset((kind, value) for kind, value in allowed if value is not None),
    )


@cache
def builtin_shadows() -> tuple[str, ...]:
    """Built-in detectors that only count unless a bundle enforces them."""
    return tuple(rule.id for rule in builtin_rules() if rule.shadow)


def _values(inspection: Inspection) -> Mapping[FindingKind, Sequence[str | None]]:
    """The values of each kind; none at all where not every finding was described, or there are too many."""
    if inspection.total > len(inspection.described):
        return {}
    values: dict[FindingKind, dict[str | None, None]] = defaultdict(dict)
    for found in inspection.described:
        values[found["detector"], found["category"], found["severity"]][found.get("fingerprint")] = None
    if sum(map(len, values.values())) > VALUES_MAX:
        return {}
    return {kind: list(of_kind) for kind, of_kind in values.items()}
