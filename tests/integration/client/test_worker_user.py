"""A worker's own user against a running system: it can say what it likes of another's job, and nothing comes of it."""

from __future__ import annotations

from pathlib import Path

import nats.errors
import pytest

from holdgate.client import Client
from holdgate.kernel import limits, subjects, wire
from holdgate.kernel.ids import new_token
from holdgate.kernel.login import Login, connect
from holdgate.kernel.nkeys import Nkey
from holdgate.scheduler.up.access import DEMO_POOL, worker_user
from holdgate.scheduler.up.caller import counter
from holdgate.workers.results import RunIdentity, RunOutcome, RunResult, message_of
from support.waiting import eventually
from support.whole import Whole

USER = worker_user(DEMO_POOL)
STALE = "holdgate_stale_messages_total"


def login(whole: Whole) -> Login:
    seed = (Path(whole.folder) / "secrets" / f"{USER}.nkey").read_text().strip()
    return Login(USER, nkey=Nkey.parse(seed))


async def test_a_result_for_anothers_lease_changes_nothing_and_is_counted(whole: Whole, client: Client) -> None:
    """Same pool, same user, the right job and attempt: without the lease's token it is a word of nobody."""
    job = client.submit("job.demo.slow", payload={"seconds": 1.5})
    for seen in job.events():
        if seen.state == "running":
            break
    before = counter(whole.ready["metrics"], STALE)
    forged = RunResult(RunOutcome.SUCCEEDED, 1, 2, wire.pack({"status": "forged"}))
    worker = await connect(whole.ready["nats"], login(whole))
    try:
        for token, attempt in (("0" * 32, 1), (new_token(), 1), (new_token(), 2)):
            identity = RunIdentity("default", job.job_id, attempt, token, "permit_forged")
            headers, body = message_of(
                identity, forged, worker="forger", pool=DEMO_POOL, bytes_max=limits.ENVELOPE_BYTES_MAX
            )
            ack = await worker.request(subjects.result(DEMO_POOL, "forger"), body, headers=headers, timeout=5)
            assert b'"stream":"RESULTS"' in ack.data
        await eventually(lambda: counter(whole.ready["metrics"], STALE) >= before + 3)
    finally:
        await worker.close()
    output = job.result(timeout_s=30)
    assert "forged" not in str(output.value)
    assert job.info().state == "succeeded"


async def test_a_worker_asks_no_kernel_and_no_store(whole: Whole) -> None:
    """In its account nobody listens to anything but its pool's subjects."""
    worker = await connect(whole.ready["nats"], login(whole))
    try:
        for subject in (subjects.KERNEL_PERMIT, subjects.KERNEL_STATUS, "$JS.API.INFO", "$JS.API.STREAM.INFO.JOBS"):
            with pytest.raises((nats.errors.TimeoutError, nats.errors.NoRespondersError)):
                await worker.request(subject, b"", timeout=0.2)
    finally:
        await worker.close()
