"""A worker's secrets in the whole system: handlers get them, and nothing that leaves the worker holds one."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdgate.client import Client, JobNotSucceeded, NotFound, OutputQuarantined
from holdgate.scheduler.up.access import DEMO_POOL, worker_user
from support.secrets import Secrets
from support.whole import Whole

SECRET = Secrets(41).chars("abcdefghijklmnopqrstuvwxyz0123456789", 30)
MARK = "not-a-secret-at-all"


@pytest.fixture(scope="module")
def vault(whole: Whole, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The log of a worker that holds a secret and serves what requires `vault`."""
    folder, user = tmp_path_factory.mktemp("vault"), worker_user(DEMO_POOL)
    source = {"env": "DB_PASSWORD", "topics": ["job.demo.read"]}
    elsewhere = {"env": "DB_PASSWORD", "topics": ["job.other"]}
    (folder / "secrets.yaml").write_text(json.dumps({"secrets": {"db": source, "elsewhere": elsewhere}}))
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        "DB_PASSWORD": SECRET,
        "HOLDGATE_NATS_URL": whole.ready["nats"],
        "HOLDGATE_NATS_USER": user,
        "HOLDGATE_NATS_NKEY_FILE": str(whole.folder / "secrets" / f"{user}.nkey"),
        "HOLDGATE_KERNEL_KEYS_FILE": str(whole.folder / "worker-keys.json"),
        "HOLDGATE_WORKER_SECRETS_FILE": str(folder / "secrets.yaml"),
        "HOLDGATE_LOG_LEVEL": "debug",
    }
    command = [sys.executable, "-m", "holdgate.scheduler.cli", "worker", "run", "support.vault_worker:worker"]
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    yield folder / "log"
    child.terminate()
    child.wait(20)


def test_a_secret_is_handed_out_and_is_nowhere_in_what_leaves(client: Client, whole: Whole, vault: Path) -> None:
    ways = {
        way: client.submit(
            "job.demo.read", payload={"way": way, MARK: 1}, requires=["vault"], secrets=["db"], max_attempts=1
        )
        for way in ("use", "value", "log", "error", "file")
    }
    output = ways["use"].result(timeout_s=40)
    assert output.value == {"length": len(SECRET)}
    assert [each.name for each in output.artifacts] == ["report.csv"]
    assert ways["use"].artifact("report.csv") == b"rows\n3\n"
    with pytest.raises(NotFound):
        ways["use"].artifact("other.csv")
    for way in ("value", "log", "file"):
        with pytest.raises(OutputQuarantined):
            ways[way].result(timeout_s=40)
    failed = ways["error"].wait(timeout_s=40)
    assert failed.state == "failed"
    assert SECRET not in str(ways["error"].output())
    assert _folders_with(whole.folder, MARK) >= {"nats", "redis"}, "nothing of the jobs is where it was looked for"
    for form in (SECRET, SECRET.encode().hex(), base64.b64encode(f"user:{SECRET}".encode()).decode()):
        assert not _folders_with(whole.folder, form)
        assert form not in vault.read_text()


@pytest.mark.parametrize(("name", "code"), [("unknown", "secret_unavailable"), ("elsewhere", "secret_not_permitted")])
def test_a_job_that_does_not_get_its_secret_does_not_run(client: Client, vault: Path, name: str, code: str) -> None:
    job = client.submit(
        "job.demo.read", payload={"way": "use"}, requires=["vault"], secrets=["db", name], max_attempts=1
    )
    with pytest.raises(JobNotSucceeded):
        job.result(timeout_s=40)
    assert (job.info().state, job.info().code) == ("failed", code)
    assert job.info().secrets == tuple(sorted(("db", name)))


def _folders_with(folder: Path, text: str) -> set[str]:
    """Folders directly below that hold `text` in a file."""
    wanted = text.encode()
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).parts[0] for path in files if wanted in path.read_bytes()}
