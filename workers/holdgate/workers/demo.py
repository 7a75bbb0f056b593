"""The demo worker of `holdgate up` and `holdgate demo`: one handler for each way a job can end.

    holdgate worker run holdgate.workers.demo:worker

The secrets that two of them return are made when they run and open nothing.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import string
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from holdgate.workers import Job, PermanentFailure, Worker

worker = Worker()
STEPS_PER_S = 20


class SlowPayload(BaseModel):
    """How long to take."""

    model_config = ConfigDict(extra="forbid")

    seconds: Annotated[float, Field(ge=0, le=600)] = 5.0


@worker.job("job.demo.read", capabilities=["demo.read"])
async def read(job: Job) -> dict[str, Any]:
    """Return a status, and what was asked for."""
    return {"status": "ok", "topic": job.topic, "prompt": job.prompt, "attempt": job.attempt}


@worker.job("job.demo.write", capabilities=["demo.write"])
async def write(job: Job) -> dict[str, Any]:
    """Pretend to write, and say what the run was held to."""
    return {"written": True, "constraints": job.constraints.as_dict(), "advisory": list(job.advisory)}


@worker.job("job.demo.throttled", capabilities=["demo.read"])
async def throttled(job: Job) -> dict[str, Any]:
    """Return a status; the policy limits how often."""
    return {"status": "ok", "topic": job.topic}


@worker.job("job.demo.leak", capabilities=["demo.read"])
async def leak(job: Job) -> dict[str, Any]:
    """Return a text with an access token in it, as a careless tool would."""
    job.log("reading the deployment log")
    alphabet = string.ascii_letters + string.digits
    token = "ghp_" + "".join(secrets.choice(alphabet) for _ in range(36))
    return {"text": f"cloning with token {token} from the build server", "lines": 1}


@worker.job("job.demo.key", capabilities=["demo.read"])
async def key(job: Job) -> dict[str, Any]:
    """Return what looks like a private key, as a careless tool would."""
    del job
    body = base64.b64encode(secrets.token_bytes(1200)).decode()
    lines = "\n".join(body[at : at + 64] for at in range(0, len(body), 64))
    kind = "RSA PRIVATE" + " KEY"
    return {"file": f"-----BEGIN {kind}-----\n{lines}\n-----END {kind}-----\n"}


@worker.job("job.demo.slow", capabilities=["demo.read"])
async def slow(job: Job, payload: SlowPayload) -> dict[str, Any]:
    """Take a while, say how far it is, stop when asked to."""
    steps = max(1, int(payload.seconds * STEPS_PER_S))
    for step in range(steps):
        job.progress(step / steps)
        await asyncio.sleep(payload.seconds / steps)
    return {"slept_s": payload.seconds}


@worker.job("job.demo.fail", capabilities=["demo.read"])
async def fail(job: Job) -> dict[str, Any]:
    """Fail: for good when the payload says `{"permanent": true}`."""
    if isinstance(job.payload, dict) and job.payload.get("permanent") is True:
        raise PermanentFailure("this job fails for good")
    msg = "this job always fails"
    raise RuntimeError(msg)


@worker.job("job.deploy.*", capabilities=["infra.write"])
async def deploy(job: Job) -> dict[str, Any]:
    """Pretend to change the infrastructure."""
    return {"applied": True, "topic": job.topic, "env": job.labels.get("env")}
