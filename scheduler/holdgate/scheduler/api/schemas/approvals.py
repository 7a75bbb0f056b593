"""Approvals and votes."""

from __future__ import annotations

from holdgate.kernel import limits
from holdgate.kernel.records import Severity
from holdgate.scheduler.api.schemas.approval_facts import PORTION
from holdgate.scheduler.api.schemas.jobs import JOB_FACTS
from holdgate.scheduler.api.schemas.shapes import (
    ANY,
    BOOLEAN,
    COUNT,
    DIGEST,
    ID_OUT,
    OBJECT,
    PRINTABLE,
    REASON_IN,
    STATE,
    TEXTS,
    TIME,
    Schema,
    listed,
    nullable,
    page,
    record,
    ref,
    text,
)
from holdgate.scheduler.state.approvals import ApprovalStatus

VOTES_COUNTED: dict[str, Schema] = {
    "votes_missing": {**COUNT, "description": "Ordinary votes that are missing where nobody breaks the glass."},
    "glass_votes": {
        **nullable(COUNT),
        "description": "People who broke the glass, counted apart; null where a rule forbids it.",
    },
    "glass_votes_needed": {**nullable(COUNT), "description": "How many of them release it."},
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
    "severity": text(enum=[str(item) for item in Severity]),
    "rules": TEXTS,
    "reason": text(),
    "shape": {**nullable(DIGEST), "description": "Held jobs of one shape can be decided in one look."},
    "reading_s": {**COUNT, "description": "How long it must have been read before it is approved."},
    "confirm": {**nullable(text()), "description": "The text to type to approve it."},
    "escalated": {**BOOLEAN, "description": "Whether others than those first named may vote by now."},
    "remaining_s": COUNT,
    "round": COUNT,
    "created_at": TIME,
    "expires_at": TIME,
    "resolved_at": nullable(TIME),
    "deferred_until": nullable(TIME),
    "requirements": listed(ref("Requirement")),
    **VOTES_COUNTED,
    "votes": listed(ref("CastVote")),
}
VOTED = record({"job_id": ID_OUT, "status": text(), "state": STATE, **VOTES_COUNTED})
CAST_VOTE = record(
    {
        "approver": text(),
        "roles": TEXTS,
        "approve": BOOLEAN,
        "reason": text(),
        "cast_at": TIME,
        "own_key": {**BOOLEAN, "description": "Signed with the approver's own key."},
        "on_behalf_of": nullable(text()),
        "grant": {**nullable(text()), "description": "The standing grant for which the API cast it."},
        "break_glass": BOOLEAN,
        "counts": {**BOOLEAN, "description": "False once the approver's API keys let them approve no more."},
    }
)
PAST_ROUND = record(
    {
        "status": text(enum=[str(item) for item in ApprovalStatus]),
        "job_hash": DIGEST,
        "snapshot": DIGEST,
        "round": COUNT,
        "created_at": TIME,
        "ended_at": TIME,
        "requirements": listed(ref("Requirement")),
        "decision": ref("Decision"),
        "votes": listed(ref("CastVote")),
    }
)
TO_SIGN = record(
    {
        "job_id": ID_OUT,
        "job_hash": DIGEST,
        "snapshot": DIGEST,
        "tenant": text(),
        "approver": text(),
        "roles": TEXTS,
        "approve": BOOLEAN,
        "attempt": COUNT,
        "expires_ms": COUNT,
        "expires_at": TIME,
        "keys": {**TEXTS, "description": "Fingerprints of the keys that the root lists for the caller."},
    }
)
LOOK: dict[str, Schema] = {
    "may_vote": BOOLEAN,
    "refused_for": {**nullable(text()), "description": "The code of what a vote would be refused for."},
    "may_break_glass": BOOLEAN,
    "break_glass_refused_for": {
        **nullable(text()),
        "description": "The code of what a vote that breaks the glass would be refused for.",
    },
    "reading_left_s": {**COUNT, "description": "Until an approval is not too soon."},
    "previous": {**nullable(ref("PastRound")), "description": "What was asked and said when it was held before."},
    "changes": listed(record({"what": text(), "before": ANY, "after": ANY})),
    "can_reconfirm": {**BOOLEAN, "description": "Whether the caller's earlier yes can be given again as it was."},
    "to_sign": {**nullable(TO_SIGN), "description": "What a vote of the caller's own key says beside reason and time."},
}
SHOWN: dict[str, Schema] = {"job_hash": text(maxLength=128), "snapshot": text(maxLength=128)}
PRINTABLE_IN = text(minLength=1, pattern=PRINTABLE)
SIGNED_IN = record(
    {
        "body": text(minLength=1, contentEncoding="base64"),
        "key": text(minLength=1, maxLength=64),
        "signature": text(minLength=1, maxLength=128, contentEncoding="base64"),
    }
)
REJECT: dict[str, Schema] = {
    **SHOWN,
    "reason": REASON_IN,
    "on_behalf_of": nullable({**PRINTABLE_IN, "maxLength": 128}),
    "vote": nullable(SIGNED_IN),
}
CONFIRM: dict[str, Schema] = {"confirm": nullable({**PRINTABLE_IN, "maxLength": limits.REASON_CHARS_MAX})}
APPROVE: dict[str, Schema] = {**REJECT, **CONFIRM, "break_glass": BOOLEAN}
APPROVALS_COMPONENTS: dict[str, Schema] = {
    "ApprovalRow": record(APPROVAL_ROW),
    "ApprovalPage": page(ref("ApprovalRow")),
    "Approval": record(
        {
            **APPROVAL_ROW,
            **LOOK,
            "job": record({**JOB_FACTS, "state": STATE, "prompt": nullable(text())}),
            "payload": ANY,
            **PORTION,
            "decision": ref("Decision"),
            "constraints": OBJECT,
        }
    ),
    "CastVote": CAST_VOTE,
    "PastRound": PAST_ROUND,
    "VoteForm": record(APPROVE, optional=frozenset(APPROVE) - {*SHOWN, "reason"}),
    "RejectForm": record(REJECT, optional=frozenset(REJECT) - {*SHOWN, "reason"}),
    "ReconfirmForm": record({**SHOWN, **CONFIRM}, optional=frozenset(CONFIRM)),
    "Voted": VOTED,
    "DeferForm": record({"until": TIME, "reason": REASON_IN}),
}
