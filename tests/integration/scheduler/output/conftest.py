"""An output gate between real NATS, Redis and a kernel, and a worker that says what a test wants."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from nacl.public import PrivateKey
from nats.aio.client import Client as Nats

from holdgate.kernel import limits, subjects
from holdgate.kernel.breaker import Breaker
from holdgate.kernel.canonical import canonical_bytes, digest
from holdgate.kernel.client import KernelClient
from holdgate.kernel.clock import SystemClock
from holdgate.kernel.ids import JobId, LeaseToken
from holdgate.kernel.permits import Keyring, Signer
from holdgate.kernel.policy import compile_policy
from holdgate.kernel.ruleform import parse_rules
from holdgate.kernel.service import KernelService
from holdgate.kernel.trust import ActivePolicy, PolicyEvent, Trust
from holdgate.scheduler.gates.output import OutputGateConfig, OutputGateService, ScanSettings
from holdgate.scheduler.state.backlog import Picked
from holdgate.scheduler.state.connection import connect_redis
from holdgate.scheduler.state.jobs import ResultView
from holdgate.scheduler.state.log import PayloadStore, ensure_streams
from holdgate.scheduler.state.transitions import State
from holdgate.workers.results import RunIdentity, RunOutcome, RunResult, message_of
from support.state import TENANT, World

PLATFORM_SECRET = b"platform-secret-for-tests-0001"
OUTPUT_RULES = {
    "output_rules": [
        {
            "id": "emails-of-mail-jobs",
            "verdict": "redact",
            "reason": "no addresses in the results of mail jobs",
            "match": {"detectors": ["email"], "topics": ["job.mail.*"]},
        }
    ]
}


class StaticPolicy:
    """A policy source that changes when a test says so."""

    def __init__(self, rules: dict[str, Any]) -> None:
        empty = Keyring(())
        self.trust: Trust | None = Trust(1, digest("root"), 2**52, empty, empty, empty, empty)
        self._callbacks: list[Callable[[], None]] = []
        self.use(rules)

    def use(self, rules: dict[str, Any]) -> None:
        """From now on these rules are in force, under a snapshot of their own."""
        snapshot, trust = digest(["output policy", rules]), self.trust
        assert trust is not None
        policy = compile_policy([parse_rules(rules, "tests")], snapshot=snapshot)
        self._active = ActivePolicy(policy, snapshot, trust, (), 2**52)
        for callback in self._callbacks:
            callback()

    def current(self) -> ActivePolicy | None:
        """The policy."""
        return self._active

    def on_change(self, callback: Callable[[], None]) -> None:
        """Told of each change."""
        self._callbacks.append(callback)

    epoch_ms = 0

    def events(self, after: int) -> Sequence[PolicyEvent]:
        return ()

    def status(self) -> dict[str, object]:
        """Nothing to say."""
        return {}


@dataclass
class Gate:
    """The gate and what stands around it."""

    nc: Nats
    world: World
    policy: StaticPolicy
    kernel: KernelService
    client: KernelClient
    store: PayloadStore
    private_key: PrivateKey
    config: OutputGateConfig
    services: list[OutputGateService] = field(default_factory=list)

    def service(
        self, config: OutputGateConfig | None = None, *, quarantine: bool = True, chance: bytes = b"\0"
    ) -> OutputGateService:
        """A gate; the test runs it."""
        made = OutputGateService(
            nc=self.nc,
            results=self.world.results,
            kernel=self.client,
            store=self.store,
            quarantine_key=bytes(self.private_key.public_key) if quarantine else None,
            clock=SystemClock(),
            config=config or self.config,
            entropy=lambda n: chance * n,
        )
        self.services.append(made)
        return made

    async def report(self, picked: Picked, token: str, outcome: RunOutcome = RunOutcome.SUCCEEDED, **more: Any) -> None:
        """The worker's result message."""
        if "value" in more and not isinstance(more["value"], bytes):
            more["value"] = canonical_bytes(more["value"])
        identity = RunIdentity(TENANT, picked.job.job_id, picked.attempt, token, "permit_1")
        result = RunResult(outcome=outcome, started_ms=1, ended_ms=2, **more)
        headers, body = message_of(
            identity, result, worker="w1", pool=picked.job.pool, bytes_max=limits.ENVELOPE_BYTES_MAX
        )
        headers.pop("Nats-Msg-Id")
        await self.publish(headers, body)

    async def publish(self, headers: dict[str, str], body: bytes) -> None:
        """Any message into the stream of results."""
        await self.nc.jetstream().publish(subjects.result("default", "w1"), body, headers=headers)

    async def ran(self, value: Any = None, **more: Any) -> tuple[JobId, LeaseToken]:
        """A job that ran to its end and whose result lies in the stream."""
        job = {key: more.pop(key) for key in ("topic", "labels", "max_attempts") if key in more}
        picked, token = await self.world.running(**job)
        await self.report(picked, token, value=value, **more)
        return picked.job.job_id, token

    async def judge(self, service: OutputGateService | None = None) -> None:
        """Run a gate until it saw a message."""
        service = service or self.service()
        while not await service.run_once():
            pass

    async def result(self, job_id: JobId) -> ResultView | None:
        """What may be read."""
        return await self.world.jobs.result(TENANT, job_id)

    async def box(self, job_id: JobId) -> bytes:
        """Sealed bytes of a quarantined output: in the object store, and nowhere else."""
        item = await self.world.quarantine.require(TENANT, job_id)
        assert item.sealed is None
        assert item.sealed_ref is not None
        return await self.store.get(item.sealed_ref)

    async def state(self, job_id: JobId) -> State:
        """Where the job is."""
        return await self.world.state(job_id)

    async def pending(self) -> int:
        """Messages that no verdict has freed."""
        info = await self.nc.jetstream().consumer_info(subjects.STREAM_RESULTS, subjects.CONSUMER_OUTPUT_GATE)
        return (info.num_ack_pending or 0) + (info.num_pending or 0)


@pytest.fixture
async def gate(nc: Nats, redis_url: str) -> AsyncIterator[Gate]:
    """Everything that the output gate needs, running but for the gate itself."""
    await ensure_streams(nc)
    scripts = await connect_redis(redis_url)
    clock = SystemClock()
    policy = StaticPolicy(OUTPUT_RULES)
    kernel = KernelService(nc, policy, Signer.from_seed(b"k" * 32), clock, "k1")
    client = KernelClient(nc, clock=clock, timeout_s=1.0, breaker=Breaker(open_ms=50))
    await kernel.start()
    await client.start()
    config = OutputGateConfig(
        scan=ScanSettings(known_secrets=(PLATFORM_SECRET,), children=1), wait_s=0.5, put_off_s=0.05, put_off_s_max=0.1
    )
    gate = Gate(
        nc,
        World(scripts, now_ms=clock.now_ms()),
        policy,
        kernel,
        client,
        PayloadStore(nc),
        PrivateKey.generate(),
        config,
    )
    yield gate
    for service in gate.services:
        await service.stop()
    await client.stop()
    await kernel.stop()
    await scripts.close()


def with_scan(config: OutputGateConfig, **changes: Any) -> OutputGateConfig:
    """`config` with other scan settings."""
    return replace(config, scan=replace(config.scan, **changes))
