"""Who serves: a server that comes back is counted once, however many connections meet it, and a connection that comes
back to the same life of the same server is none."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

from holdgate.scheduler.errors import StateUnavailable
from holdgate.scheduler.state.connection import Scripts, connect_redis
from holdgate.scheduler.state.fleet import LANES
from holdgate.scheduler.up.children import stop
from holdgate.scheduler.up.servers import redis_server
from support.servers import configs


async def over_every_lane(scripts: Scripts) -> None:
    """Something is asked over each connection until it is there."""
    for _ in range(LANES):
        while True:
            try:
                await scripts.command("PING")
                break
            except StateUnavailable:
                await asyncio.sleep(0)


async def test_a_server_is_counted_once_for_each_of_its_lives(tmp_path: Path) -> None:
    _, config = configs(tmp_path)
    server = redis_server(config, tmp_path / "redis.conf")
    process: subprocess.Popen[bytes] = server.start(tmp_path / "redis.log")
    scripts = await connect_redis(config.url)
    try:
        await over_every_lane(scripts)
        before = scripts.servings
        await scripts.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no")
        await over_every_lane(scripts)
        assert scripts.servings == before, "the same server, which has all that it had"
        stop(process)
        process = server.start(tmp_path / "redis.log")
        await over_every_lane(scripts)
        assert scripts.servings == before + 1
        await scripts.command("REPLICAOF", "127.0.0.1", "1")
        await scripts.command("REPLICAOF", "NO", "ONE")
        await scripts.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no")
        await over_every_lane(scripts)
        assert scripts.servings == before + 2, "it followed another one meanwhile: what it has may be that one's"
    finally:
        await scripts.close()
        stop(process)
