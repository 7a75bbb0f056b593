"""Files of a result over HTTP: after the verdict, for who may read it, and never as a page of this origin."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from holdgate.scheduler.state.transitions import State
from support.api import ApiWorld
from support.running import Runner

PAGE = b"<html><script>alert(1)</script></html>"


@pytest.fixture
def runner(api: ApiWorld) -> Runner:
    """Plays dispatcher and output gate."""
    return Runner(api)


async def started(api: ApiWorld, runner: Runner) -> str:
    job_id = str((await api.submit(secrets=["mail", "db.main"])).json()["job_id"])
    await runner.start(job_id)
    return job_id


async def verdict(api: ApiWorld, name: str = "page.html") -> dict[str, Any]:
    digest = await api.deps.payloads.put(PAGE)
    listed = {"name": name, "media_type": "text/html", "bytes": len(PAGE), "digest": digest}
    return {"verdict": "allow", "findings": [], "artifacts": [listed]}


async def test_a_file_is_listed_and_read_after_the_verdict(api: ApiWorld, runner: Runner) -> None:
    job_id, client = await started(api, runner), api.client()
    path = f"/api/v1/jobs/{job_id}/artifacts/page.html"
    assert (await client.get(path)).json()["code"] == "result_not_ready"
    await runner.finish(job_id, State.SUCCEEDED, value=b"1", verdict=await verdict(api))
    shown = (await client.get(f"/api/v1/jobs/{job_id}/result")).json()
    assert [(each["name"], each["bytes"]) for each in shown["artifacts"]] == [("page.html", len(PAGE))]
    assert "artifacts" not in shown["verdict"]
    assert (await client.get(path)).content == PAGE
    missing = await client.get(f"/api/v1/jobs/{job_id}/artifacts/other.html")
    assert (missing.status_code, missing.json()["code"]) == (404, "artifact_not_found")


async def test_the_command_saves_a_file_and_not_over_another(api: ApiWorld, runner: Runner, tmp_path: Path) -> None:
    job_id = await started(api, runner)
    await runner.finish(job_id, State.SUCCEEDED, value=b"1", verdict=await verdict(api))
    environment = {
        "HOLDGATE_API_URL": api.url,
        "HOLDGATE_API_KEY": api.keys["agent"],
        "HOME": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    saved = tmp_path / "page.html"
    command = [
        sys.executable,
        "-m",
        "holdgate.scheduler.cli",
        "jobs",
        "artifact",
        job_id,
        "page.html",
        "-o",
        str(saved),
    ]

    async def run() -> int:
        return (await asyncio.to_thread(subprocess.run, command, env=environment, timeout=60, check=False)).returncode

    assert await run() == 0
    assert saved.read_bytes() == PAGE
    saved.write_text("mine")
    assert await run() == 2
    assert saved.read_text() == "mine"


async def test_no_browser_shows_a_file_as_a_page(api: ApiWorld, runner: Runner) -> None:
    job_id = await started(api, runner)
    name = 'a"; filename=x\r\n.html'.replace("\r\n", "")
    await runner.finish(job_id, State.SUCCEEDED, value=b"1", verdict=await verdict(api, name))
    reply = await api.client().get(f"/api/v1/jobs/{job_id}/artifacts/{name}")
    assert reply.content == PAGE
    assert reply.headers["content-type"] == "application/octet-stream"
    assert reply.headers["content-disposition"] == 'attachment; filename="a___filename_x.html"'
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["content-security-policy"].startswith("default-src 'none'")


async def test_who_may_not_read_the_result_may_not_read_its_files(api: ApiWorld, runner: Runner) -> None:
    job_id = await started(api, runner)
    await runner.finish(job_id, State.SUCCEEDED, value=b"1", verdict=await verdict(api))
    path = f"/api/v1/jobs/{job_id}/artifacts/page.html"
    for who in ("agent2", "approver", "stranger", "operator"):
        result = await api.client(who).get(f"/api/v1/jobs/{job_id}/result")
        assert (await api.client(who).get(path)).status_code == result.status_code, who
    assert (await api.client(None).get(path)).status_code == 401


async def test_files_of_a_sealed_output_are_not_read(api: ApiWorld, runner: Runner) -> None:
    job_id = await started(api, runner)
    await runner.finish(job_id, State.QUARANTINED, sealed=b"sealed", verdict=await verdict(api))
    reply = await api.client().get(f"/api/v1/jobs/{job_id}/artifacts/page.html")
    assert (reply.status_code, reply.json()["code"]) == (403, "output_quarantined")


async def test_the_names_of_secrets_are_shown_with_the_job(api: ApiWorld, runner: Runner) -> None:
    job_id = await started(api, runner)
    assert (await api.client().get(f"/api/v1/jobs/{job_id}")).json()["secrets"] == ["db.main", "mail"]
    refused = await api.submit(secrets=["DB"])
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "secrets.0")
