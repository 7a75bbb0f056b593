"""Collects what a checker is given: from Redis, JetStream, the archive, the journals, and whatever else was written."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import nats.errors
from nats.aio.client import Client as Nats
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from holdgate.kernel import subjects, wire
from holdgate.kernel.canonical import parse_json
from holdgate.kernel.ids import Tenant
from holdgate.kernel.permits import Keyring
from holdgate.scheduler.audit.verify import verify_archive
from holdgate.scheduler.errors import StateUnavailable
from holdgate.scheduler.state.address import RedisAddress
from holdgate.scheduler.state.connection import Scripts, connect_redis
from holdgate.scheduler.state.endings import Mark, read_entry
from holdgate.scheduler.torture.bends import Bends
from holdgate.scheduler.torture.check import Archive, Closed, Ending, Evidence, Leak, LoggedJob, Run
from holdgate.scheduler.torture.check.dump import Dump, dump
from holdgate.scheduler.torture.history import read_history
from holdgate.scheduler.torture.planted import Planted

FETCH_S = 5.0
READ_S = 30.0
CONNECT_TRIES = 10
PAUSE_S = 1.0
ARCHIVED_TRIES = 20
BATCH = 256
TEXT_CHUNK = 1 << 20
OVERLAP = 256
"""Longer than anything planted: what lies on the border of two chunks is found, too."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where everything is. `texts`: logs, and whatever else was written for people; `metrics`: URLs of pages."""

    history: Path
    redis: RedisAddress | str
    nats: Nats
    """A connection that may read the streams."""
    archive: Path
    auditor_keys: Sequence[bytes]
    journals: Path
    tenants: Sequence[str]
    planted: Planted
    texts: Sequence[Path] = ()
    metrics: Sequence[str] = ()


async def collect(
    sources: Sources, *, closed: Sequence[Closed] = (), bends: Sequence[Bends] = (), settled: bool = True
) -> Evidence:
    """The evidence as it is now. StateUnavailable, and what NATS raises, where a server does not answer."""
    dumps = await _dumps(sources)
    archives = await _archives_up_to(sources, dumps)
    leaks = await asyncio.to_thread(lambda: [*_leaks(sources), *_leaks_in(archives, sources.planted)])
    return Evidence(
        history=list(read_history(sources.history)),
        dumps=dumps,
        logged=await _logged(sources.nats),
        endings=await _endings(sources.nats),
        archives=archives,
        runs=list(read_journals(sources.journals)),
        closed=closed,
        bends=bends,
        leaks=[*leaks, *await _leaks_of_metrics(sources), *_leaks_in_state(dumps, sources.planted)],
        secrets=[needle.decode() for needle in sources.planted.needles()],
        settled=settled,
    )


def read_journals(folder: Path) -> Iterator[Run]:
    """Every run that a worker wrote down; a line that was cut off with its worker is left out."""
    for file in sorted(folder.glob("*.jsonl")):
        started: list[dict[str, Any]] = []
        ends: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for line in file.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                value = json.loads(line)
                (started if value["event"] == "start" else ends[value["permit_id"]]).append(value)
        for start in started:
            permit_id = start["permit_id"]
            end = ends[permit_id].pop(0) if ends[permit_id] else {}
            yield Run(
                tenant=start["tenant"],
                job_id=start["job_id"],
                attempt=start["attempt"],
                topic=start["topic"],
                permit_id=permit_id,
                pid=start["pid"],
                started_ms=start["at_ms"],
                ended_ms=end.get("at_ms"),
                how=end.get("how"),
            )


async def _dumps(sources: Sources) -> dict[str, Dump]:
    scripts = await _connected(sources.redis)
    try:
        return {tenant: await dump(scripts, Tenant(tenant)) for tenant in sources.tenants}
    finally:
        await scripts.close()


async def _connected(address: RedisAddress | str) -> Scripts:
    """Patiently: what was broken a moment ago, on a busy machine, may not answer at once. StateUnavailable."""
    for _ in range(CONNECT_TRIES - 1):
        try:
            return await connect_redis(address, timeout_s=READ_S)
        except StateUnavailable:
            await asyncio.sleep(PAUSE_S)
    return await connect_redis(address, timeout_s=READ_S)


async def _logged(nc: Nats) -> list[LoggedJob]:
    found = []
    for seq, data in await _read(nc, subjects.STREAM_JOBS):
        record = wire.unpack(data)
        found.append(LoggedJob(seq, record["tenant"], record["job_id"]))
    return found


async def _endings(nc: Nats) -> list[Ending]:
    found = []
    for _, data in await _read(nc, subjects.STREAM_ENDED):
        ending = read_entry(data)
        if not isinstance(ending, Mark):
            found.append(Ending(ending.seq, ending.tenant, ending.job_id, str(ending.state)))
    return found


async def _read(nc: Nats, stream: str) -> list[tuple[int, bytes]]:
    """Everything in `stream`, patiently: its leader may be a new one. What NATS raises."""
    for _ in range(CONNECT_TRIES - 1):
        try:
            return [item async for item in _messages(nc, stream)]
        except (nats.errors.Error, TimeoutError):
            await asyncio.sleep(PAUSE_S)
    return [item async for item in _messages(nc, stream)]


async def _messages(nc: Nats, stream: str) -> AsyncIterator[tuple[int, bytes]]:
    """Sequence and bytes of everything in `stream`, in order."""
    js = nc.jetstream()
    left = (await js.stream_info(stream)).state.messages
    if not left:
        return
    config = ConsumerConfig(ack_policy=AckPolicy.NONE, deliver_policy=DeliverPolicy.ALL, inactive_threshold=30.0)
    subscription = await js.pull_subscribe("", stream=stream, config=config)
    try:
        while left > 0:
            for message in await subscription.fetch(min(BATCH, left), timeout=FETCH_S):
                left -= 1
                yield message.metadata.sequence.stream, message.data
    finally:
        await subscription.unsubscribe()


async def _archives_up_to(sources: Sources, dumps: Mapping[str, Dump]) -> dict[str, Archive]:
    """The archives once they hold what the dumps do; those that do not in time say so."""
    wanted = {tenant: max((event.seq for event in found.events), default=0) for tenant, found in dumps.items()}
    archives = await asyncio.to_thread(_archives, sources)
    for _ in range(ARCHIVED_TRIES):
        if all(_last(archives[tenant]) >= seq for tenant, seq in wanted.items()):
            return archives
        await asyncio.sleep(PAUSE_S)
        archives = await asyncio.to_thread(_archives, sources)
    for tenant, seq in wanted.items():
        if (last := _last(archives[tenant])) < seq:
            findings = [*archives[tenant].findings, f"it ends with event {last}, and there are {seq}"]
            archives[tenant] = replace(archives[tenant], findings=findings)
    return archives


def _last(archive: Archive) -> int:
    return max((event["seq"] for event in archive.events), default=0)


def _archives(sources: Sources) -> dict[str, Archive]:
    reports = {report.tenant: report for report in verify_archive(sources.archive, Keyring(sources.auditor_keys))}
    found = {}
    for tenant in sources.tenants:
        report = reports.get(tenant)
        said = [] if report is None else [f"{item.where}: {item.code}: {item.message}" for item in report.findings]
        found[tenant] = Archive(list(_archived(sources.archive / tenant)), said)
    return found


def _archived(folder: Path) -> Iterator[Mapping[str, Any]]:
    for file in sorted(folder.glob("*.jsonl")):
        data = file.read_bytes()
        # The auditor may be writing the last line just now.
        for line in data[: data.rfind(b"\n") + 1].splitlines():
            event = parse_json(line)
            if isinstance(event, dict):
                yield event


def _leaks(sources: Sources) -> Iterator[Leak]:
    for file in sources.texts:
        if any(sources.planted.found_in(chunk) for chunk in _chunks(file)):
            yield Leak(file.name, "a planted secret")


def _leaks_in(archives: Mapping[str, Archive], planted: Planted) -> Iterator[Leak]:
    for tenant, archive in archives.items():
        for event in archive.events:
            if planted.found_in(repr(dict(event)).encode()):
                yield Leak(f"archive of `{tenant}`, event {event['seq']}", "a planted secret")


def _leaks_in_state(dumps: Mapping[str, Dump], planted: Planted) -> Iterator[Leak]:
    """Records of jobs and audit events hold no output; what is sealed is not in a dump."""
    for tenant, found in dumps.items():
        for job_id, record in found.jobs.items():
            if any(planted.found_in(value) for value in record.values()):
                yield Leak(f"record of {job_id} of `{tenant}`", "a planted secret")
        for event in found.events:
            if planted.found_in(repr(event.as_dict()).encode()):
                yield Leak(f"audit event {event.seq} of `{tenant}`", "a planted secret")


async def _leaks_of_metrics(sources: Sources) -> list[Leak]:
    found = []
    async with httpx.AsyncClient(trust_env=False, timeout=FETCH_S) as http:
        for url in sources.metrics:
            try:
                page = (await http.get(url)).content
            except httpx.HTTPError:
                continue
            if sources.planted.found_in(page):
                found.append(Leak(url, "a planted secret"))
    return found


def _chunks(file: Path) -> Iterable[bytes]:
    """`file` in pieces that overlap."""
    if not file.is_file():
        return
    with file.open("rb") as source:
        tail = b""
        while chunk := source.read(TEXT_CHUNK):
            yield tail + chunk
            tail = chunk[-OVERLAP:]
