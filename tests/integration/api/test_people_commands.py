"""`holdgate approvals` and `holdgate jobs` at a terminal and in scripts, against a real API."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from holdgate.bundles.format import sign_bundle
from holdgate.bundles.keys import load_signer
from support.api import ApiWorld, publish_bundle
from support.secrets import Secrets
from support.trust import bundle

PROD_WRITE = {"topic": "job.deploy.apply", "labels": {"env": "prod"}, "capability": "infra.write"}
SECRET = Secrets(5).github()
ANSWER_WITHIN_S = 30.0


@dataclass
class Person:
    """Somebody with a key, at a terminal or with a script."""

    api: ApiWorld
    folder: Path
    key: str

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": "/usr/bin:/bin",
            "HOLDGATE_API_URL": self.api.url,
            "HOLDGATE_API_KEY": self.key,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "TERM": "xterm",
        }

    async def run(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """`holdgate …` as a script runs it."""
        return await asyncio.to_thread(
            subprocess.run,
            command(arguments),
            env=self.environment,
            cwd=self.folder,
            input=given,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    async def type(self, *arguments: str, answers: Sequence[tuple[str, str]]) -> tuple[int, str]:
        """`holdgate …` at a terminal: each answer is typed once its question is there; exit code and what was shown."""
        return await asyncio.to_thread(self._type, arguments, answers)

    def _type(self, arguments: Sequence[str], answers: Sequence[tuple[str, str]]) -> tuple[int, str]:
        master, slave = pty.openpty()
        process = subprocess.Popen(
            command(arguments), env=self.environment, cwd=self.folder, stdin=slave, stdout=slave, stderr=slave
        )
        os.close(slave)
        shown, left = "", list(answers)
        try:
            while select.select([master], [], [], ANSWER_WITHIN_S)[0]:
                try:
                    data = os.read(master, 65536)
                except OSError:  # the other side is closed
                    break
                shown += data.decode(errors="replace")
                if left and left[0][0] in shown:
                    os.write(master, f"{left.pop(0)[1]}\n".encode())
            return process.wait(ANSWER_WITHIN_S), shown
        finally:
            process.kill()
            os.close(master)


def command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "holdgate.scheduler.cli", *arguments]


@pytest.fixture
def approver(api: ApiWorld, tmp_path: Path) -> Person:
    return Person(api, tmp_path, api.keys["approver"])


@pytest.fixture
def agent(api: ApiWorld, tmp_path: Path) -> Person:
    return Person(api, tmp_path, api.keys["agent"])


async def held(api: ApiWorld, **more: Any) -> dict[str, Any]:
    reply = await api.submit(**{**PROD_WRITE, **more})
    assert reply.json()["state"] == "held", reply.text
    job_id = reply.json()["job_id"]
    shown: dict[str, Any] = (await api.client("approver").get(f"/api/v1/approvals/{job_id}")).json()
    return shown


async def state_of(api: ApiWorld, job_id: str) -> str:
    return str((await api.client().get(f"/api/v1/jobs/{job_id}")).json()["state"])


async def test_the_queue_is_a_table_in_a_pipe_and_an_object_a_line_as_json(approver: Person) -> None:
    jobs = [await held(approver.api, prompt=f"number {number}") for number in range(3)]
    table = (await approver.run("approvals", "list")).stdout.splitlines()
    assert table[0].split() == ["job", "severity", "topic", "actor", "time", "left", "votes", "held", "because"]
    assert [line.split()[0] for line in table[1:]] == [job["job_id"] for job in reversed(jobs)]
    assert "\x1b" not in "".join(table)
    lines = (await approver.run("approvals", "list", "--json", "--limit", "2")).stdout.splitlines()
    found = [json.loads(line) for line in lines]
    assert [item["job_id"] for item in found] == [jobs[2]["job_id"], jobs[1]["job_id"]]
    assert found[0]["job_hash"] == jobs[2]["job_hash"]


async def test_what_is_shown_is_masked_whole_and_does_nothing_to_the_terminal(approver: Person) -> None:
    payload = {"token": SECRET, "evil": "\x1b[2J\u202ereversed"}
    job = await held(approver.api, payload=payload, prompt="first line\nsecond")
    done = await approver.run("approvals", "show", job["job_id"])
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout
    assert "\x1b" not in done.stdout
    assert "\u202e" not in done.stdout
    for part in (
        "agent wants to run job.deploy.apply, held because: human review required for prod write",
        "[redacted:secret:",
        "\\u001b[2J\\u202ereversed",
        "labels        env=prod",
        "decided by    require-approval-prod-write  bundle demo version 1, signed by author",
        'reason: "human review required for prod write"',
        "needs         1 of role release-manager",
        f"job hash      {job['job_hash']}",
        f"snapshot      {job['snapshot']}",
    ):
        assert part in done.stdout
    code, shown = await approver.type("approvals", "show", job["job_id"], answers=())
    assert code == 0
    assert "\x1b[2J" not in shown
    as_json = await approver.run("approvals", "show", job["job_id"], "--json")
    assert SECRET not in as_json.stdout
    assert json.loads(as_json.stdout)["job_hash"] == job["job_hash"]
    revealed = await approver.run("approvals", "show", job["job_id"], "--reveal", "--json")
    assert json.loads(revealed.stdout)["payload"] == payload


async def test_a_person_is_shown_the_job_and_asked_before_it_is_released(approver: Person) -> None:
    job = await held(approver.api)
    code, shown = await approver.type("approvals", "approve", job["job_id"], answers=[("release it?", "no"), ("", "")])
    assert code == 1
    assert "nothing is done" in shown
    assert await state_of(approver.api, job["job_id"]) == "held"
    code, shown = await approver.type(
        "approvals", "approve", job["job_id"], answers=[("release it?", "yes"), ("reason:", "checked it")]
    )
    assert code == 0, shown
    assert shown.index(job["job_hash"]) < shown.index("release it?")
    assert await state_of(approver.api, job["job_id"]) == "queued"
    votes = (await approver.api.client("approver").get(f"/api/v1/approvals/{job['job_id']}")).json()["votes"]
    assert [vote["reason"] for vote in votes] == ["checked it"]


async def test_a_script_votes_on_what_it_has_seen_and_nothing_else(approver: Person) -> None:
    job = await held(approver.api)
    seen = ["--yes", "--reason", "fine", "--job-hash", job["job_hash"], "--snapshot", job["snapshot"]]
    wrong = [*seen[:4], "sha256:" + "0" * 64, *seen[5:]]
    refused = await approver.run("approvals", "approve", job["job_id"], *wrong)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("approval_stale_job: ")
    assert "next: look again" in refused.stderr
    assert await state_of(approver.api, job["job_id"]) == "held"
    done = await approver.run("approvals", "approve", job["job_id"], *seen, "--json")
    assert (done.returncode, json.loads(done.stdout)["status"]) == (0, "released")
    again = await approver.run("approvals", "approve", job["job_id"], *seen, "--json")
    assert (again.returncode, json.loads(again.stdout)["code"]) == (1, "approval_resolved")


async def test_a_policy_that_changes_while_somebody_reads_voids_their_answer(approver: Person, tmp_path: Path) -> None:
    job = await held(approver.api)
    seen = ["--yes", "--reason", "fine", "--job-hash", job["job_hash"], "--snapshot", job["snapshot"]]
    rules = "rules: [{id: other, decision: allow, reason: open, match: {topics: [job.other]}}]"
    home = approver.api.provisioned.home
    data = sign_bundle(bundle(tmp_path, rules, name="other", signers=()), load_signer(home.key_file("author")))
    await publish_bundle(approver.api, data)
    done = await approver.run("approvals", "approve", job["job_id"], *seen)
    assert done.returncode == 1
    assert done.stderr.startswith("approval_stale_policy: ")
    assert await state_of(approver.api, job["job_id"]) == "held"


async def test_rejecting_and_putting_off(approver: Person) -> None:
    job = await held(approver.api)
    done = await approver.run("approvals", "defer", job["job_id"], "--for", "2h", "--reason", "after the freeze")
    assert (done.returncode, done.stderr) == (0, "")
    assert "is put off until" in done.stdout
    assert (await approver.run("approvals", "defer", job["job_id"], "--reason", "x")).returncode == 2
    code, shown = await approver.type(
        "approvals", "reject", job["job_id"], "--reason", "not now", answers=[("reject it?", "yes")]
    )
    assert code == 0, shown
    assert await state_of(approver.api, job["job_id"]) == "denied"


async def test_somebody_who_may_not_is_told_what_to_do(agent: Person) -> None:
    job = await held(agent.api)
    done = await agent.run("approvals", "show", job["job_id"])
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("forbidden: ")
    assert "next: use the API key of somebody who may" in done.stderr


async def test_a_denial_says_rule_reason_and_what_would_be_safer(agent: Person) -> None:
    done = await agent.run("jobs", "submit", "job.exec.shell", "--prompt", "ls")
    assert (done.returncode, done.stdout) == (3, "")
    assert "rule    deny-raw-shell" in done.stderr
    assert "safer   read-instead" in done.stderr
    dry = await agent.run("jobs", "submit", "job.deploy.apply", *PROD, "--dry-run", "--json")
    assert (dry.returncode, json.loads(dry.stdout)["verdict"]) == (4, "require_approval")
    assert (await agent.api.client("operator").get("/api/v1/jobs?topic=job.deploy.apply")).json()["items"] == []


PROD = ("--label", "env=prod", "--capability", "infra.write")


async def test_a_submit_prints_the_id_alone_and_the_same_key_is_the_same_job(agent: Person) -> None:
    arguments = ("jobs", "submit", "job.deploy.apply", *PROD, "--payload", "-", "--idempotency-key", "k1")
    first = await agent.run(*arguments, given='{"version": "1"}')
    again = await agent.run(*arguments, given='{"version": "1"}')
    assert (first.returncode, again.returncode) == (4, 4)
    assert first.stdout == again.stdout
    assert first.stdout.strip().startswith("job_")
    assert "held: human review required" in first.stderr
    other = await agent.run(*arguments, given='{"version": "2"}')
    assert other.returncode == 1
    assert other.stderr.startswith("idempotency_conflict: ")


async def test_a_job_is_listed_shown_and_cancelled(agent: Person) -> None:
    job = await held(agent.api, prompt="do it")
    listed = await agent.run("jobs", "list", "--state", "held", "--json")
    assert [json.loads(line)["job_id"] for line in listed.stdout.splitlines()] == [job["job_id"]]
    shown = await agent.run("jobs", "show", job["job_id"])
    assert re.search(r"^prompt +do it$", shown.stdout, re.MULTILINE)
    assert "job.held" in shown.stdout
    assert (await agent.run("jobs", "result", job["job_id"])).returncode == 5
    late = await agent.run("jobs", "watch", job["job_id"], "--timeout", "1s")
    assert late.returncode == 4, late.stderr
    assert late.stderr.startswith("wait_timeout: ")
    done = await agent.run("jobs", "cancel", job["job_id"], "--reason", "changed my mind")
    assert (done.returncode, done.stdout) == (0, f"{job['job_id']} is cancelled\n")
    assert (await agent.run("jobs", "watch", job["job_id"])).returncode == 7
    assert (await agent.run("jobs", "show", "job_nonsense")).returncode == 1


async def test_an_approver_lets_somebody_vote_for_them_and_ends_it(approver: Person) -> None:
    given = await approver.run(
        *("approvals", "delegate", "give", "approver2", "--role", "release-manager"),
        *("--for", "2d", "--reason", "holiday", "--json"),
    )
    assert given.returncode == 0, given.stderr
    delegation = json.loads(given.stdout)["delegation_id"]
    assert delegation in (await approver.run("approvals", "delegate", "list")).stdout
    ended = await approver.run("approvals", "delegate", "revoke", delegation, "--json")
    assert json.loads(ended.stdout)["status"] == "revoked"


@pytest.fixture
def interruptible() -> Iterator[None]:
    """What is started here hears of Ctrl-C, also where these tests run in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
async def test_who_watches_hears_of_each_change_until_they_stop(approver: Person) -> None:
    watching = subprocess.Popen(  # noqa: ASYNC220  started at once, and waited for in a thread
        command(["approvals", "watch", "--json"]),
        env=approver.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout is not None
    line = asyncio.ensure_future(asyncio.to_thread(watching.stdout.readline))
    submitted: set[str] = set()
    try:
        while not line.done():  # it is told of what happens once it listens
            submitted.add((await held(approver.api))["job_id"])
            await asyncio.wait({line}, timeout=1)
        change = json.loads(line.result())
        assert (change["job_id"] in submitted, change["state"]) == (True, "held")
        watching.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(watching.wait, 10) == 130
    finally:
        watching.kill()


async def test_an_error_of_a_stream_is_told_as_every_other(agent: Person) -> None:
    done = await agent.run("approvals", "watch")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("forbidden: ")
