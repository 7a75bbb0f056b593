"""Metrics of the scheduler's processes. Label values are bounded: never ids, never tenants."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from holdgate.scheduler.state.transitions import State

JOBS = Counter("holdgate_jobs_total", "Jobs that came into a state", ["state"])
TENANT_BACKLOG = Gauge(
    "holdgate_tenant_backlog_jobs",
    "Jobs ready and waiting for a worker; the first fifty tenants that have some by name, all others as `_other`",
    ["tenant"],
    multiprocess_mode="livemax",
)
BACKLOG = Gauge(
    "holdgate_backlog_jobs",
    "Jobs ready and waiting for a worker; pools whose workers ask and a few others by name, the rest as `_other`",
    ["pool"],
    multiprocess_mode="livemax",
)
WORKERS_THERE = Gauge(
    "holdgate_workers_there",
    "Workers that said in the last seconds that they live",
    ["pool"],
    multiprocess_mode="livemax",
)
ASKS_WAITING = Gauge("holdgate_asks_waiting", "Asks of workers that are kept open", multiprocess_mode="livesum")
STALE = Counter("holdgate_stale_messages_total", "Messages of an attempt that is no longer the current one", ["kind"])
VERDICT_WAIT = Gauge(
    "holdgate_output_waiting_seconds",
    "How long a result waits for the verdict of an output gate, whichever waits longest",
    multiprocess_mode="livemax",
)
DISPATCH_REFUSED = Counter("holdgate_dispatch_refused_total", "Picked jobs that were not handed over", ["reason"])
DISPATCH_FAIL_OPEN = Counter("holdgate_dispatch_fail_open_total", "Jobs handed over without a kernel's permit")
CUSTODY_BROKEN = Counter("holdgate_custody_broken_total", "Job records that are not what the api signed")
HANDED_OVER = Counter("holdgate_jobs_handed_over_total", "Jobs handed to a worker")
UNDELIVERED = Counter("holdgate_undelivered_jobs_total", "Jobs handed to a worker that was gone")
HANDOVER_SECONDS = Histogram(
    "holdgate_handover_seconds",
    "From picking jobs to the reply with their permits",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)
LEASES_EXPIRED = Counter("holdgate_leases_expired_total", "Leases that ended without a result", ["outcome"])
OUTBOX_REPUBLISHED = Counter("holdgate_outbox_republished_total", "Accepted jobs whose publish was made up for")
INTAKE_RESTORED = Counter("holdgate_intake_restored_total", "Jobs put back into Redis from the log")
INTAKE_REFUSED = Counter("holdgate_intake_refused_total", "Messages in the log of jobs that are no envelopes")
ENDINGS_LOGGED = Counter("holdgate_endings_logged_total", "Ended jobs that the log was told of")
ENDINGS_WAITING = Gauge(
    "holdgate_endings_waiting",
    "Ended jobs that the log is not told of yet: a loss of Redis now may run them again",
    multiprocess_mode="livemax",
)
RECONCILE_DRIFT = Gauge(
    "holdgate_reconcile_drift",
    "What the last look over state store and log found apart, and put right",
    ["kind"],
    multiprocess_mode="livemostrecent",
)
RECONCILE_LAST = Gauge(
    "holdgate_reconcile_last_timestamp_seconds",
    "When state store and log were last looked over to the end",
    multiprocess_mode="livemax",
)
RECONCILE_SECONDS = Gauge(
    "holdgate_reconcile_duration_seconds", "How long that took", multiprocess_mode="livemostrecent"
)
STATE_SET_BACK = Gauge(
    "holdgate_state_set_back",
    "1 while nothing is handed over because the state store is older than the log",
    multiprocess_mode="livemax",
)
FORGOTTEN = Counter("holdgate_jobs_forgotten_total", "Ended jobs deleted after their retention")
QUARANTINE_EXPIRED = Counter(
    "holdgate_quarantine_expired_total", "Sealed outputs destroyed since nobody decided about them in time"
)
REDECIDED = Counter("holdgate_redecided_total", "Held jobs decided again after a change of policy", ["verdict"])
BREAK_GLASS = Counter("holdgate_break_glass_total", "Votes that broke the glass over a held job", ["outcome"])
ESCALATED = Counter("holdgate_approvals_escalated_total", "Held jobs that others may release, too, since nobody did")
DUTY_FAILURES = Counter("holdgate_duty_failures_total", "Runs of a background duty that ended in an error", ["duty"])
AUDIT_ARCHIVED = Counter("holdgate_audit_archived_total", "Audit events written to the archive")
AUDIT_SEALED = Counter("holdgate_audit_sealed_segments_total", "Segments of the audit archive that were sealed")
AUDIT_LAG = Gauge("holdgate_audit_lag_events", "Audit events not in the archive yet", multiprocess_mode="livemax")
AUDIT_FAILURES = Counter(
    "holdgate_audit_failures_total", "Runs in which a tenant's events were not archived", ["reason"]
)

DURABILITY_RELAXED = Gauge(
    "holdgate_durability_relaxed", "1 where a crash may lose what was acknowledged", multiprocess_mode="livemax"
)

STALE_KINDS = ("beat", "result", "start")
REFUSALS = (
    "denied",
    "no_policy",
    "needs_approval",
    "votes_invalid",
    "custody_broken",
    "invalid",
    "kernel_unavailable",
    "payload_unavailable",
    "no_capable_worker",
    "parked",
    "crowded",
    "not_yet",
    "deadline_passed",
    "expired",
)
GLASS_OUTCOMES = ("voted", "released")
LEASE_OUTCOMES = ("queued", "failed", "timed_out", "cancelled")
DUTIES = (
    "intake",
    "pausing",
    "asks",
    "beats",
    "reaper",
    "redecide",
    "grants",
    "escalate",
    "result_watch",
    "control",
    "scan",
    "auditor",
    "retention",
    "doomed",
    "sealed_expiry",
    "lost_results",
    "policy_events",
    "stamp",
    "sample",
    "endings",
    "reconcile",
    "watch",
)
AUDIT_REASONS = ("audit_gap", "audit_declared_gap", "archive_broken", "state_unavailable", "os_error")

for _state in State:
    JOBS.labels(str(_state))
for _metric, _values in (
    (STALE, STALE_KINDS),
    (DISPATCH_REFUSED, REFUSALS),
    (LEASES_EXPIRED, LEASE_OUTCOMES),
    (BREAK_GLASS, GLASS_OUTCOMES),
    (DUTY_FAILURES, DUTIES),
    (AUDIT_FAILURES, AUDIT_REASONS),
):
    for _value in _values:
        _metric.labels(_value)
