"""What is kept of a verdict: for whoever reads the result, for the audit log, for the metrics. Never a value.

What always holds: findings of detectors that are off are in none of them; those of detectors in shadow are counted
apart and shown as what they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from holdgate.kernel import tracing
from holdgate.kernel.detectors import PREFIX
from holdgate.kernel.output import OutputDecision
from holdgate.kernel.records import Severity
from holdgate.kernel.rules import OutputVerdict
from holdgate.scan.output import UNSCANNABLE, FindingKind
from holdgate.scheduler.gates.output import metrics, verdicts
from holdgate.scheduler.gates.output.inspecting import Decided
from holdgate.scheduler.gates.output.questions import Question, verdicts_by_question
from holdgate.scheduler.state.transitions import State

_SEVERITIES = [str(severity) for severity in Severity]
_SHADOW = "shadow"


def verdict_record(decided: Decided, verdict: OutputVerdict, reason: str, now_ms: int) -> dict[str, Any]:
    """What readers of the result are told: the verdict, why, and every finding that is kept one by one."""
    decision, inspection = decided.decision, decided.inspected.inspection
    by_question = verdicts_by_question(decided.inspected.questions, decision)
    ignored, shadowed = frozenset(decision.ignored), frozenset(decision.shadowed)
    whole = [
        {"detector": kind[0], "category": kind[1], "severity": kind[2], "path": ""}
        for kind in _kinds(decided)
        if kind == verdicts.OVERSIZE or (kind == UNSCANNABLE and not inspection.described)
    ]
    shown = [
        {**found, "verdict": _SHADOW if _kind(found) in shadowed else str(_verdict(found, by_question))}
        for found in (*whole, *inspection.described)
        if _kind(found) not in ignored
    ]
    hidden = len(whole) + len(inspection.described) - len(shown)
    return {
        "verdict": str(verdict),
        "reason": reason,
        "rules": list(decision.rules),
        "snapshot": decision.snapshot,
        "findings": shown,
        "findings_total": inspection.total + len(whole) - hidden,
        "severity": worst(_effective(decided)),
        "decided_ms": now_ms,
        **_told(decided),
    }


def trace(decided: Decided, verdict: str, state: State | None) -> None:
    """A span below the run that the output is of, as its worker says: nothing is decided by that."""
    item = decided.inspected.item
    if not item.received_ns:
        return
    above = tracing.parse_traceparent((item.raw.headers or {}).get(tracing.TRACEPARENT, "").encode())
    if above is None:
        return
    told: dict[str, tracing.Value] = {
        "holdgate.job_id": item.message.job_id,
        "holdgate.attempt": item.message.attempt,
        "holdgate.verdict": verdict,
        "holdgate.findings": decided.inspected.inspection.total,
        "holdgate.state": str(state or ""),
    }
    tracing.record("output", above, item.received_ns, kind=tracing.Kind.CONSUMER, attributes=told)


def event_details(decided: Decided) -> dict[str, Any]:
    """What the audit event says beside the verdict."""
    kinds = _effective(decided)
    unscannable = decided.inspected.inspection.unscannable
    return {
        "findings": decided.inspected.inspection.total,
        "categories": sorted({kind[1] for kind in kinds}),
        "severity": worst(kinds),
        **_told(decided),
        **({"unscannable": sorted(set(unscannable))} if unscannable else {}),
    }


def count(decided: Decided, verdict: str) -> None:
    """Into the metrics, once the verdict is stored."""
    decision = decided.decision
    metrics.VERDICTS.labels(verdict).inc()
    metrics.CLASSES.labels(str(decision.data_class)).inc()
    unseen = _unseen(decision)
    by_kind = {(kind[1], kind[2], str(each)) for (kind, _), each in _answers(decided) if kind not in unseen}
    for category, severity, each in by_kind:
        metrics.FINDINGS.labels(category, severity, each).inc()
    for mark in decision.marks:
        metrics.MARKS.labels(mark).inc()
    for detector in {kind[0] for kind in decision.shadowed}:
        metrics.SHADOWED.labels("custom" if detector.startswith(PREFIX) else detector).inc()
    for reason in set(decided.inspected.inspection.unscannable):
        metrics.UNSCANNABLE.labels(reason).inc()
    if decision.allowed_by:
        metrics.ALLOWED.inc()


def worst(kinds: Iterable[FindingKind]) -> str | None:
    """The gravest severity among `kinds`; None where there are none."""
    return max((kind[2] for kind in kinds), key=_SEVERITIES.index, default=None)


def _told(decided: Decided) -> dict[str, Any]:
    """The class of the output, and what else the policy said of it where it said something."""
    decision = decided.decision
    shadow = _shadow_counts(decided)
    return {
        "data_class": str(decision.data_class),
        "marks": list(decision.marks),
        "shadow": shadow,
        "allowed_by": list(decision.allowed_by),
    }


def _shadow_counts(decided: Decided) -> dict[str, int]:
    """Findings of each detector in shadow; at least one each, though not all may have been described."""
    shadowed = frozenset(decided.decision.shadowed)
    if not shadowed:
        return {}
    counted = Counter(found["detector"] for found in decided.inspected.inspection.described if _kind(found) in shadowed)
    return {detector: max(1, counted[detector]) for detector in sorted({kind[0] for kind in shadowed})}


def _answers(decided: Decided) -> Iterable[tuple[Question, OutputVerdict]]:
    return zip(decided.inspected.questions, decided.decision.findings, strict=True)


def _kinds(decided: Decided) -> list[FindingKind]:
    return list(dict.fromkeys(kind for kind, _ in decided.inspected.questions))


def _effective(decided: Decided) -> list[FindingKind]:
    """The kinds that count."""
    unseen = _unseen(decided.decision)
    return [kind for kind in _kinds(decided) if kind not in unseen]


def _unseen(decision: OutputDecision) -> frozenset[FindingKind]:
    return frozenset((*decision.ignored, *decision.shadowed))


def _verdict(found: Mapping[str, Any], by_question: Mapping[Question, OutputVerdict]) -> OutputVerdict:
    kind = _kind(found)
    singly = by_question.get((kind, found.get("fingerprint")))
    return by_question[kind, None] if singly is None else singly


def _kind(found: Mapping[str, Any]) -> FindingKind:
    return found["detector"], found["category"], found["severity"]
