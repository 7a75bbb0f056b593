"""Decisions, and why each rule did or did not match."""

from __future__ import annotations

from holdgate.kernel.records import Phase, Severity, Verdict
from holdgate.scheduler.api.schemas.shapes import (
    BOOLEAN,
    COUNT,
    DIGEST,
    INTEGER,
    LABELS_OUT,
    OBJECT,
    TEXTS,
    TIME,
    Schema,
    listed,
    nullable,
    record,
    ref,
    text,
)

_SEEN: dict[str, Schema] = {
    "wanted": {"anyOf": [TEXTS, BOOLEAN], "description": "What the rule wants; of more than eight values, the first."},
    "given": {
        "anyOf": [text(), TEXTS, BOOLEAN, {"type": "null"}],
        "description": "What the job has there; null: nothing.",
    },
}
_SEEN_FIELDS = listed(record({"field": text(), **_SEEN}))
_STEP: dict[str, Schema] = {
    "id": text(),
    "bundle": text(),
    "decision": text(enum=[str(item) for item in Verdict]),
    "matched": {**BOOLEAN, "description": "Whether the rule counts."},
    "held": {**TEXTS, "description": "Fields that hold, up to the first that does not."},
    "failed": {
        **text(),
        "description": "The first field that does not hold; `not`; `when`; `first-applicable`: an earlier rule counts.",
    },
    **_SEEN,
    "reason": text(),
    "fields": _SEEN_FIELDS,
    "not": {**BOOLEAN, "description": "Whether `not` holds, which spares the job."},
    "spared": _SEEN_FIELDS,
    "when": record({"text": text(), "result": {**nullable(BOOLEAN), "description": "null: it has no answer"}}),
    "error": text(),
    "left_out": {**COUNT, "description": "The last step alone: how many rules the trace does not tell of."},
}
TRACE_STEP = record(_STEP, optional=frozenset(_STEP))
_NAMED: dict[str, Schema] = {"id": text(), "bundle": text(), "decision": text(enum=[str(item) for item in Verdict])}
COMBINED = record(
    {
        "why": text(),
        "won": listed(record(_NAMED)),
        "over": listed(record(_NAMED)),
        "void": listed(record({**_NAMED, "first": text()})),
        "default": text(enum=[str(item) for item in Verdict]),
        "constraints": {
            "type": "object",
            "additionalProperties": record({"value": {"anyOf": [INTEGER, TEXTS]}, "rules": TEXTS}),
        },
    }
)
DECISION = record(
    {
        "verdict": text(enum=[str(item) for item in Verdict]),
        "reason": text(),
        "rules": TEXTS,
        "deciding": TEXTS,
        "constraints": OBJECT,
        "remediations": listed(ref("Remediation")),
        "approvals": listed(ref("Requirement")),
        "throttles": listed(OBJECT),
        "within": nullable(text(enum=[str(item) for item in Verdict])),
        "snapshot": DIGEST,
        "job_hash": DIGEST,
        "phase": text(enum=[str(item) for item in Phase]),
        "cacheable": BOOLEAN,
        "errors": TEXTS,
        "decided_at": TIME,
        "decided_ms": COUNT,
        "trace": listed(ref("TraceStep")),
        "combined": ref("Combined"),
    },
    optional=frozenset({"trace", "combined"}),
)
DECISIONS_COMPONENTS: dict[str, Schema] = {
    "Decision": DECISION,
    "TraceStep": TRACE_STEP,
    "Combined": COMBINED,
    "Remediation": record(
        {"id": text(), "title": text(), "topic": text(), "capability": text(), "labels": LABELS_OUT},
        optional=frozenset({"topic", "capability", "labels"}),
    ),
    "Requirement": record(
        {
            "rule": text(),
            "roles": TEXTS,
            "names": TEXTS,
            "quorum": COUNT,
            "expires_s": COUNT,
            "escalate_after_s": nullable(COUNT),
            "escalate_roles": {**TEXTS, "description": "Who may release it too once it escalated."},
            "escalate_names": TEXTS,
            "not_author": {**BOOLEAN, "description": "Whether who signed the rule's bundle may not release it."},
            "excluded": {**TEXTS, "description": "People who may not release it, whatever their roles."},
            "signed": {**BOOLEAN, "description": "Whether votes must be signed with the approver's own key."},
            "severity": text(enum=[str(item) for item in Severity]),
            "bulk": {**BOOLEAN, "description": "Whether it may be released in one act with others."},
            "grants": {**BOOLEAN, "description": "Whether a standing grant may release it."},
            "break_glass": {**BOOLEAN, "description": "Whether two holders of `break_glass` may release it."},
            "reading_s": {**COUNT, "description": "How long an approver looks at it first."},
            "confirm": {**text(), "description": "What an approver types to release it; empty: nothing."},
            "reason": text(),
            "definition": {**text(), "description": "Digest of the rule as it was written, and of its bundle's name."},
        }
    ),
}
