"""Invariant 7: no tenant sees, names or touches what is another's."""

from __future__ import annotations

from collections.abc import Iterator

from holdgate.scheduler.torture.check.case import Case
from holdgate.scheduler.torture.check.violation import Violation


def apart(case: Case) -> Iterator[Violation]:
    """Ids in replies are of the caller's tenant, and what is asked of another's job is refused."""
    owner = {job_id: tenant for tenant, found in case.evidence.dumps.items() for job_id in found.jobs}
    owner |= {call.job_id: call.tenant for call in case.accepted()}
    for call in case.calls:
        asked = call.asked.get("job_id")
        if asked and owner.get(asked, call.tenant) != call.tenant and 200 <= call.http < 300:
            message = f"`{call.who}` of `{call.tenant}` was answered about {asked} of `{owner[asked]}`"
            yield Violation("foreign_access", 7, message, asked, call.tenant, (str(call),))
        for job_id in call.told.get("ids", ()):
            # A refusal may name what it was asked about.
            if job_id != asked and owner.get(job_id, call.tenant) != call.tenant:
                message = f"`{call.who}` of `{call.tenant}` was told of {job_id} of `{owner[job_id]}`"
                yield Violation("foreign_job", 7, message, job_id, call.tenant, (str(call),))
    for job_id, runs in case.runs.items():
        for run in runs:
            if owner.get(job_id, run.tenant) != run.tenant:
                message = f"{job_id} of `{owner[job_id]}` ran as a job of `{run.tenant}`"
                yield Violation("foreign_run", 7, message, job_id, run.tenant)
