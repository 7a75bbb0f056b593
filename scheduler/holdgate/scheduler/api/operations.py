"""The table of calls: path, who may, what goes in, what comes out. Routes and OpenAPI are both made from it.

Roles: an empty set is any key; None is no key. An admin may call everything. Which jobs a caller sees is decided in
`routes.jobs`: an agent its own, the others those of their tenant; another tenant's do not exist.
"""

from __future__ import annotations

from holdgate.bundles.documents import CODES as YAML_CODES
from holdgate.kernel import limits
from holdgate.scheduler.api.calls import Operation, Query
from holdgate.scheduler.api.keys import Role
from holdgate.scheduler.api.paging import CURSOR_CHARS_MAX, LIMIT_DEFAULT, LIMIT_MAX
from holdgate.scheduler.api.routes import (
    approvals,
    bundles,
    jobs,
    policy,
    records,
    replay,
    shadow,
    stream,
    submit,
    system,
)
from holdgate.scheduler.state.transitions import DEAD, State

API = "/api/v1"
ANY_KEY: frozenset[Role] = frozenset()
SEES_JOBS = frozenset({Role.AGENT, Role.APPROVER, Role.OPERATOR, Role.AUDITOR})
AGENT = frozenset({Role.AGENT})
AGENT_OPERATOR = frozenset({Role.AGENT, Role.OPERATOR})
OPERATOR = frozenset({Role.OPERATOR})
APPROVER = frozenset({Role.APPROVER})
SEES_APPROVALS = frozenset({Role.APPROVER, Role.OPERATOR, Role.AUDITOR})
AUTHOR = frozenset({Role.AUTHOR})
SEES_BUNDLES = frozenset({Role.AUTHOR, Role.OPERATOR, Role.AUDITOR})
SEES_SHADOWS = frozenset({Role.AUTHOR, Role.OPERATOR})
SEES_SYSTEM = frozenset({Role.OPERATOR, Role.AUDITOR})
AUDITOR = frozenset({Role.AUDITOR})

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
    "idempotency_conflict",
    "kernel_unavailable",
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
    "log_unavailable",
    *STATE_ERRORS,
)
KERNEL_ERRORS = ("kernel_unavailable",)
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

# One row a call; read across, not down.
# fmt: off
OPERATIONS: tuple[Operation, ...] = (
    # Jobs
    Operation(
        "POST", f"{API}/jobs", "submitJob", "Submit a job", submit.submit_job, "jobs", AGENT,
        reply="Submitted", status=202, also=((200, "DryRun"),), request="JobForm", errors=SUBMIT_ERRORS,
        headers=(IDEMPOTENCY,),
    ),
    Operation(
        "GET", f"{API}/jobs", "listJobs", "Jobs, newest first", jobs.list_jobs, "jobs", SEES_JOBS,
        reply="JobPage", query=(*PAGE, STATE, TOPIC), errors=("bad_cursor", *STATE_ERRORS),
    ),
    Operation(
        "GET", f"{API}/jobs/{{job_id}}", "getJob", "One job", jobs.get_job, "jobs", SEES_JOBS,
        reply="Job", query=(WAIT,), errors=(*JOB_ERRORS, "too_many_waiters"),
    ),
    Operation(
        "GET", f"{API}/jobs/{{job_id}}/decisions", "listDecisions", "Every decision about a job, oldest first",
        jobs.get_decisions, "jobs", SEES_JOBS, reply="DecisionPage", errors=JOB_ERRORS,
    ),
    Operation(
        "GET", f"{API}/jobs/{{job_id}}/timeline", "listTimeline", "What happened to a job, oldest first",
        jobs.get_timeline, "jobs", SEES_JOBS, reply="EventPage", errors=JOB_ERRORS,
    ),
    Operation(
        "GET", f"{API}/jobs/{{job_id}}/result", "getResult", "What the output gate let through", jobs.get_result,
        "jobs", AGENT_OPERATOR, reply="Result",
        errors=(*JOB_ERRORS, "output_quarantined", "result_not_ready", "result_not_found", "log_unavailable"),
    ),
    Operation(
        "GET", f"{API}/jobs/{{job_id}}/events", "streamJob", "The states of a job as Server-Sent Events",
        stream.stream_job, "jobs", SEES_JOBS, reply="Stream", errors=(*JOB_ERRORS, "too_many_waiters"),
        media="text/event-stream",
    ),
    Operation(
        "POST", f"{API}/jobs/{{job_id}}/cancel", "cancelJob", "Cancel a job", jobs.cancel_job, "jobs", AGENT_OPERATOR,
        reply="Cancelled", also=((202, "Cancelled"),), request="CancelForm", request_required=False,
        errors=(*JOB_ERRORS, "wrong_state"),
    ),
    Operation(
        "POST", f"{API}/jobs/{{job_id}}/retry", "retryJob", "Take a job out of the dead-letter list", jobs.retry_job,
        "jobs", OPERATOR, reply="Job", status=202, errors=(*JOB_ERRORS, "wrong_state"),
    ),
    Operation(
        "POST", f"{API}/jobs/{{job_id}}/remediate", "remediateJob", "Submit the safer version that a decision names",
        submit.remediate_job, "jobs", AGENT, reply="Submitted", status=202, request="RemediateForm",
        request_required=False,
        errors=("job_not_found", "remediation_not_found", "payload_needed", *SUBMIT_ERRORS), headers=(IDEMPOTENCY,),
    ),
    # Approvals
    Operation(
        "GET", f"{API}/approvals", "listApprovals", "What waits for a person", approvals.list_approvals, "approvals",
        SEES_APPROVALS, reply="ApprovalPage", query=PAGE, errors=("bad_cursor", *STATE_ERRORS),
    ),
    Operation(
        "GET", f"{API}/approvals/{{job_id}}", "getApproval", "One approval, and all that it would release",
        approvals.get_approval, "approvals", SEES_APPROVALS, reply="Approval",
        errors=("approval_not_found", "job_not_found", "log_unavailable", *STATE_ERRORS),
    ),
    Operation(
        "POST", f"{API}/approvals/{{job_id}}/approve", "approve", "Release exactly what was shown", approvals.approve,
        "approvals", APPROVER, reply="Voted", request="VoteForm",
        errors=(*VOTE_ERRORS, "no_policy", "unavailable"),
    ),
    Operation(
        "POST", f"{API}/approvals/{{job_id}}/reject", "reject", "Refuse what was shown", approvals.reject, "approvals",
        APPROVER, reply="Voted", request="VoteForm", errors=VOTE_ERRORS,
    ),
    Operation(
        "POST", f"{API}/approvals/{{job_id}}/defer", "defer", "Look at it again later", approvals.defer, "approvals",
        APPROVER, reply="ApprovalRow", request="DeferForm", errors=VOTE_ERRORS,
    ),
    # Policy
    Operation(
        "POST", f"{API}/policy/evaluate", "evaluate", "What submitting this would be answered", policy.evaluate,
        "policy", ANY_KEY, reply="Decision", request="EvaluateForm", errors=KERNEL_ERRORS,
    ),
    Operation(
        "POST", f"{API}/policy/simulate", "simulate", "What would be decided, as another actor or at another time",
        policy.simulate, "policy", ANY_KEY, reply="Decision", request="Facts", errors=KERNEL_ERRORS,
    ),
    Operation(
        "POST", f"{API}/policy/explain", "explain", "The same, with why each other rule did not match", policy.explain,
        "policy", ANY_KEY, reply="Decision", request="Facts", errors=KERNEL_ERRORS,
    ),
    Operation(
        "GET", f"{API}/policy/snapshots", "listSnapshots", "What each kernel decides under", policy.list_snapshots,
        "policy", ANY_KEY, reply="SnapshotPage", errors=KERNEL_ERRORS,
    ),
    Operation(
        "GET", f"{API}/policy/bundles", "listBundles", "Published bundles, by name", bundles.list_bundles, "policy",
        SEES_BUNDLES, reply="BundlePage", query=PAGE, errors=("bad_cursor", *STORE_ERRORS),
    ),
    Operation(
        "GET", f"{API}/policy/bundles/{{name}}", "getBundle", "The newest bundle of a name", bundles.get_bundle,
        "policy", SEES_BUNDLES, reply="BundleShown", errors=("bundle_not_found", *STORE_ERRORS),
    ),
    Operation(
        "PUT", f"{API}/policy/bundles/{{name}}", "putBundle", "Publish a signed bundle", bundles.put_bundle, "policy",
        AUTHOR, reply="Published", request="BundleFile", query=(ACCEPT_WIDENING,),
        errors=(*REVIEW_ERRORS, "bundle_tests", "bundle_lint", "bundle_widening", "bundle_conflict", *STATE_ERRORS),
    ),
    Operation(
        "POST", f"{API}/policy/bundles/{{name}}/check", "checkBundle", "What publishing this would be told",
        bundles.check_bundle, "policy", AUTHOR, reply="BundleReview", request="BundleFile", errors=REVIEW_ERRORS,
    ),
    Operation(
        "GET", f"{API}/policy/bundles/{{name}}/versions", "listBundleVersions", "Who published what, newest first",
        bundles.list_versions, "policy", SEES_BUNDLES, reply="BundleVersionPage", query=PAGE,
        errors=("bad_cursor", "bundle_not_found", *STORE_ERRORS),
    ),
    Operation(
        "GET", f"{API}/policy/bundles/{{name}}/versions/{{version}}/file", "getBundleFile",
        "A bundle file as it was published", bundles.get_file, "policy", SEES_BUNDLES, reply="BundleFile",
        errors=("bundle_not_found", *STORE_ERRORS),
    ),
    Operation(
        "POST", f"{API}/policy/replay", "replay", "What a candidate would have decided about what was decided",
        replay.replay, "policy", AUTHOR, reply="ReplayReport", request="ReplayForm",
        errors=(*REVIEW_ERRORS, "no_policy", *STATE_ERRORS),
    ),
    Operation(
        "GET", f"{API}/policy/shadow", "listShadows", "What kernels shadow, and how it would have decided",
        shadow.status, "policy", SEES_SHADOWS, reply="ShadowPage", errors=("unavailable", *KERNEL_ERRORS),
    ),
    Operation(
        "PUT", f"{API}/policy/shadow/{{name}}", "startShadow", "Have kernels shadow a signed bundle", shadow.start,
        "policy", AUTHOR, reply="Shadowed", request="BundleFile",
        errors=(*REVIEW_ERRORS, "bundle_conflict", "limited", *STATE_ERRORS),
    ),
    Operation(
        "DELETE", f"{API}/policy/shadow/{{name}}", "stopShadow", "Have kernels shadow a bundle no more", shadow.stop,
        "policy", AUTHOR, reply="ShadowStopped",
        errors=("bundle_not_found", "bundle_tenant", "unavailable", *STATE_ERRORS),
    ),
    # Lists
    Operation(
        "GET", f"{API}/dlq", "listDeadLetters", "Jobs whose attempts are used up", jobs.list_dead, "operation",
        SEES_SYSTEM, reply="JobPage", query=(*PAGE, DEAD_STATE), errors=("bad_cursor", *STATE_ERRORS),
    ),
    Operation(
        "GET", f"{API}/workers", "listWorkers", "Workers that are alive", records.list_workers, "operation",
        SEES_SYSTEM, reply="WorkerPage", errors=STATE_ERRORS,
    ),
    Operation(
        "GET", f"{API}/pools", "listPools", "Pools with live workers", records.list_pools, "operation", SEES_SYSTEM,
        reply="PoolPage", errors=STATE_ERRORS,
    ),
    Operation(
        "GET", f"{API}/quarantine", "listQuarantine", "Sealed outputs: findings, never content",
        records.list_quarantine, "operation", SEES_APPROVALS, reply="QuarantinePage", query=PAGE,
        errors=("bad_cursor", *STATE_ERRORS),
    ),
    Operation(
        "GET", f"{API}/audit/events", "listEvents", "Audit events in order", records.list_events, "audit", AUDITOR,
        reply="EventPage", query=PAGE, errors=("bad_cursor", *STATE_ERRORS),
    ),
    Operation(
        "GET", f"{API}/audit/system", "listSystemEvents", "Audit events of the system itself, such as of policy",
        records.list_system_events, "audit", SEES_SYSTEM, reply="EventPage", query=PAGE,
        errors=("bad_cursor", *STATE_ERRORS),
    ),
    # System
    Operation(
        "GET", f"{API}/status", "getStatus", "What an operator looks at first", system.status, "system", ANY_KEY,
        reply="Status", errors=STATE_ERRORS,
    ),
    Operation(
        "GET", f"{API}/healthz", "getHealth", "The process answers", system.healthz, "system", None, reply="Health",
    ),
    Operation(
        "GET", f"{API}/readyz", "getReadiness", "Requests can be served", system.readyz, "system", None, reply="Ready",
        errors=("unavailable",),
    ),
    Operation(
        "GET", "/healthz", "getHealthAtRoot", "The process answers", system.healthz, "system", None, reply="Health",
    ),
    Operation(
        "GET", "/readyz", "getReadinessAtRoot", "Requests can be served", system.readyz, "system", None, reply="Ready",
        errors=("unavailable",),
    ),
    Operation(
        "GET", "/openapi.json", "getDescription", "This description", system.description, "system", None,
        reply="Description",
    ),
    Operation(
        "GET", "/", "getLandingPage", "A page with the status", system.landing, "system", None, reply="Page",
        media="text/html",
    ),
)
# fmt: on
