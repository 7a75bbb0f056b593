"""From a held job to a line in a chat, and from a sealed output to a released one, through every process."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from holdgate.kernel.clock import SystemClock
from holdgate.scheduler.notify.message import trial
from holdgate.scheduler.notify.signature import signed_headers
from holdgate.scheduler.up.caller import Caller
from support.blocks import ROOT
from support.notifying import SECRET, write_owned
from support.waiting import eventually_sync
from support.whole import running_whole

BOT = ROOT / "examples" / "chat_bot.py"


@contextmanager
def chat(lines: list[str], answers: list[int]) -> Iterator[str]:
    """A chat's incoming webhook: its address; `answers` are the statuses of the first posts, then 200."""

    class Chat(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = answers.pop(0) if answers else 200
            if status == 200:
                lines.append(json.loads(body)["text"])
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Chat)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/hook"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def bot(folder: Path, chat_url: str) -> Iterator[str]:
    """The example, as shown; its address."""
    secret = write_owned(folder / "chat.secret", SECRET.encode())
    child = subprocess.Popen([sys.executable, str(BOT), str(secret), chat_url, "0"], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    try:
        yield child.stdout.readline().split()[-1]
    finally:
        child.kill()
        child.wait()


def test_the_bot_takes_only_signed_notices_and_each_once(tmp_path: Path) -> None:
    """An unsigned one, an old one, one that is too large; then one that comes three times while the chat fails once."""
    lines: list[str] = []
    now_ms = SystemClock().now_ms()
    message_id, body = trial(now_ms)
    key = b"k" * 32
    with chat(lines, [500]) as chat_url, bot(tmp_path, chat_url) as bot_url, httpx.Client(trust_env=False) as client:

        def sent(content: bytes, at_ms: int, secret: bytes = key) -> int:
            headers = signed_headers(message_id, at_ms, content, [secret])
            return client.post(bot_url, content=content, headers=headers).status_code

        assert client.post(bot_url, content=body).status_code == 400
        assert sent(body, now_ms - 600_000) == 400
        assert sent(body, now_ms, b"o" * 32) == 400
        assert sent(b" " * 70_000, now_ms) == 413
        assert lines == []
        assert [sent(body, now_ms) for _ in range(3)] == [502, 204, 204]
    assert len(lines) == 1


def test_a_chat_hears_of_held_jobs_decisions_and_sealed_outputs(tmp_path: Path) -> None:
    """The bot's first post fails, and the notice comes again. Then two people release the sealed output."""
    lines: list[str] = []
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    with chat(lines, [503]) as chat_url, bot(tmp_path, chat_url) as bot_url:
        item = {"name": "chat", "url": bot_url, "secret_file": str(tmp_path / "chat.secret")}
        document = {"console_url": "https://holdgate.example", "webhooks": [item]}
        write_owned(data / "webhooks.json", json.dumps(document).encode())
        with running_whole(tmp_path) as system:
            agent, *people = (Caller(system.api, system.key(who)) for who in ("agent", "approver", "approver2"))
            _, held = agent.submit(
                "job.deploy.apply", payload={"token": "hunter2"}, labels={"env": "prod"}, capability="infra.write"
            )
            link = f"https://holdgate.example/approvals/{held['job_id']}"
            eventually_sync(lambda: link in str(lines), 30, why="the held job is in the chat")
            _, shown = people[0].get(f"/approvals/{held['job_id']}")
            vote = {"job_hash": shown["job_hash"], "snapshot": shown["snapshot"], "reason": "<!channel> seen"}
            assert people[0].post(f"/approvals/{held['job_id']}/approve", vote)[0] == 200
            eventually_sync(lambda: "released: job.deploy.apply" in str(lines), 30, why="so is the decision")
            job_id = agent.submit("job.demo.key")[1]["job_id"]
            assert agent.ended(job_id)["state"] == "quarantined"
            link = f"https://holdgate.example/quarantine/{job_id}"
            eventually_sync(lambda: link in str(lines), 30, why="so is the sealed output")
            release(agent, people, job_id)
            eventually_sync(lambda: "released: job.demo.key" in str(lines), 30, why="so is its release")
            for caller in (agent, *people):
                caller.close()
    assert "hunter2" not in str(lines)
    assert "<!channel>" not in str(lines)
    assert len(lines) == len(set(lines))


def release(agent: Caller, people: list[Caller], job_id: str) -> None:
    """By two, since a private key is grave; the submitter reads what its worker returned."""
    _, shown = people[0].get(f"/quarantine/{job_id}")
    assert (shown["quorum"], shown["can_open"]) == (2, True)
    assert "PRIVATE KEY" not in str(shown)
    body = {"digest": shown["digest"], "reason": "made for this test"}
    replies = [person.post(f"/quarantine/{job_id}/release", body)[1] for person in people]
    assert [reply["status"] for reply in replies] == ["sealed", "released"]
    status, result = agent.result(job_id)
    assert (status, result["verdict"]["released_by"]) == (200, ["approver", "approver2"])
    assert "PRIVATE KEY" in str(result["value"])
