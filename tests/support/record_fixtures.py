"""Writes down what a release stores and sends, for tests of later ones: `python -m support.record_fixtures VERSION`.

    tests/fixtures/<version>/
      state.json      every key of a tenant with a job in each state, and what a test needs to go on with them
      messages.json   one of each message that lies in a stream
      audit/          a sealed segment and an open one
      kernel/         what a kernel remembers; root.json beside it

Keys are those of tests, made of their names; only public halves and signatures are written. All is the same in every
run but the tokens of leases. Run it from `tests`, before a release that changes a record, and never for a version that
is there: those are what that release wrote.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from pathlib import Path
from typing import Any

import redis

from holdgate.bundles.format import parse_bundle
from holdgate.bundles.shelf import Shelf, Versions
from holdgate.bundles.trusted import Floor
from holdgate.kernel import limits
from holdgate.scheduler.audit.archive import TenantArchive
from holdgate.scheduler.state.connection import connect_redis
from holdgate.scheduler.state.log import Envelope
from holdgate.scheduler.state.records import mark_records
from holdgate.scheduler.state.results import FinishingClaim
from holdgate.scheduler.state.transitions import State
from holdgate.workers.results import RunIdentity, RunOutcome, RunResult, message_of
from support.servers import running_servers
from support.state import POOL, TENANT, World, make_admission, make_decision, make_job, tell_log
from support.trust import Ceremony, signer, starter

FOLDER = Path(__file__).parents[1] / "fixtures"
AUDITOR = "auditor"
CHUNK = 10_000


def main() -> None:
    """Write the fixtures of the version that is named."""
    (version,) = sys.argv[1:]
    target = FOLDER / version
    target.mkdir(parents=True)
    with running_servers() as servers:
        asyncio.run(record(servers.take_redis_url(), target))


async def record(url: str, target: Path) -> None:
    """All of it, from the empty database at `url`."""
    scripts = await connect_redis(url)
    await mark_records(scripts)
    world = World(scripts)
    facts = await fill(world)
    endings = await tell_log(scripts)
    events = [event.as_dict() for event in await world.audit.read(TENANT, 0, CHUNK)]
    await scripts.close()
    write(target / "state.json", {"now_ms": world.now_ms, "jobs": facts, "keys": dumped(url)})
    messages = {"JOBS": envelope(world), "RESULTS": result(facts["running"]), "ENDED": [e.pack() for e in endings]}
    write(target / "messages.json", shown(messages))
    archive(target / "audit", events)
    kernel(target)


async def fill(world: World) -> dict[str, Any]:
    """A job in each state: its id, and the token of one that runs."""
    ran = {}
    for name in ("running", "finishing", "quarantined", "succeeded"):
        picked, token = await world.running()
        ran[name] = {"job_id": picked.job.job_id, "attempt": picked.attempt, "token": token}
        claim = FinishingClaim(picked.job.job_id, picked.attempt, token)
        if name == "finishing":
            await world.results.mark_finishing(TENANT, [claim], world.now_ms)
        elif name == "quarantined":
            request = world.finish_request(picked, token, State.QUARANTINED, sealed=b"a box", code="output_quarantined")
            await world.results.finish(TENANT, [request], world.now_ms)
        elif name == "succeeded":
            request = world.finish_request(picked, token, State.SUCCEEDED, value=b'{"done":true}')
            await world.results.finish(TENANT, [request], world.now_ms)
    held = await world.held()
    run_at_ms = world.now_ms + 60_000
    later = make_job(world.now_ms, run_at_ms=run_at_ms)
    await world.accept(later, initial=State.SCHEDULED)
    waiting = {"held": held.job_id, "scheduled": later.job_id, "queued": await world.queued()}
    return {**ran, **{name: {"job_id": job_id} for name, job_id in waiting.items()}}


def envelope(world: World) -> bytes:
    """A job as the log has it."""
    job = make_job(world.now_ms)
    return Envelope(job, make_decision(job), make_admission(job), State.ACCEPTED, world.now_ms).pack()


def result(ran: dict[str, Any]) -> dict[str, Any]:
    """What the worker of the running job would send."""
    identity = RunIdentity(TENANT, ran["job_id"], ran["attempt"], ran["token"], "permit_1")
    outcome = RunResult(RunOutcome.SUCCEEDED, 1, 2, value=b'{"done":true}')
    headers, body = message_of(identity, outcome, worker="w1", pool=POOL, bytes_max=limits.ENVELOPE_BYTES_MAX)
    return {"headers": headers, "body": body}


def archive(folder: Path, events: list[dict[str, Any]]) -> None:
    """The first half sealed, the second not yet."""
    files = TenantArchive(folder, TENANT)
    files.append(events[: len(events) // 2])
    files.seal(signer(AUDITOR), events[-1]["time_ms"])
    files.append(events[len(events) // 2 :])


def kernel(target: Path) -> None:
    """The starter bundle in force under a root."""
    ceremony = Ceremony()
    (target / "root.json").write_bytes(ceremony.signed_root())
    data = starter()
    bundle = parse_bundle(data)
    root = ceremony.root
    floor = Floor(bundle.manifest.version, bundle.digest, bundle.manifest.scope)
    versions = Versions(
        Floor(root.version, root.digest, None), {bundle.manifest.name: floor}, str(ceremony.pins), 1_800_000_000_000
    )
    Shelf(target / "kernel").keep(versions, {bundle.manifest.name: data})


def dumped(url: str) -> dict[str, Any]:
    """Every key: its type, what it holds, and how long it lives yet."""
    client = redis.Redis.from_url(url)
    found = {}
    for key in sorted(client.scan_iter(count=CHUNK)):
        found[key.decode()] = {"ttl_ms": max(0, client.pttl(key)), **_value(client, key)}
    client.close()
    return found


def _value(client: redis.Redis, key: bytes) -> dict[str, Any]:
    match client.type(key):
        case b"string":
            return {"string": text(client.get(key))}
        case b"hash":
            return {"hash": {text(name): text(value) for name, value in sorted(client.hgetall(key).items())}}
        case b"list":
            return {"list": [text(item) for item in client.lrange(key, 0, -1)]}
        case b"set":
            return {"set": [text(item) for item in sorted(client.smembers(key))]}
        case b"zset":
            return {"zset": [[text(item), score] for item, score in client.zrange(key, 0, -1, withscores=True)]}
        case b"stream":
            entries = client.xrange(key)
            return {"stream": [[at.decode(), {text(n): text(v) for n, v in item.items()}] for at, item in entries]}
        case kind:
            raise AssertionError(f"{key!r} is a {kind!r}")


def load(url: str, keys: dict[str, Any]) -> None:
    """Put back what `dumped` gave."""
    client = redis.Redis.from_url(url)
    for key, held in keys.items():
        match held:
            case {"string": value}:
                client.set(key, raw(value))
            case {"hash": items}:
                client.hset(key, mapping={raw(name): raw(value) for name, value in items.items()})
            case {"list": items}:
                client.rpush(key, *map(raw, items))
            case {"set": items}:
                client.sadd(key, *map(raw, items))
            case {"zset": items}:
                client.zadd(key, {raw(item): score for item, score in items})
            case {"stream": entries}:
                for at, item in entries:
                    client.xadd(key, {raw(name): raw(value) for name, value in item.items()}, id=at)
        if held["ttl_ms"]:
            client.pexpire(key, held["ttl_ms"])
    client.close()


def text(data: bytes) -> str:
    """Readable where it is plain ASCII, else base64 behind a mark."""
    if data.isascii() and data.decode().isprintable() and not data.startswith(b"base64:"):
        return data.decode()
    return "base64:" + base64.b64encode(data).decode()


def raw(shown_: str) -> bytes:
    """The bytes of `text`."""
    return base64.b64decode(shown_[7:]) if shown_.startswith("base64:") else shown_.encode()


def shown(value: Any) -> Any:
    """`value` with every bytes as `text`."""
    if isinstance(value, bytes):
        return text(value)
    if isinstance(value, dict):
        return {name: shown(item) for name, item in value.items()}
    return [shown(item) for item in value] if isinstance(value, list) else value


def write(file: Path, value: Any) -> None:
    """As JSON for people."""
    file.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
