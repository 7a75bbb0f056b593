"""The files of a result."""

from __future__ import annotations

import re

from holdgate.kernel.ids import Digest
from holdgate.scheduler.api.calls import CSP_NOTHING, SECURITY_HEADERS, Call, Header, Reply
from holdgate.scheduler.api.problems import Problem
from holdgate.scheduler.api.routes.jobs import require_result

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_TYPE: Header = (b"content-type", b"application/octet-stream")


async def get_artifact(call: Call) -> Reply:
    """`GET /jobs/{job_id}/artifacts/{artifact}`: its bytes, to be saved

    Whatever its author says that it is, no browser is told so: it is never shown as a page of this origin.
    """
    result = await require_result(call)
    name = call.path["artifact"]
    found = next((each for each in result.artifacts if each["name"] == name), None)
    if found is None:
        raise Problem("artifact_not_found", extra={"job_id": result.job_id})
    data = await call.deps.payloads.get(Digest(found["digest"]))
    saved_as = f'attachment; filename="{_UNSAFE.sub("_", name)}"'
    headers = (_TYPE, (b"content-disposition", saved_as.encode()), CSP_NOTHING, *SECURITY_HEADERS)
    return Reply(200, data, headers)
