"""Whether what the API showed of a held job is what its hash is over, computed here and not believed.

What always holds: a job is taken as proved only where every field of the reply that a worker would get, the payload
included, gives the hash that the reply names; what the reply says of the job a second time is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdgate.client.models import Approval
from holdgate.kernel.canonical import canonical_bytes
from holdgate.kernel.clock import parse_rfc3339
from holdgate.kernel.errors import HoldgateError, InvalidInput
from holdgate.kernel.records import HASHED_FIELDS, Job

TIMES: Mapping[str, str] = {"run_at_ms": "run_at", "deadline_ms": "deadline"}
"""Members that the reply has as RFC 3339."""
UNPROVED = "what the API shows of `{}` is not what its job hash is over; nothing was signed: tell an operator"


def proved_job(shown: Approval) -> Job:
    """The job of the reply, with its payload; InvalidInput unless the hash that the reply names is over it."""
    if not shown.payload_shown or (shown.model_extra or {}).get("payload_left_out"):
        raise InvalidInput(f"the payload of `{shown.job_id}` cannot be had, so what would be signed cannot be known")
    try:
        job = _job_of(shown)
        holds = job.payload_holds() and job.job_hash() == shown.job_hash
    except (HoldgateError, KeyError, TypeError, ValueError) as error:
        raise InvalidInput(UNPROVED.format(shown.job_id)) from error
    beside = (shown.job_id, shown.topic, shown.actor, shown.principals)
    if not holds or beside != (job.job_id, job.topic, job.actor, job.principals):
        raise InvalidInput(UNPROVED.format(shown.job_id))
    return job


def _job_of(shown: Approval) -> Job:
    said: Mapping[str, Any] = shown.job or {}
    fields = {name: said[name] for name in HASHED_FIELDS if name not in TIMES}
    for name, member in TIMES.items():
        fields[name] = None if said[member] is None else parse_rfc3339(said[member])
    payload = canonical_bytes(shown.payload)
    not_hashed = {"job_id": said["job_id"], "created_ms": 0, "trace_id": "", "payload": payload}
    return Job.from_dict({**fields, **not_hashed})
