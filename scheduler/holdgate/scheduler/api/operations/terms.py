"""What the tables of calls share: who may call, parameters of lists, and the errors of whole kinds of calls."""

from __future__ import annotations

from holdgate.bundles.documents import CODES as YAML_CODES
from holdgate.kernel import limits
from holdgate.scheduler.api.calls import Query
from holdgate.scheduler.api.paging import CURSOR_CHARS_MAX, LIMIT_DEFAULT, LIMIT_MAX
from holdgate.scheduler.identity.keys import Role
from holdgate.scheduler.state.transitions import DEAD, State

API = "/api/v1"
ANY_KEY: frozenset[Role] = frozenset()
SEES_JOBS = frozenset({Role.AGENT, Role.APPROVER, Role.OPERATOR, Role.AUDITOR})
AGENT = frozenset({Role.AGENT})
AGENT_OPERATOR = frozenset({Role.AGENT, Role.OPERATOR})
OPERATOR = frozenset({Role.OPERATOR})
REVEALS = frozenset({Role.AGENT, Role.APPROVER, Role.OPERATOR})
APPROVER = frozenset({Role.APPROVER})
SEES_APPROVALS = frozenset({Role.APPROVER, Role.OPERATOR, Role.AUDITOR})
AUTHOR = frozenset({Role.AUTHOR})
SEES_BUNDLES = frozenset({Role.AUTHOR, Role.OPERATOR, Role.AUDITOR})
SEES_SHADOWS = frozenset({Role.AUTHOR, Role.OPERATOR})
SEES_SYSTEM = frozenset({Role.OPERATOR, Role.AUDITOR})
AUDITOR = frozenset({Role.AUDITOR})
SEES_OVERVIEW = frozenset({Role.APPROVER, Role.OPERATOR, Role.AUDITOR, Role.AUTHOR})

PAGE = (
    Query(
        "limit",
        {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT},
        "How many items at most.",
    ),
    Query(
        "cursor",
        {"type": "string", "minLength": 1, "maxLength": CURSOR_CHARS_MAX},
        "`next_cursor` of the piece before.",
    ),
)
STATE = Query("state", {"type": "string", "enum": [str(item) for item in State]}, "Only jobs in this state.")
DEAD_STATE = Query(
    "state", {"type": "string", "enum": sorted(map(str, DEAD)), "default": "failed"}, "Which of the two lists."
)
TOPIC = Query("topic", {"type": "string", "maxLength": limits.TOPIC_CHARS_MAX}, "Only jobs of exactly this topic.")
ID_BEGINS = Query(
    "id", {"type": "string", "pattern": "^job_[0-9a-f-]{0,36}$"}, "Only jobs whose id is this or begins with it."
)
ACTOR = Query("actor", {"type": "string", "maxLength": 128}, "Only jobs that this actor submitted.")
LABEL = Query(
    "label",
    {
        "type": "string",
        "pattern": "^[^=]+=",
        "maxLength": limits.LABEL_KEY_CHARS_MAX + limits.LABEL_VALUE_CHARS_MAX + 1,
    },
    "Only jobs with this label, as `key=value`.",
)
WAIT = Query(
    "wait",
    {"type": "string", "pattern": "^([0-9]|[1-5][0-9]|60)s$"},
    "Wait until the job has ended, at most this long.",
)
ACCEPT_WIDENING = Query(
    "accept_widening",
    {"type": "string", "enum": ["true", "false"], "default": "false"},
    "That the bundle allows what was not allowed is meant.",
)
_VERSION = {"type": "integer", "minimum": 1, "maximum": 10**16 - 1}
MASKED = Query(
    "masked",
    {"type": "string", "enum": ["true", "false"], "default": "false"},
    "With secrets in prompt and labels replaced by tags, as people are to be shown them.",
)
VALUE_MAX = Query(
    "value_bytes_max",
    {"type": "integer", "minimum": 0, "maximum": 10**9 - 1},
    "A longer value is left out of the reply, which says how long it is.",
)
PAYLOAD_MAX = Query(
    "payload_bytes_max",
    {"type": "integer", "minimum": 0, "maximum": 10**9 - 1},
    "A longer payload is left out of the reply, which says how long it is.",
)
BEFORE = Query("before", _VERSION, "The version to compare with.")
AFTER = Query("after", _VERSION, "The version that is compared.")
IDEMPOTENCY = Query(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": limits.IDEMPOTENCY_KEY_CHARS_MAX, "pattern": "^[ -~]+$"},
    "The same key with the same body gives the answer of the first time; with another body, 409.",
)

STATE_ERRORS = ("state_unavailable",)
SUBMIT_ERRORS = (
    "denied",
    "throttled",
    "queue_full",
    "queues_full",
    "too_many_pools",
    "idempotency_conflict",
    "kernel_unavailable",
    "nats_unavailable",
    "log_unavailable",
    *STATE_ERRORS,
)
JOB_ERRORS = ("job_not_found", *STATE_ERRORS)
VOTE_ERRORS = (
    "approval_not_found",
    "approval_resolved",
    "approval_expired",
    "approval_stale_policy",
    "approval_stale_job",
    "approval_self",
    "approval_forbidden",
    "approval_duplicate_vote",
    "approval_reason_required",
    "kernel_unavailable",
    "nats_unavailable",
    "log_unavailable",
    *STATE_ERRORS,
)
KERNEL_ERRORS = ("kernel_unavailable", "nats_unavailable")
STORE_ERRORS = ("unavailable",)
REVIEW_ERRORS = (
    "policy_invalid",
    "bundle_refused",
    "bundle_malformed",
    "bundle_truncated",
    "bundle_not_canonical",
    "bundle_path",
    "bundle_link",
    "bundle_files",
    "bundle_count",
    "bundle_rule_id",
    "bundle_allow_expires",
    "bundle_approvers",
    "bundle_combining",
    *YAML_CODES,
    "bundle_name",
    "bundle_threshold",
    "bundle_unknown_key",
    "bundle_signature",
    "bundle_scope",
    "bundle_reach",
    "bundle_set",
    "bundle_expired",
    "bundle_not_yet",
    "bundle_too_large",
    "bundle_version",
    "bundle_version_reused",
    "bundle_store_behind",
    "bundle_tenant",
    "bundle_not_found",
    *STORE_ERRORS,
)
