"""Workers die in the middle of a job."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from holdgate.client import Client
from support.waiting import eventually_sync
from support.whole import running_whole


def test_a_killed_worker_costs_an_attempt_and_not_the_job(tmp_path: Path) -> None:
    with running_whole(tmp_path) as whole, Client(whole.key("agent"), url=whole.api) as client:
        job = client.submit("job.demo.slow", payload={"seconds": 2})
        eventually_sync(lambda: job.info().state == "running")
        (worker,) = whole.ready["pids"]["worker"]
        os.kill(worker, signal.SIGKILL)
        ended = job.wait(timeout_s=90)
        assert (ended.state, ended.attempt) == ("succeeded", 2)
        assert job.result().value == {"slept_s": 2}
