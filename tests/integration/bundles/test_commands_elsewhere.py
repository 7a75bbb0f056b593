"""`holdgate bundle …` pointed at what is no API of Holdgate, or at half of what it needs."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from holdgate.bundles.format import BUNDLE_BYTES_MAX
from support.trust import ALLOW_READS, bundle

KEY = "a-key-that-nobody-should-see"


@asynccontextmanager
async def answering(status: str, body: bytes, length: int | None = None) -> AsyncIterator[str]:
    """A web server that gives one answer to everything."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {status}\r\ncontent-length: {len(body) if length is None else length}\r\n\r\n"
        writer.write(head.encode() + body)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def run(folder: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """Exit code and what went to standard error."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "holdgate.scheduler.cli", "bundle", *arguments],
        env={"PATH": "/usr/bin:/bin", "HOLDGATE_API_KEY": KEY, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert KEY not in done.stdout + done.stderr
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        ("200 OK", b"<html>hello</html>", "store_unavailable: "),
        ("200 OK", b"[1, 2]", "store_unavailable: "),
        ("500 Oops", b"<html>", "http_500: "),
        ("302 Found", b"", "http_302: "),
        ("409 Conflict", b'{"code": "bundle_odd", "detail": "so", "errors": "no list"}', "bundle_odd: so"),
        (
            "409 Conflict",
            b'{"code": "bundle_odd", "detail": "so: more", "errors": [1, {"field": "a"}]}',
            "bundle_odd: so\n  a  ",
        ),
    ],
)
async def test_a_server_that_is_no_api_of_holdgate_is_told_and_nothing_breaks(
    tmp_path: Path, status: str, body: bytes, said: str
) -> None:
    async with answering(status, body) as url:
        code, stderr = await run(tmp_path, "list", "--api", url)
    assert (code, stderr.startswith(said)) == (1, True), stderr


async def test_a_reply_without_an_end_is_cut_off(tmp_path: Path) -> None:
    endless = b"x" * (BUNDLE_BYTES_MAX + 1)
    async with answering("200 OK", endless, length=10 * BUNDLE_BYTES_MAX) as url:
        code, stderr = await run(tmp_path, "rollback", "house", "--to", "1", "--api", url)
    assert (code, stderr.startswith("bundle_too_large: ")) == (1, True), stderr


async def test_half_of_what_is_needed_is_no_default(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(bundle(tmp_path, ALLOW_READS))
    for options in (
        ["--nats", "nats://127.0.0.1:1"],
        ["--nats", "nats://127.0.0.1:1", "--root", "root.json"],
        ["--api", "http://127.0.0.1:1", "--pins", "1/ed25519:" + "0" * 32],
        [],
    ):
        code, stderr = await run(tmp_path, "publish", "one", *options)
        assert code == 2, stderr
    code, stderr = await run(tmp_path, "publish", "one", "--api", "http://127.0.0.1:1", HOLDGATE_API_KEY="")
    assert code == 2, stderr
