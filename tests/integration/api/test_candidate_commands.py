"""`holdgate policy replay` and `shadow` as an author runs them, against a real API."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from holdgate.bundles.format import sign_bundle
from holdgate.bundles.keys import load_signer
from support.api import ApiWorld
from support.trust import bundle
from support.waiting import eventually

DENY_READS = "rules: [{id: deny-reads, decision: deny, reason: closed, match: {topics: [job.demo.read]}}]"
ALLOW_OTHER = "rules: [{id: allow-other, decision: allow, reason: open, match: {topics: [job.other]}}]"


@dataclass
class Author:
    """Somebody at a terminal with the API key of an author."""

    api: ApiWorld
    folder: Path

    async def run(self, *arguments: str, key: str | None = None) -> subprocess.CompletedProcess[str]:
        """`holdgate policy …` with the API at hand."""
        environment = {"PATH": "/usr/bin:/bin", "HOLDGATE_API_URL": self.api.url}
        environment["HOLDGATE_API_KEY"] = key or self.api.keys["author"]
        return await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "holdgate.scheduler.cli", "policy", *arguments],
            env=environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def draft(self, rules: str, *, name: str = "house", is_signed: bool = False) -> str:
        """A bundle file in the folder."""
        data = bundle(self.folder, rules, name=name, signers=())
        if is_signed:
            data = sign_bundle(data, load_signer(self.api.provisioned.home.key_file("author")))
        (self.folder / f"{name}.bundle").write_bytes(data)
        return f"{name}.bundle"


@pytest.fixture
def author(api: ApiWorld, tmp_path: Path) -> Author:
    folder = tmp_path / "desk"
    folder.mkdir()
    return Author(api, folder)


async def test_a_replay_that_tightens_ends_with_0_and_one_that_widens_with_3(author: Author) -> None:
    await author.api.submit()
    await author.api.submit(topic="job.other")
    done = await author.run("replay", author.draft(DENY_READS))
    assert done.returncode == 0, done.stderr
    assert "tighter  allow → deny  1 job  " in done.stdout
    assert "such as job_" in done.stdout
    done = await author.run("replay", author.draft(ALLOW_OTHER), "--last", "1", "--json")
    assert done.returncode == 3, done.stderr
    report = json.loads(done.stdout)
    assert (report["decisions"], report["wider"], report["groups"][0]["rule_after"]) == (1, 1, "allow-other")


async def test_a_replay_that_is_refused_ends_with_1_and_says_why(author: Author) -> None:
    file = author.draft(DENY_READS)
    done = await author.run("replay", file, key=author.api.keys["agent"])
    assert (done.returncode, done.stdout) == (1, "")
    assert "forbidden: this call needs one of the roles: author" in done.stderr
    done = await author.run("replay", file, "--since", "yesterday")
    assert done.returncode == 1
    assert "since" in done.stderr
    done = await author.run("replay", file, "--api-key", author.api.keys["author"])
    assert done.returncode == 1
    assert "others see what is on a command line" in done.stderr


async def test_a_bundle_is_shadowed_looked_at_and_stopped(author: Author) -> None:
    assert "nothing is shadowed" in (await author.run("shadow", "status")).stdout
    unsigned = await author.run("shadow", "start", author.draft(DENY_READS))
    assert unsigned.returncode == 1
    assert "bundle_threshold" in unsigned.stderr
    started = await author.run("shadow", "start", author.draft(DENY_READS, is_signed=True))
    assert started.returncode == 0, started.stderr

    async def is_compared() -> bool:
        await author.api.submit()
        shown = (await author.run("shadow", "status")).stdout
        return "shadowed version 1" in shown and "allow → deny" in shown

    await eventually(is_compared, 30)
    assert (await author.run("shadow", "stop", "house")).returncode == 0
    assert (await author.run("shadow", "stop", "house")).returncode == 1
