"""What the API process is made of."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from importlib.metadata import version

from nats.aio.client import Client as Nats

from holdgate.bundles.rootfile import RootFile
from holdgate.bundles.stampstore import StampStore
from holdgate.bundles.store import BundleStore, shadow_store
from holdgate.kernel.client import KernelClient
from holdgate.kernel.clock import SystemClock
from holdgate.kernel.permits import Keyring, Signer
from holdgate.kernel.readiness import Check
from holdgate.scan import Scanner
from holdgate.scan.known import KnownDigests, KnownSecrets, made_by_us
from holdgate.scheduler.api.deps import ApiLimits, Deps
from holdgate.scheduler.api.events import EventHub
from holdgate.scheduler.api.replaying import Replays
from holdgate.scheduler.api.ruletexts import RuleTexts
from holdgate.scheduler.api.stamping import Stamping
from holdgate.scheduler.cli.apigates import GateParts, Gates, Stores
from holdgate.scheduler.cli.candidates import StoredCandidates
from holdgate.scheduler.cli.checks import heard_check, neighbour_check, present, serving_checks
from holdgate.scheduler.cli.ownsecrets import own_digests, own_secrets
from holdgate.scheduler.cli.shelf import PublishedBundles
from holdgate.scheduler.dispatch.hints import Hints
from holdgate.scheduler.gates.masking import Masking
from holdgate.scheduler.gates.measure import Measure
from holdgate.scheduler.gates.output.scanners import OutputScanners, ScanSettings
from holdgate.scheduler.identity.attempts import Attempts
from holdgate.scheduler.identity.keys import KEY_PREFIX, KEY_REST, key_sha256, read_keys
from holdgate.scheduler.identity.principals import ApiKeys
from holdgate.scheduler.identity.sessions import Sessions
from holdgate.scheduler.identity.tokens import TokenKeys
from holdgate.scheduler.lifecycle import Runtime
from holdgate.scheduler.settings import ApiSettings
from holdgate.scheduler.state.audit import AuditTrail
from holdgate.scheduler.state.connection import Scripts
from holdgate.scheduler.state.entry import StateLimits
from holdgate.scheduler.state.presence import Presences
from holdgate.scheduler.state.recorded import RecordedDecisions
from holdgate.scheduler.state.sessions import LiveSessions
from holdgate.scheduler.state.similar import SimilarJobs
from holdgate.scheduler.state.stats import Stats
from holdgate.scheduler.state.workers import Workers
from holdgate.scheduler.tenants import Tenants


def _looking(settings: ApiSettings, keys: ApiKeys) -> tuple[Scanner, Measure, OutputScanners]:
    """One scanner for all that is looked at here: the patterns of its rules take megabytes."""
    known, digests = own_secrets(settings), own_digests(settings)
    live = KnownDigests("api-key", KEY_PREFIX.encode(), KEY_REST, key_sha256, keys.is_live)
    others = made_by_us(digests)
    scanner = Scanner(known, known_digests=(live, *others), fast=settings.scan_fast)
    outputs = ScanSettings(known, known_digests=digests, children=1, fast=settings.scan_fast)
    return scanner, Measure(scanner, (KnownSecrets(known), live, *others)), OutputScanners(outputs, scanner=scanner)


@contextlib.asynccontextmanager
async def api_deps(
    settings: ApiSettings,
    nc: Nats,
    scripts: Scripts,
    signer: Signer,
    trust: RootFile,
    durability: str,
    runtime: Runtime,
) -> AsyncIterator[Deps]:
    """Started parts, stopped at the end of the block."""
    clock = SystemClock()
    read_keys(settings.api_keys_file)  # an API that would let nobody in does not start
    kernel, events, keys = KernelClient(nc, clock=clock), EventHub(nc), ApiKeys(settings.api_keys_file, clock)
    bounds = StateLimits(
        queue_max=settings.queue_jobs_max,
        queue_max_of=Tenants(settings.tenants_file, clock).queue_jobs_max,
        queues_max=settings.queues_jobs_max,
    )
    stores = Stores.of(nc, scripts, bounds, keys)
    bundles = PublishedBundles(BundleStore(nc), settings, clock)
    stamping = Stamping(BundleStore(nc), StampStore(nc), signer, clock, bundles.root)
    scanner, measure, scanners = _looking(settings, keys)
    parts = GateParts(
        stores,
        kernel,
        keys,
        signer,
        trust,
        Hints(nc),
        clock,
        scanners,
        lambda: runtime.readiness.is_known_away("jetstream"),
    )
    await kernel.start()
    await events.start()
    await stamping.start()
    await stores.room.start()
    presences = Presences(scripts, clock)
    runtime.readiness.add(*serving_checks(settings, nc, scripts, kernel), *_own_checks(parts, presences))
    try:
        async with present(runtime.readiness, presences):
            yield _deps(_Around(settings, nc, scripts, durability, measure, scanner, runtime), parts, bundles, events)
    finally:
        await stores.room.stop()
        await stamping.stop()
        await events.stop()
        await scanners.close()
        await stores.job_log.close()
        await kernel.stop()


@dataclass(frozen=True, slots=True)
class _Around:
    """What the process was started with."""

    settings: ApiSettings
    nc: Nats
    scripts: Scripts
    durability: str
    measure: Measure
    scanner: Scanner
    runtime: Runtime


def _deps(around: _Around, parts: GateParts, bundles: PublishedBundles, events: EventHub) -> Deps:
    settings, nc, scripts = around.settings, around.nc, around.scripts
    stores, keys, clock = parts.stores, parts.keys, parts.clock
    gates, trail = Gates.of(parts, settings.quarantine_key_file, settings.quarantine_keep_s), AuditTrail(scripts)
    tokens = TokenKeys(parts.signer, _api_keyring(parts.trust))
    return Deps(
        keys=keys,
        attempts=Attempts(trail, clock, os.urandom),
        sessions=Sessions(tokens, LiveSessions(scripts), keys, clock, os.urandom),
        kernel=parts.kernel,
        submit_gate=gates.submit,
        measure=around.measure,
        masking=Masking(around.scanner, os.urandom),
        approval_gate=gates.approval,
        bulk_gate=gates.bulk,
        delegation_gate=gates.delegation,
        grant_gate=gates.grant,
        jobs=stores.jobs,
        approvals=stores.approvals,
        delegations=stores.delegations,
        grants=stores.grants,
        similar=SimilarJobs(scripts, stores.approvals),
        quarantine=gates.quarantine,
        payloads=stores.payloads,
        workers=Workers(scripts),
        stats=Stats(scripts),
        audit=trail,
        bundles=bundles,
        rule_texts=RuleTexts(bundles),
        candidates=StoredCandidates(BundleStore(nc), shadow_store(nc), bundles, clock),
        replays=Replays(RecordedDecisions(scripts)),
        events=events,
        clock=clock,
        trust=parts.trust,
        hints=parts.hints,
        readiness=around.runtime.readiness.report,
        limits=ApiLimits(body_bytes_max=settings.body_bytes_max),
        durability=around.durability,
        extras={"redis": {"kind": str(scripts.address.kind), "replicas_confirm": scripts.address.replicas}},
        version=version("holdgate"),
        is_leaving=around.runtime.leaving.is_set,
    )


def _api_keyring(trust: RootFile) -> Callable[[], Keyring | None]:
    def keyring() -> Keyring | None:
        present = trust()
        return None if present is None else present.api

    return keyring


def _own_checks(parts: GateParts, presences: Presences) -> tuple[Check, ...]:
    """Without the needed ones nothing can be answered here; without the others some calls are, and `/readyz` says
    `degraded`: to take every API out of a load balancer would not bring a kernel back."""

    async def keys() -> str | None:
        return None if parts.keys.failure is None else "the file of API keys does not load"

    neighbours = (neighbour_check(presences, kind) for kind in ("dispatcher", "output-gate", "auditor"))
    return Check("keys", keys), heard_check(parts.kernel), *neighbours
