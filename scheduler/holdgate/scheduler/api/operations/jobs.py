"""Jobs: submitting, looking, cancelling, retrying."""

from __future__ import annotations

from holdgate.scheduler.api.calls import Operation
from holdgate.scheduler.api.operations.terms import (
    ACTOR,
    AGENT,
    AGENT_OPERATOR,
    API,
    ID_BEGINS,
    IDEMPOTENCY,
    JOB_ERRORS,
    LABEL,
    MASKED,
    OPERATOR,
    PAGE,
    REVEALS,
    SEES_APPROVALS,
    SEES_JOBS,
    STATE,
    STATE_ERRORS,
    STORE_ERRORS,
    SUBMIT_ERRORS,
    TOPIC,
    VALUE_MAX,
    WAIT,
)
from holdgate.scheduler.api.routes import job_reveal, job_rules, jobs, stream, submit

# One row a call; read across, not down.
# fmt: off
JOBS: tuple[Operation, ...] = (
    Operation(
        "POST", f"{API}/jobs", "submitJob", "Submit a job", submit.submit_job, "jobs", AGENT,
        reply="Submitted", status=202, also=((200, "DryRun"),), request="JobForm", errors=SUBMIT_ERRORS,
        headers=(IDEMPOTENCY,),
    ),
    Operation(
        "GET", f"{API}/jobs", "listJobs", "Jobs, newest first", jobs.list_jobs, "jobs", SEES_JOBS,
        reply="JobPage", query=(*PAGE, STATE, TOPIC, ACTOR, LABEL, ID_BEGINS), errors=("bad_cursor", *STATE_ERRORS),
    ),
    Operation(
        "GET", f"{API}/jobs/{{job_id}}", "getJob", "One job", jobs.get_job, "jobs", SEES_JOBS,
        reply="Job", query=(WAIT, MASKED), errors=(*JOB_ERRORS, "approval_altered", "too_many_waiters"),
    ),
    Operation(
        "GET", f"{API}/jobs/{{job_id}}/decisions", "listDecisions", "Every decision about a job, oldest first",
        jobs.get_decisions, "jobs", SEES_JOBS, reply="DecisionPage", errors=JOB_ERRORS,
    ),
    Operation(
        "GET", f"{API}/jobs/{{job_id}}/rules", "listJobRules", "The rules that the latest decision names, as written",
        job_rules.list_rules, "jobs", SEES_APPROVALS, reply="ApprovalRules", errors=(*JOB_ERRORS, *STORE_ERRORS),
    ),
    Operation(
        "GET", f"{API}/jobs/{{job_id}}/timeline", "listTimeline", "What happened to a job, oldest first",
        jobs.get_timeline, "jobs", SEES_JOBS, reply="EventPage", errors=JOB_ERRORS,
    ),
    Operation(
        "GET", f"{API}/jobs/{{job_id}}/result", "getResult", "What the output gate let through", jobs.get_result,
        "jobs", AGENT_OPERATOR, reply="Result", query=(VALUE_MAX,),
        errors=(*JOB_ERRORS, "output_quarantined", "result_not_ready", "result_not_found", "log_unavailable"),
    ),
    Operation(
        "GET", f"{API}/jobs/{{job_id}}/events", "streamJob", "The states of a job as Server-Sent Events",
        stream.stream_job, "jobs", SEES_JOBS, reply="Stream", errors=(*JOB_ERRORS, "too_many_waiters"),
        media="text/event-stream",
    ),
    Operation(
        "POST", f"{API}/jobs/{{job_id}}/reveal", "revealJob", "Prompt and labels as they were sent, on record",
        job_reveal.reveal, "jobs", REVEALS, reply="RevealedJob", request="RevealForm", request_required=False,
        errors=JOB_ERRORS,
    ),
    Operation(
        "POST", f"{API}/jobs/{{job_id}}/cancel", "cancelJob", "Cancel a job", jobs.cancel_job, "jobs", AGENT_OPERATOR,
        reply="Cancelled", also=((202, "Cancelled"),), request="CancelForm", request_required=False,
        errors=(*JOB_ERRORS, "wrong_state"),
    ),
    Operation(
        "POST", f"{API}/jobs/{{job_id}}/retry", "retryJob", "Take a job out of the dead-letter list", jobs.retry_job,
        "jobs", OPERATOR, reply="Job", status=202, request="RetryForm", request_required=False,
        errors=(*JOB_ERRORS, "wrong_state"),
    ),
    Operation(
        "POST", f"{API}/jobs/{{job_id}}/remediate", "remediateJob", "Submit the safer version that a decision names",
        submit.remediate_job, "jobs", AGENT, reply="Submitted", status=202, request="RemediateForm",
        request_required=False,
        errors=("job_not_found", "remediation_not_found", "payload_needed", *SUBMIT_ERRORS), headers=(IDEMPOTENCY,),
    ),
)
# fmt: on
