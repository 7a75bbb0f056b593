"""Every call of the client, once: what is sent, and what is made of the reply.

`Client` and `AsyncClient` expose these under the same names; see `calls`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from holdgate.client.approving import ApprovalOperations
from holdgate.client.errors import JobNotSucceeded, Throttled, WaitTimeout
from holdgate.client.exchange import Operation, Pause, Request, Retries, model_of, perform, perform_bytes
from holdgate.client.models import Cancelled, Decision, JobInfo, Output, Page, Submitted, time_text
from holdgate.client.performing import API
from holdgate.client.standing import StandingOperations

POLL_S = 30
"""How long one long poll stays open; a wait is as many of them as it takes."""
POLL_MARGIN_S = 15


class Operations(ApprovalOperations, StandingOperations):
    """Builds operations. `new_key` makes idempotency keys."""

    def __init__(self, retries: Retries, new_key: Callable[[], str]) -> None:
        super().__init__(retries)
        self._new_key = new_key

    # Jobs -------------------------------------------------------------------------------------------------------------

    def submit(  # noqa: PLR0913  the fields of a job, by name
        self,
        topic: str,
        *,
        payload: Any = None,
        prompt: str | None = None,
        labels: Mapping[str, str] | None = None,
        capability: str | None = None,
        risk_tags: Iterable[str] | None = None,
        requires: Iterable[str] | None = None,
        pool: str | None = None,
        priority: str | None = None,
        concurrency_key: str | None = None,
        run_at: datetime | str | None = None,
        deadline: datetime | str | None = None,
        max_attempts: int | None = None,
        secrets: Iterable[str] | None = None,
        idempotency_key: str | None = None,
    ) -> Operation[Submitted]:
        """Submit a job. Returns once it is accepted or held; raises Denied or Throttled when it is not.

        An idempotency key is made when none is given, so that sending again after a lost reply never makes two jobs.
        Times are datetimes with a zone, or RFC 3339. `secrets` are names of secrets that the worker is to hand over.
        """
        body = {
            "topic": topic,
            "payload": payload,
            "prompt": prompt,
            "labels": None if labels is None else dict(labels),
            "capability": capability,
            "risk_tags": None if risk_tags is None else list(risk_tags),
            "requires": None if requires is None else list(requires),
            "pool": pool,
            "priority": priority,
            "concurrency_key": concurrency_key,
            "run_at": time_text(run_at),
            "deadline": time_text(deadline),
            "max_attempts": max_attempts,
            "secrets": None if secrets is None else list(secrets),
        }
        headers = {"Idempotency-Key": idempotency_key or self._new_key()}
        reply = yield from self._post(f"{API}/jobs", body, headers=headers)
        return model_of(Submitted, reply)

    def dry_run(self, topic: str, /, **fields: Any) -> Operation[Decision]:
        """What the submit gate would decide now about a job of the caller's; nothing is stored or counted."""
        reply = yield from self._post(f"{API}/jobs", {"topic": topic, **fields, "dry_run": True})
        return model_of(Decision, reply.get("decision") or {})

    def remediate(
        self,
        job_id: str,
        remediation_id: str | None = None,
        *,
        payload: Any = None,
        idempotency_key: str | None = None,
    ) -> Operation[Submitted]:
        """Submit the safer version of a denied or held job; `payload` again, because a denied job's is not kept."""
        body = {"remediation_id": remediation_id, "payload": payload}
        headers = {"Idempotency-Key": idempotency_key or self._new_key()}
        reply = yield from self._post(f"{_job(job_id)}/remediate", body, headers=headers)
        return model_of(Submitted, reply)

    def get_job(self, job_id: str, *, masked: bool = False) -> Operation[JobInfo]:
        """The job as it stands; NotFound when it is not there or not yours. `masked`: its secrets replaced by tags."""
        return model_of(JobInfo, (yield from self._get(_job(job_id), {"masked": "true" if masked else None})))

    def reveal_job(self, job_id: str) -> Operation[dict[str, Any]]:
        """Its `labels` and `prompt` as they were sent, with their secrets. Who asks is recorded."""
        return (yield from self._post(f"{_job(job_id)}/reveal", {}))

    def list_jobs(
        self,
        *,
        state: str | None = None,
        topic: str | None = None,
        actor: str | None = None,
        label: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Operation[Page[JobInfo]]:
        """One page of jobs, newest first; `label` is `key=value`."""
        filters = {"state": state, "topic": topic, "actor": actor, "label": label}
        query = {**filters, "limit": str(limit), "cursor": cursor}
        return model_of(Page[JobInfo], (yield from self._get(f"{API}/jobs", query)))

    def wait(self, job_id: str, timeout_s: float | None = None) -> Operation[JobInfo]:
        """The job once it has ended, however; WaitTimeout when it has not in `timeout_s` (None: wait for ever)."""
        now_s = self._retries.now_s
        until_s = math.inf if timeout_s is None else now_s() + timeout_s
        while True:
            left_s = max(0.0, until_s - now_s())
            poll_s = math.ceil(min(POLL_S, left_s))
            path, query = _job(job_id), {"wait": f"{poll_s}s"}
            request = Request("GET", path, query=query if poll_s else {}, timeout_s=poll_s + POLL_MARGIN_S)
            try:
                job = model_of(JobInfo, (yield from perform(request, self._retries)))
            except Throttled as error:
                # Too many others wait at the moment; the job itself is not concerned.
                if now_s() >= until_s:
                    raise
                yield Pause(min(error.retry_after_s or 1.0, left_s))
                continue
            if job.has_ended:
                return job
            if now_s() >= until_s:
                raise WaitTimeout(job)

    def result(self, job_id: str, timeout_s: float | None = None) -> Operation[Output]:
        """Wait for the end and return what the output gate let through.

        JobNotSucceeded when the job ended otherwise, OutputQuarantined when its output was sealed, WaitTimeout.
        """
        job = yield from self.wait(job_id, timeout_s)
        if job.state not in {"succeeded", "quarantined"}:
            raise JobNotSucceeded(job)
        return (yield from self.get_output(job_id))

    def get_output(self, job_id: str) -> Operation[Output]:
        """What the output gate let through so far; of a failed job its logs and error. Does not wait."""
        return model_of(Output, (yield from self._get(f"{_job(job_id)}/result")))

    def artifact(self, job_id: str, name: str) -> Operation[bytes]:
        """A file that the run left and the output gate let through; `get_output` lists them. NotFound."""
        path = f"{_job(job_id)}/artifacts/{quote(name, safe='')}"
        return (yield from perform_bytes(Request("GET", path, headers={"Accept": "*/*"}), self._retries))

    def cancel(self, job_id: str, *, reason: str | None = None) -> Operation[Cancelled]:
        """Ask for the job to stop: at once when it does not run, otherwise its worker is told; `wait` for the end."""
        return model_of(Cancelled, (yield from self._post(f"{_job(job_id)}/cancel", {"reason": reason})))

    def retry(self, job_id: str, *, reason: str | None = None) -> Operation[JobInfo]:
        """Queue a job of the dead-letter list again, as a new attempt through the dispatch gate."""
        reply = yield from self._post(f"{_job(job_id)}/retry", {"reason": reason}, is_repeatable=False)
        return model_of(JobInfo, reply)

    def decisions(self, job_id: str) -> Operation[tuple[Decision, ...]]:
        """Every decision about the job, oldest first."""
        page = model_of(Page[Decision], (yield from self._get(f"{_job(job_id)}/decisions")))
        return page.items

    def timeline(self, job_id: str) -> Operation[tuple[dict[str, Any], ...]]:
        """What happened to the job, oldest first."""
        page = model_of(Page[dict[str, Any]], (yield from self._get(f"{_job(job_id)}/timeline")))
        return page.items

    # Policy -----------------------------------------------------------------------------------------------------------

    def simulate(self, topic: str, /, **fields: Any) -> Operation[Decision]:
        """What the kernel would decide about a job with these fields; nothing is stored or counted."""
        return model_of(Decision, (yield from self._post(f"{API}/policy/simulate", {"topic": topic, **fields})))

    def explain(self, topic: str, /, **fields: Any) -> Operation[Decision]:
        """The same with `trace`: for each rule that does not match, which field failed."""
        return model_of(Decision, (yield from self._post(f"{API}/policy/explain", {"topic": topic, **fields})))

    def status(self) -> Operation[dict[str, Any]]:
        """How the system is."""
        return (yield from self._get(f"{API}/status"))


def events_request(job_id: str, last_event_id: str | None = None) -> Request:
    """The request that opens a job's event stream."""
    return Request("GET", f"{_job(job_id)}/events", headers=_stream_headers(last_event_id))


def _stream_headers(last_event_id: str | None) -> dict[str, str]:
    return {"Accept": "text/event-stream"} | ({} if last_event_id is None else {"Last-Event-ID": last_event_id})


def approval_events_request(last_event_id: str | None = None) -> Request:
    """The request that opens the stream of changes of held jobs."""
    return Request("GET", f"{API}/approvals/events", headers=_stream_headers(last_event_id))


def _job(job_id: str) -> str:
    return f"{API}/jobs/{quote(job_id, safe='')}"
