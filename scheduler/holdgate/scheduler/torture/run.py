"""One torture: a cluster, a load, faults from a seed, and then the question whether all held."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import nats.errors
from pydantic import SecretStr

from holdgate.bundles.keys import load_signer
from holdgate.kernel.clock import SystemClock
from holdgate.kernel.errors import HoldgateError
from holdgate.kernel.tasks import TaskSet
from holdgate.scheduler.state.address import RedisAddress
from holdgate.scheduler.torture.bends import Bend
from holdgate.scheduler.torture.breaking import Breaker, Row
from holdgate.scheduler.torture.check import Evidence, Violation, check
from holdgate.scheduler.torture.cluster import Cluster, Topology, running_cluster
from holdgate.scheduler.torture.cluster.topology import kind_of
from holdgate.scheduler.torture.collect import Sources, collect
from holdgate.scheduler.torture.faults.fault import PROCESSES
from holdgate.scheduler.torture.history import Event, History, Kind
from holdgate.scheduler.torture.load import Load, LoadFacts
from holdgate.scheduler.torture.load.load import OPEN_STATES, UNJUDGED
from holdgate.scheduler.torture.planted import Planted, plant
from holdgate.scheduler.torture.probe import open_probe
from holdgate.scheduler.torture.schedule import Pace, steps
from holdgate.scheduler.up.access import OPERATOR
from holdgate.scheduler.up.children import free_port
from holdgate.scheduler.up.plan import HOST
from holdgate.scheduler.up.scrape import metrics_server

FIRST_JOB_TIMEOUT_S = 30.0
UNJUDGED_SETTLE_S = 10.0
CLOCK = SystemClock()
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What to do. `faults`: names of the catalog; `rate`: operations a second; `seconds`: at most."""

    seed: int
    seconds: float
    faults: tuple[str, ...]
    topology: Topology
    folder: Path
    rate: float = 10.0
    mixes: bool = True
    """Whether to go on with mixes once each fault was injected alone."""
    pace: Pace = field(default_factory=Pace)


@dataclass(frozen=True, slots=True)
class Report:
    """What a torture found. `not_run`: faults that this machine cannot do, and why; `not_reached`:
    those for which the time was too short. `problems`: of the harness or of
    the system as a whole. `ended`: members that ended without being told, and how often."""

    seed: int
    seconds: float
    rows: tuple[Row, ...]
    not_run: Mapping[str, str]
    not_reached: tuple[str, ...]
    violations: tuple[Violation, ...]
    problems: tuple[str, ...]
    ended: Mapping[str, int]
    operations: int
    jobs: int
    folder: Path
    evidence: Evidence
    """What the violations were found in, or none was."""

    @property
    def is_clean(self) -> bool:
        """Whether everything held."""
        return not self.violations and not self.problems


async def torture(options: Options, say: Say) -> Report:
    """Run it. The folder then holds history, report, logs and data. ServerUnusable when no cluster can be started."""
    options.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    ended: Counter[str] = Counter()
    with History(options.folder / "history.jsonl") as history:

        def on_event(name: str, what: str) -> None:
            history.record(Event(CLOCK.now_ms(), name, Kind.NOTE, {"what": what}))
            ended[name] += what == "ended"

        cluster_folder = options.folder / "cluster"
        async with running_cluster(options.topology, cluster_folder, on_event=on_event) as cluster:
            say(f"a cluster of {len(cluster.members)} processes is up")
            plant(cluster.journals, options.seed)
            breaker = Breaker(cluster, history, CLOCK)
            report = await _tortured(options, cluster, breaker, history, say)
            told = breaker.ended
            unbidden = {name: ended[name] - told[name] for name in ended if ended[name] > told[name]}
            ours = [f"{name} ended by itself, {times} ×" for name, times in unbidden.items() if _is_ours(name)]
            report = replace(report, ended=unbidden, problems=(*report.problems, *ours))
    write_report(options.folder / "report.json", report)
    return report


async def _tortured(options: Options, cluster: Cluster, breaker: Breaker, history: History, say: Say) -> Report:
    author = cluster.home.key_file("author")
    facts = LoadFacts(cluster.api_urls, cluster.keys, cluster.tenants, author)
    load = Load(facts, seed=options.seed, rate=options.rate, history=history, clock=CLOCK)
    probe = await open_probe(cluster)
    try:
        await load.publish()
        if await probe.recovered_s(FIRST_JOB_TIMEOUT_S) is None:
            breaker.problems.append(f"no job went through before anything was broken: {probe.said}")
        started_s = time.monotonic()
        async with _running(load):
            drawn = steps(options.seed, options.faults, options.pace)
            for number, step in enumerate(drawn if options.mixes else islice(drawn, len(options.faults)), 1):
                left_s = options.seconds - (time.monotonic() - started_s)
                if left_s <= 0 or breaker.problems:
                    break
                outcome = await breaker.step(replace(step, hold_s=min(step.hold_s, left_s)), probe, options.pace)
                say(f"{time.monotonic() - started_s:6.1f} s  {number:3d}  {outcome}")
                await asyncio.sleep(options.pace.rest_s)
        seconds = time.monotonic() - started_s
        settled = await load.settle(options.pace.settle_timeout_s)
        if not settled and any(item.bend is Bend.LOST_RESULTS for item in breaker.bends):
            # Which of those may still wait for their verdict the checker knows.
            settled = await load.settle(UNJUDGED_SETTLE_S, [state for state in OPEN_STATES if state != UNJUDGED])
        breaker.problems += [f"the load failed: {type(error).__name__}: {error}" for error in load.failures]
        try:
            evidence = await _evidence(options, cluster, breaker, settled=settled)
        except (HoldgateError, nats.errors.Error, OSError, TimeoutError) as error:
            breaker.problems.append(f"the evidence could not be collected: {type(error).__name__}: {error}")
            evidence = Evidence(())
    finally:
        await load.close()
        await probe.close()
    violations = await asyncio.to_thread(check, evidence)
    jobs = sum(len(found.jobs) for found in evidence.dumps.values())
    breaker.problems += _nothing_tried(breaker, evidence)
    return Report(
        seed=options.seed,
        seconds=round(seconds, 1),
        rows=tuple(breaker.rows()),
        not_run=dict(breaker.not_run),
        not_reached=tuple(name for name in options.faults if name not in breaker.not_run and not breaker.times(name)),
        violations=tuple(violations),
        problems=(*breaker.problems, *(() if settled else ("not every job ended after all was healed",))),
        ended={},
        operations=history.count,
        jobs=jobs,
        folder=options.folder,
        evidence=evidence,
    )


def _is_ours(name: str) -> bool:
    """A server of others may end rather than confirm what it cannot keep; a process of Holdgate goes on."""
    return kind_of(name) in PROCESSES


def _nothing_tried(breaker: Breaker, evidence: Evidence) -> Iterator[str]:
    """A run in which nothing happened holds, and shows nothing."""
    if not any(row.times > row.idle for row in breaker.rows()):
        yield "nothing was broken"
    if not any(run.how == "returned" for run in evidence.runs):
        yield "no handler ran to its end"


@contextlib.asynccontextmanager
async def _running(load: Load) -> AsyncIterator[None]:
    """The load, for the block; what is open then is waited for."""
    until = asyncio.Event()
    failures: list[BaseException] = []
    tasks = TaskSet(lambda _name, error: failures.append(error))
    work = tasks.start(load.run(until), "load")
    try:
        yield
    finally:
        until.set()
        await asyncio.wait([work])
    load.failures.extend(failures)


async def _evidence(options: Options, cluster: Cluster, breaker: Breaker, *, settled: bool) -> Evidence:
    home, port = cluster.home, free_port()
    address = RedisAddress.parse(cluster.layout.redis_url())
    auditor = load_signer(home.key_file("auditor"))
    nc = await cluster.operator()
    try:
        async with metrics_server(home.metrics_dir, port):
            sources = Sources(
                history=options.folder / "history.jsonl",
                redis=replace(address, user=OPERATOR, password=SecretStr(cluster.redis_password)),
                nats=nc,
                archive=home.path / "audit",
                auditor_keys=[auditor.public_key],
                journals=cluster.journals,
                tenants=cluster.tenants,
                planted=Planted.of(options.seed),
                texts=sorted((home.path / "logs").glob("*.log")),
                metrics=[f"http://{HOST}:{port}/metrics"],
            )
            found = await collect(sources, closed=breaker.closed, bends=breaker.bends, settled=settled)
            return replace(_without_probe(found, cluster.tenants), probed=breaker.probed)
    finally:
        await nc.close()


def _without_probe(evidence: Evidence, tenants: Sequence[str]) -> Evidence:
    """What is there of the load alone."""
    return replace(
        evidence,
        runs=[run for run in evidence.runs if run.tenant in tenants],
        logged=[job for job in evidence.logged or () if job.tenant in tenants],
        endings=[ending for ending in evidence.endings or () if ending.tenant in tenants],
    )


def write_report(file: Path, report: Report) -> None:
    """For scripts."""
    file.write_text(json.dumps(as_json(report), indent=2) + "\n")  # noqa: TID251  for scripts; never hashed


def as_json(report: Report) -> dict[str, Any]:
    """A report as `--json` prints it."""
    return {
        "seed": report.seed,
        "seconds": report.seconds,
        "clean": report.is_clean,
        "jobs": report.jobs,
        "events": report.operations,
        "faults": [
            {
                "fault": row.fault,
                "times": row.times,
                "recovery_s": [round(seconds, 2) for seconds in row.recovery_s],
                "not_recovered": row.not_recovered,
                "did_nothing": row.idle,
                "served_s": [round(seconds, 2) for seconds in row.served_s],
                "not_served": row.stopped,
            }
            for row in report.rows
        ],
        "not_run": dict(report.not_run),
        "not_reached": list(report.not_reached),
        "ended": dict(report.ended),
        "violations": [
            {
                "rule": item.rule,
                "invariant": item.invariant,
                "message": item.message,
                "job_id": item.job_id,
                "tenant": item.tenant,
                "evidence": list(item.evidence),
            }
            for item in report.violations
        ],
        "problems": list(report.problems),
        "folder": str(report.folder),
    }


def table(report: Report) -> Sequence[str]:
    """What a person reads at the end."""
    lines = [f"{'fault':<20} {'times':>5}  {'while it held (s)':<36} recovery (s)"]
    for row in report.rows:
        during, after = _times(row.served_s, row.stopped), _times(row.recovery_s, row.not_recovered)
        idle = f", did nothing: {row.idle}" if row.idle else ""
        lines.append(f"{row.fault:<20} {row.times:>5}  {during:<36} {after}{idle}")
    lines += [f"not run: {name}: {why}" for name, why in report.not_run.items()]
    if report.not_reached:
        lines.append(f"not reached, give it more time: {', '.join(report.not_reached)}")
    lines += [f"ended by itself: {name}, {times} ×" for name, times in report.ended.items()]
    lines += [f"problem: {problem}" for problem in report.problems]
    lines += [f"violation: {violation}" for violation in report.violations]
    return lines


def _times(seconds: Sequence[float], never: int) -> str:
    """How long something took, and how often it did not come about."""
    ordered = sorted(seconds)
    found = [f"median {ordered[len(ordered) // 2]:.1f}, longest {ordered[-1]:.1f}"] if ordered else []
    return ", ".join([*found, *([f"not at all: {never}"] if never else [])]) or "-"
