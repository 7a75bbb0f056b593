"""JSON schemas (2020-12) of what goes in and out, as OpenAPI components. The form's parser is `kernel.jobform`; these
describe it, and the fuzz test holds the two together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdgate.kernel import limits
from holdgate.kernel.records import Phase, Priority, Verdict
from holdgate.scheduler.api.problems import KINDS
from holdgate.scheduler.state.approvals import ApprovalStatus
from holdgate.scheduler.state.transitions import State

Schema = dict[str, Any]
TAG = f"^[A-Za-z0-9][A-Za-z0-9_.:/@+-]{{0,{limits.TAG_CHARS_MAX - 1}}}$"
LABEL_KEY = (
    f"^(?![Hh][Oo][Ll][Dd][Gg][Aa][Tt][Ee]\\.)[A-Za-z0-9][A-Za-z0-9_.:/@+-]{{0,{limits.LABEL_KEY_CHARS_MAX - 1}}}$"
)
NAME = "^[a-z0-9][a-z0-9_-]{0,62}$"
ACTOR = "^[A-Za-z0-9][A-Za-z0-9_.:@/-]{0,127}$"
TOPIC = f"^[A-Za-z0-9_-]+(\\.[A-Za-z0-9_-]+){{0,{limits.TOPIC_TOKENS_MAX - 1}}}$"
PRINTABLE = "^[^\\u0000-\\u001f\\u007f-\\u009f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069\\ufeff]*$"
PROMPT = "^[^\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f]*$"
"""Written without reference to the interpreter's `re`: OpenAPI patterns are ECMA 262."""


def text(**more: Any) -> Schema:
    """A string."""
    return {"type": "string", **more}


def nullable(schema: Schema) -> Schema:
    """That, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def listed(items: Schema, **more: Any) -> Schema:
    """A list of that."""
    return {"type": "array", "items": items, **more}


def record(properties: Mapping[str, Schema], *, optional: frozenset[str] = frozenset(), closed: bool = True) -> Schema:
    """An object with these members, all required but `optional`."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": sorted(set(properties) - optional),
        "additionalProperties": not closed,
    }


def ref(name: str) -> Schema:
    """The component of that name."""
    return {"$ref": f"#/components/schemas/{name}"}


def page(items: Schema, **more: Schema) -> Schema:
    """A list in pieces."""
    return record({"items": listed(items), "next_cursor": nullable(text()), **more})


TIME = text(format="date-time")
DIGEST = text(pattern="^sha256:[0-9a-f]{64}$")
INTEGER = {"type": "integer"}
COUNT = {"type": "integer", "minimum": 0}
BOOLEAN = {"type": "boolean"}
ANY: Schema = {}
OBJECT: Schema = {"type": "object"}
TEXTS = listed(text())
LABELS_OUT: Schema = {"type": "object", "additionalProperties": text()}
TAGS_IN = nullable(listed(text(pattern=TAG), maxItems=limits.TAGS_MAX))
ID_OUT = text(pattern="^job_[0-9a-f-]{36}$")

FORM: dict[str, Schema] = {
    "topic": text(pattern=TOPIC, minLength=1, maxLength=limits.TOPIC_CHARS_MAX),
    "prompt": nullable(text(maxLength=limits.PROMPT_CHARS_MAX, pattern=PROMPT)),
    "payload": {"description": "Any JSON value that RFC 8785 can write."},
    "labels": nullable(
        {
            "type": "object",
            "maxProperties": limits.LABELS_MAX,
            "propertyNames": {"pattern": LABEL_KEY},
            "additionalProperties": text(maxLength=limits.LABEL_VALUE_CHARS_MAX, pattern=PRINTABLE),
        }
    ),
    "capability": nullable(text(pattern=TAG)),
    "risk_tags": TAGS_IN,
    "requires": TAGS_IN,
    "pool": nullable(text(pattern=NAME)),
    "priority": nullable(text(enum=[str(item) for item in Priority])),
    "concurrency_key": nullable(text(minLength=1, maxLength=limits.CONCURRENCY_KEY_CHARS_MAX, pattern=PRINTABLE)),
    "run_at": nullable(TIME),
    "deadline": nullable(TIME),
    "max_attempts": nullable({"type": "integer", "minimum": 1, "maximum": limits.ATTEMPTS_MAX}),
}
SUPPOSED: dict[str, Schema] = {
    "job_id": nullable(text(maxLength=128, pattern=PRINTABLE)),
    "tenant": nullable(text(pattern=NAME)),
    "actor": nullable(text(pattern=ACTOR)),
    "actor_type": nullable(text(pattern=NAME)),
    "principals": nullable(listed(text(pattern=ACTOR), maxItems=limits.PRINCIPALS_MAX)),
    "now": nullable({"anyOf": [TIME, COUNT]}),
}
FACTS = record(
    {**FORM, **SUPPOSED, "meta": nullable(record({**FORM, **SUPPOSED}, optional=frozenset({*FORM, *SUPPOSED})))},
    optional=frozenset({*FORM, *SUPPOSED, "meta"}),
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
JOB_FACTS: dict[str, Schema] = {
    "job_id": ID_OUT,
    "tenant": text(),
    "topic": text(),
    "labels": LABELS_OUT,
    "capability": nullable(text()),
    "risk_tags": TEXTS,
    "requires": TEXTS,
    "pool": text(),
    "priority": text(enum=[str(item) for item in Priority]),
    "concurrency_key": nullable(text()),
    "run_at": nullable(TIME),
    "deadline": nullable(TIME),
    "max_attempts": COUNT,
    "actor": text(),
    "actor_type": text(),
    "principals": TEXTS,
    "payload_digest": DIGEST,
    "secrets_present": BOOLEAN,
    "remediation_of": nullable(text()),
    "trace_id": text(),
    "created_at": TIME,
}
STATE = text(enum=[str(item) for item in State])
JOB_ROW: dict[str, Schema] = {
    **JOB_FACTS,
    "state": STATE,
    "job_hash": DIGEST,
    "attempt": COUNT,
    "verdict": text(enum=[str(item) for item in Verdict]),
    "waiting_reason": nullable(text()),
    "code": nullable(text()),
    "reason": nullable(text()),
    "fail_open": BOOLEAN,
    "worker": nullable(text()),
    "permit_id": nullable(text()),
    "progress": nullable({"type": "number"}),
    "cancel_requested_by": nullable(text()),
    "updated_at": TIME,
    "ready_at": nullable(TIME),
    "started_at": nullable(TIME),
    "ended_at": nullable(TIME),
}
APPROVAL_ROW: dict[str, Schema] = {
    "job_id": ID_OUT,
    "status": text(enum=[str(item) for item in ApprovalStatus]),
    "job_hash": DIGEST,
    "snapshot": DIGEST,
    "previous_snapshot": nullable(DIGEST),
    "topic": text(),
    "actor": text(),
    "principals": TEXTS,
    "round": COUNT,
    "created_at": TIME,
    "expires_at": TIME,
    "resolved_at": nullable(TIME),
    "deferred_until": nullable(TIME),
    "requirements": listed(ref("Requirement")),
    "votes": listed(
        record({"approver": text(), "roles": TEXTS, "approve": BOOLEAN, "reason": text(), "cast_at": TIME})
    ),
}
_SAYABLE = "[^\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f]*"
REASON_IN = text(minLength=1, maxLength=limits.REASON_CHARS_MAX, pattern=f"^{_SAYABLE}[^\\s\\u0000-\\u001f]{_SAYABLE}$")
VOTED = record({"job_id": ID_OUT, "status": text(), "state": STATE, "votes_missing": COUNT})
COUNTS: Schema = {"type": "object", "additionalProperties": COUNT}
CHECKS: Schema = {"type": "object", "additionalProperties": text()}
PROBLEM = record(
    {
        "type": text(),
        "title": text(),
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "code": text(enum=sorted(KINDS)),
        "detail": text(),
        "trace_id": text(),
        "retry_after_s": COUNT,
        "errors": listed(record({"field": text(), "detail": text()})),
        "job_id": ID_OUT,
        "rule": nullable(text()),
        "reason": text(),
        "decision": ref("Decision"),
        "remediations": listed(ref("Remediation")),
        "checks": CHECKS,
    },
    optional=frozenset(
        {"trace_id", "retry_after_s", "errors", "job_id", "rule", "reason", "decision", "remediations", "checks"}
    ),
)
SIGNERS = listed(record({"key": text(), "author": text()}))
BUNDLE_ROW: dict[str, Schema] = {
    "name": text(),
    "version": nullable(COUNT),
    "digest": nullable(DIGEST),
    "revision": COUNT,
    "published_at": TIME,
    "publisher": nullable(text()),
    "accepted_widening": BOOLEAN,
    "signers": SIGNERS,
    "expires": nullable(TIME),
    "restores": nullable(COUNT),
    "renews": nullable(COUNT),
    "problem": nullable(text()),
}
BUNDLE_TOLD: dict[str, Schema] = {
    "description": text(),
    "scope": record({"tenants": TEXTS, "topics": TEXTS}),
    "valid_from": nullable(TIME),
    "grace": nullable(text()),
    "files": listed(record({"path": text(), "sha256": DIGEST, "bytes": COUNT})),
    "rules": TEXTS,
    "tests": TEXTS,
}
COMPONENTS: dict[str, Schema] = {
    "Problem": PROBLEM,
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
            "signed": BOOLEAN,
            "reason": text(),
        }
    ),
    "JobForm": record(
        {**FORM, "dry_run": {"type": "boolean", "default": False}}, optional=frozenset({*FORM, "dry_run"} - {"topic"})
    ),
    "EvaluateForm": record(FORM, optional=frozenset(FORM) - {"topic"}),
    "Facts": FACTS,
    "Submitted": record(
        {"job_id": ID_OUT, "state": STATE, "decision": ref("Decision"), "trace_id": text(), "fail_open": BOOLEAN},
        optional=frozenset({"fail_open"}),
    ),
    "DryRun": record({"dry_run": {"const": True}, "decision": ref("Decision"), "trace_id": text()}),
    "JobRow": record(JOB_ROW),
    "Job": record({**JOB_ROW, "prompt": nullable(text()), "decision": ref("Decision")}),
    "JobPage": page(ref("JobRow")),
    "DecisionPage": page(ref("Decision")),
    "EventPage": page(record({"seq": COUNT, "time": nullable(TIME), "type": text()}, closed=False)),
    "Result": record(
        {
            "job_id": ID_OUT,
            "state": STATE,
            "attempt": COUNT,
            "verdict": OBJECT,
            "value": ANY,
            "logs": TEXTS,
            "error": nullable(OBJECT),
            "finished_at": TIME,
        }
    ),
    "CancelForm": record({"reason": nullable(text(maxLength=limits.REASON_CHARS_MAX))}, optional=frozenset({"reason"})),
    "Cancelled": record({"job_id": ID_OUT, "state": STATE, "cancel_requested": BOOLEAN}),
    "RemediateForm": record(
        {
            "remediation_id": nullable(text()),
            "payload": ANY,
            "prompt": nullable(text(maxLength=limits.PROMPT_CHARS_MAX)),
        },
        optional=frozenset({"remediation_id", "payload", "prompt"}),
    ),
    "ApprovalRow": record(APPROVAL_ROW),
    "ApprovalPage": page(ref("ApprovalRow")),
    "Approval": record(
        {
            **APPROVAL_ROW,
            "job": record({**JOB_FACTS, "state": STATE, "prompt": nullable(text())}),
            "payload": ANY,
            "payload_shown": BOOLEAN,
            "decision": ref("Decision"),
            "rules": TEXTS,
            "reason": text(),
            "constraints": OBJECT,
        }
    ),
    "VoteForm": record({"job_hash": text(maxLength=128), "snapshot": text(maxLength=128), "reason": REASON_IN}),
    "Voted": VOTED,
    "DeferForm": record({"until": TIME, "reason": REASON_IN}),
    "SnapshotPage": page(
        record(
            {
                "replica": text(),
                "snapshot": DIGEST,
                "policy": BOOLEAN,
                "reason": text(),
                "root_version": nullable(COUNT),
                "uptime_s": {"type": "number"},
                "bundles": listed(OBJECT),
                "revision": nullable(COUNT),
                "signers": nullable(TEXTS),
                "freshness": nullable(LABELS_OUT),
                "dropped": nullable(listed(OBJECT)),
                "last_success": nullable(TIME),
                "last_error": nullable(OBJECT),
                "age_s": nullable(COUNT),
                "source": OBJECT,
            }
        ),
        agreed=BOOLEAN,
    ),
    "BundlePage": page(record({**BUNDLE_ROW, **BUNDLE_TOLD}, optional=frozenset(BUNDLE_TOLD))),
    "BundleShown": record({**BUNDLE_ROW, **BUNDLE_TOLD}, optional=frozenset(BUNDLE_TOLD)),
    "BundleVersionPage": page(record(BUNDLE_ROW)),
    "BundleReview": record(
        {
            "name": text(),
            "version": COUNT,
            "digest": DIGEST,
            "signers": SIGNERS,
            "widens": BOOLEAN,
            "publishable": BOOLEAN,
            "objections": listed(
                record(
                    {
                        "code": text(),
                        "detail": text(),
                        "errors": listed(record({"field": text(), "detail": text()})),
                    }
                )
            ),
            "tests": OBJECT,
            "diff": OBJECT,
            "changes_left_out": COUNT,
            "findings": listed(OBJECT),
            "left_out": LABELS_OUT,
        }
    ),
    "BundleFile": {
        "type": "object",
        "description": "A built and signed bundle file (`holdgate bundle build`, `sign`).",
    },
    "Published": record(
        {
            "name": text(),
            "version": COUNT,
            "digest": DIGEST,
            "revision": COUNT,
            "signers": SIGNERS,
            "widens": BOOLEAN,
            "accepted_widening": BOOLEAN,
            "restores": nullable(COUNT),
            "renews": nullable(COUNT),
            "tests": COUNT,
            "findings": listed(OBJECT),
        }
    ),
    "ReplayForm": record(
        {
            "bundle": {"type": "object", "description": "The object in a built bundle file, signed or not."},
            "last": {"type": "integer", "minimum": 1, "maximum": 1_000_000, "default": 10_000},
            "since": nullable(TIME),
            "baseline": text(enum=["recorded", "active"], default="recorded"),
        },
        optional=frozenset({"last", "since", "baseline"}),
    ),
    "ReplayReport": record(
        {
            "candidate": record({"name": text(), "version": COUNT, "digest": DIGEST}),
            "baseline": text(enum=["recorded", "active"]),
            "complete": BOOLEAN,
            "stopped": nullable(text(enum=["time", "slow"])),
            "decisions": COUNT,
            "unchanged": COUNT,
            "wider": COUNT,
            "other": COUNT,
            "tighter": COUNT,
            "widens": BOOLEAN,
            "not_comparable": COUNTS,
            "errors": COUNT,
            "transitions": COUNTS,
            "groups": listed(ref("ReplayGroup")),
            "oldest": nullable(TIME),
            "newest": nullable(TIME),
        }
    ),
    "ReplayGroup": record(
        {
            "outcome": text(enum=["wider", "other", "tighter"]),
            "before": text(enum=[str(item) for item in Verdict]),
            "after": text(enum=[str(item) for item in Verdict]),
            "rule_before": nullable(text()),
            "rule_after": nullable(text()),
            "differs": TEXTS,
            "count": COUNT,
            "examples": listed(
                record(
                    {
                        "job_id": ID_OUT,
                        "topic": text(),
                        "capability": nullable(text()),
                        "labels": LABELS_OUT,
                        "decided_at": TIME,
                    }
                )
            ),
        }
    ),
    "Shadowed": record({"name": text(), "version": COUNT, "digest": DIGEST, "revision": COUNT}),
    "ShadowStopped": record({"name": text()}),
    "ShadowPage": page(
        record(
            {
                "name": text(),
                "replicas": listed(
                    record(
                        {
                            "replica": text(),
                            "state": text(enum=["shadowed", "refused"]),
                            "version": nullable(COUNT),
                            "digest": nullable(DIGEST),
                            "code": nullable(text()),
                            "message": nullable(text()),
                        }
                    )
                ),
                "counts": {"type": "object", "additionalProperties": COUNTS},
                "samples": listed(
                    record(
                        {
                            "tenant": text(),
                            "job_id": text(),
                            "topic": text(),
                            "phase": text(enum=[str(Phase.SUBMIT), str(Phase.DISPATCH)]),
                            "outcome": text(enum=["wider", "other", "tighter"]),
                            "before": text(enum=[str(item) for item in Verdict]),
                            "after": text(enum=[str(item) for item in Verdict]),
                            "rules_before": TEXTS,
                            "rules_after": TEXTS,
                            "differs": TEXTS,
                            "decided_at": TIME,
                        }
                    )
                ),
            }
        )
    ),
    "WorkerPage": page(
        record(
            {
                "worker": text(),
                "pool": text(),
                "topics": TEXTS,
                "capabilities": TEXTS,
                "capacity": COUNT,
                "busy": COUNT,
                "seen_at": TIME,
            }
        )
    ),
    "PoolPage": page(
        record(
            {"pool": text(), "workers": COUNT, "capacity": COUNT, "busy": COUNT, "topics": TEXTS, "capabilities": TEXTS}
        )
    ),
    "QuarantinePage": page(
        record({"job_id": ID_OUT, "attempt": COUNT, "verdict": OBJECT, "sealed": BOOLEAN, "quarantined_at": TIME})
    ),
    "Health": record({"status": {"const": "ok"}}),
    "Ready": record({"status": text(enum=["ready", "degraded"]), "checks": CHECKS}),
    "Status": record(
        {"version": text(), "tenant": text(), "time": TIME, "checks": CHECKS, "jobs": OBJECT}, closed=False
    ),
    "Description": OBJECT,
    "Page": text(),
    "Stream": text(),
}
