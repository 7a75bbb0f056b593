"""Jobs that somebody wrote down already, such as those of a bundle's tests: the first to be tried as examples. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from holdgate.bundles.format import BundleFile
from holdgate.bundles.testing.cases import JobCase, load_cases
from holdgate.kernel import limits
from holdgate.kernel.canonical import parse_json
from holdgate.kernel.clock import rfc3339
from holdgate.kernel.jobform import POOL_DEFAULT
from holdgate.kernel.records import Job, Priority

SECRETS, PII = "secrets_present", "pii_present"
"""Beside the facts of a job: not said by a submitter, but measured."""


def samples_of(files: Sequence[BundleFile]) -> list[dict[str, Any]]:
    """The facts of all jobs in the tests of bundles; DocumentInvalid where a file of tests does not load."""
    cases = (case for file in files for path, data in file.tests.items() for case in load_cases(path, data))
    return [facts_of(case.job, case.now_ms) for case in cases if isinstance(case, JobCase)]


def facts_of(job: Job, now_ms: int) -> dict[str, Any]:
    """The facts by which simulate makes this job again at `now_ms`, and what was measured of it, where it is true."""
    return {"topic": job.topic, "now": rfc3339(now_ms), **dict(_said(job))}


def _said(job: Job) -> Iterator[tuple[str, Any]]:
    """The fields that are not as they are when nothing is said."""
    yield from (("tenant", job.tenant), ("actor", job.actor), ("actor_type", job.actor_type))
    for name in ("prompt", "capability", "concurrency_key"):
        if getattr(job, name) is not None:
            yield name, getattr(job, name)
    for name in ("risk_tags", "requires", "principals", "secrets"):
        if getattr(job, name):
            yield name, list(getattr(job, name))
    for name, time_ms in (("run_at", job.run_at_ms), ("deadline", job.deadline_ms)):
        if time_ms is not None:
            yield name, rfc3339(time_ms)
    others: tuple[tuple[str, Any, Any], ...] = (
        ("payload", None if job.payload is None else parse_json(job.payload), None),
        ("labels", dict(job.labels), {}),
        ("pool", job.pool, POOL_DEFAULT),
        ("priority", str(job.priority), str(Priority.NORMAL)),
        ("max_attempts", job.max_attempts, limits.ATTEMPTS_DEFAULT),
        (SECRETS, job.secrets_present, False),
        (PII, job.pii_present, False),
    )
    yield from ((name, value) for name, value, default in others if value != default)
