"""Jobs: the forms that submit them, and what is shown of them."""

from __future__ import annotations

from holdgate.kernel import limits
from holdgate.kernel.records import Priority, Verdict
from holdgate.scheduler.api.schemas.artifacts import ARTIFACTS
from holdgate.scheduler.api.schemas.shapes import (
    ACTOR,
    ANY,
    BOOLEAN,
    COUNT,
    DIGEST,
    ID_OUT,
    LABEL_KEY,
    LABELS_OUT,
    NAME,
    OBJECT,
    PRINTABLE,
    PROMPT,
    SECRET_NAME,
    STATE,
    TAG,
    TAGS_IN,
    TEXTS,
    TIME,
    TOPIC,
    Schema,
    listed,
    nullable,
    page,
    record,
    ref,
    text,
)

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
    "secrets": nullable(
        {
            **listed(text(pattern=SECRET_NAME), maxItems=limits.SECRETS_MAX),
            "description": "Names of secrets that the worker is to hand to the handler.",
        }
    ),
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
    "pii_present": BOOLEAN,
    "remediation_of": nullable(text()),
    "secrets": {**TEXTS, "description": "Names of secrets that it asks its worker for; never their values."},
    "trace_id": text(),
    "created_at": TIME,
}
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
    "broke_glass": {**BOOLEAN, "description": "Released by two people past the quorum of its rules."},
    "worker": nullable(text()),
    "permit_id": nullable(text()),
    "progress": nullable({"type": "number"}),
    "cancel_requested_by": nullable(text()),
    "updated_at": TIME,
    "ready_at": nullable(TIME),
    "started_at": nullable(TIME),
    "ended_at": nullable(TIME),
}
JOBS_COMPONENTS: dict[str, Schema] = {
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
    "Job": record(
        {
            **JOB_ROW,
            "prompt": nullable(text()),
            "decision": ref("Decision"),
            "output": {
                **nullable(ref("OutputTold")),
                "description": "What the output gate said, once the job has ended with an output.",
            },
            "masked": {
                **nullable(COUNT),
                "description": "With `masked=true`: how many secrets were; null where they could not be searched for, "
                "and prompt and labels are not shown.",
            },
        },
        optional=frozenset({"masked"}),
    ),
    "OutputTold": record(
        {
            "verdict": nullable(text()),
            "reason": nullable(text()),
            "severity": nullable(text()),
            "findings_total": COUNT,
            "data_class": {
                **nullable(text()),
                "description": "The highest class of what the job was given and of what was found in its output.",
            },
            "marks": {**TEXTS, "description": "What the output is to be handled as, such as `untrusted_instructions`."},
            "shadow": {
                **OBJECT,
                "description": "Findings of detectors in shadow, by detector: counted, and of no consequence.",
            },
            "allowed_by": {**TEXTS, "description": "Ids of the `allow_findings` that let something through."},
        }
    ),
    "RevealedJob": record({"job_id": ID_OUT, "labels": LABELS_OUT, "prompt": nullable(text())}),
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
            "value_shown": {**BOOLEAN, "description": "Whether there is one."},
            "value_bytes": {**nullable(COUNT), "description": "Its length."},
            "value_left_out": {**BOOLEAN, "description": "Longer than `value_bytes_max`, and so not in the reply."},
            "artifacts": ARTIFACTS,
            "logs": TEXTS,
            "error": nullable(OBJECT),
            "finished_at": TIME,
        }
    ),
    "CancelForm": record({"reason": nullable(text(maxLength=limits.REASON_CHARS_MAX))}, optional=frozenset({"reason"})),
    "RetryForm": record({"reason": nullable(text(maxLength=limits.REASON_CHARS_MAX))}, optional=frozenset({"reason"})),
    "Cancelled": record({"job_id": ID_OUT, "state": STATE, "cancel_requested": BOOLEAN}),
    "RemediateForm": record(
        {
            "remediation_id": nullable(text()),
            "payload": ANY,
            "prompt": nullable(text(maxLength=limits.PROMPT_CHARS_MAX)),
        },
        optional=frozenset({"remediation_id", "payload", "prompt"}),
    ),
}
