"""What the API process is made of."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable
from importlib.metadata import version

from nats.aio.client import Client as Nats

from holdgate.bundles.keys import load_quarantine
from holdgate.bundles.rootfile import RootFile
from holdgate.bundles.stampstore import StampStore
from holdgate.bundles.store import BundleStore, shadow_store
from holdgate.kernel.client import KernelClient
from holdgate.kernel.clock import SystemClock
from holdgate.kernel.permits import Keyring, Signer
from holdgate.scheduler.api.deps import ApiLimits, Deps, Probe
from holdgate.scheduler.api.events import EventHub
from holdgate.scheduler.api.replaying import Replays
from holdgate.scheduler.api.ruletexts import RuleTexts
from holdgate.scheduler.api.stamping import Stamping
from holdgate.scheduler.cli.candidates import StoredCandidates
from holdgate.scheduler.cli.shelf import PublishedBundles
from holdgate.scheduler.dispatch.hints import Hints
from holdgate.scheduler.errors import StateUnavailable
from holdgate.scheduler.gates.approval import ApprovalGate, StillHeld
from holdgate.scheduler.gates.bulk import BulkGate
from holdgate.scheduler.gates.delegations import DelegationGate
from holdgate.scheduler.gates.granted import GrantVerifier, StandingGrants
from holdgate.scheduler.gates.grants import GrantGate
from holdgate.scheduler.gates.masking import Masking
from holdgate.scheduler.gates.measure import SecretsMeasure
from holdgate.scheduler.gates.quarantine import QuarantineGate
from holdgate.scheduler.gates.submit import SubmitGate
from holdgate.scheduler.identity.attempts import Attempts
from holdgate.scheduler.identity.keys import read_keys
from holdgate.scheduler.identity.principals import ApiKeys
from holdgate.scheduler.identity.sessions import Sessions
from holdgate.scheduler.identity.tokens import TokenKeys
from holdgate.scheduler.settings import ApiSettings
from holdgate.scheduler.state.approvals import Approvals
from holdgate.scheduler.state.audit import AuditTrail
from holdgate.scheduler.state.connection import Scripts
from holdgate.scheduler.state.delegations import Delegations
from holdgate.scheduler.state.entry import StateLimits
from holdgate.scheduler.state.grants import Grants
from holdgate.scheduler.state.jobs import Jobs
from holdgate.scheduler.state.log import JobLog, PayloadStore
from holdgate.scheduler.state.quarantine import Quarantine
from holdgate.scheduler.state.recorded import RecordedDecisions
from holdgate.scheduler.state.sessions import LiveSessions
from holdgate.scheduler.state.similar import SimilarJobs
from holdgate.scheduler.state.stats import Stats
from holdgate.scheduler.state.workers import Workers


@contextlib.asynccontextmanager
async def api_deps(
    settings: ApiSettings, nc: Nats, scripts: Scripts, signer: Signer, trust: RootFile, durability: str
) -> AsyncIterator[Deps]:
    """Started parts, stopped at the end of the block."""
    clock = SystemClock()
    read_keys(settings.api_keys_file)  # an API that would let nobody in does not start
    kernel = KernelClient(nc, clock=clock)
    jobs, approvals = Jobs(scripts, StateLimits(queue_max=settings.queue_jobs_max)), Approvals(scripts)
    job_log, payloads = JobLog(nc), PayloadStore(nc)
    events, hints = EventHub(nc), Hints(nc)
    bundles = PublishedBundles(BundleStore(nc), settings, clock)
    stamping = Stamping(BundleStore(nc), StampStore(nc), signer, clock, bundles.root)
    keys = ApiKeys(settings.api_keys_file, clock)
    delegations = Delegations(scripts)
    delegation_gate = DelegationGate(
        delegations=delegations, signer=signer, trust=trust, roles_now=keys.roles_of, clock=clock
    )
    grants, verifier = Grants(scripts), GrantVerifier.of(trust, keys.roles_of)
    still_held = StillHeld(kernel=kernel, jobs=jobs, approvals=approvals, payloads=payloads, hints=hints, clock=clock)
    approval_gate = ApprovalGate(
        still_held=still_held,
        jobs=jobs,
        approvals=approvals,
        delegations=delegation_gate,
        signer=signer,
        trust=trust,
        clock=clock,
    )
    await kernel.start()
    await events.start()
    await stamping.start()
    try:
        yield Deps(
            keys=keys,
            attempts=Attempts(AuditTrail(scripts), clock, os.urandom),
            sessions=Sessions(TokenKeys(signer, _api_keyring(trust)), LiveSessions(scripts), keys, clock, os.urandom),
            kernel=kernel,
            submit_gate=SubmitGate(
                kernel=kernel,
                jobs=jobs,
                job_log=job_log,
                payloads=payloads,
                signer=signer,
                trust=trust,
                standing=StandingGrants(grants=grants, verifier=verifier, signer=signer, clock=clock),
                hints=hints,
                clock=clock,
            ),
            secrets=SecretsMeasure(),
            masking=Masking(os.urandom),
            approval_gate=approval_gate,
            bulk_gate=BulkGate(approvals=approvals, gate=approval_gate),
            delegation_gate=delegation_gate,
            grant_gate=GrantGate(
                grants=grants,
                approvals=approvals,
                jobs=jobs,
                approval_gate=approval_gate,
                still_held=still_held,
                verifier=verifier,
                kernel=kernel,
                signer=signer,
                clock=clock,
            ),
            jobs=jobs,
            approvals=approvals,
            delegations=delegations,
            grants=grants,
            similar=SimilarJobs(scripts, approvals),
            quarantine=QuarantineGate(
                items=Quarantine(scripts),
                payloads=payloads,
                hints=hints,
                clock=clock,
                key=None if settings.quarantine_key_file is None else load_quarantine(settings.quarantine_key_file),
            ),
            payloads=payloads,
            workers=Workers(scripts),
            stats=Stats(scripts),
            audit=AuditTrail(scripts),
            bundles=bundles,
            rule_texts=RuleTexts(bundles),
            candidates=StoredCandidates(BundleStore(nc), shadow_store(nc), bundles, clock),
            replays=Replays(RecordedDecisions(scripts)),
            events=events,
            clock=clock,
            trust=trust,
            hints=hints,
            probes={"redis": _redis_probe(scripts), "nats": _nats_probe(nc)},
            limits=ApiLimits(body_bytes_max=settings.body_bytes_max),
            durability=durability,
            version=version("holdgate"),
        )
    finally:
        await stamping.stop()
        await events.stop()
        await job_log.close()
        await kernel.stop()


def _api_keyring(trust: RootFile) -> Callable[[], Keyring | None]:
    def keyring() -> Keyring | None:
        present = trust()
        return None if present is None else present.api

    return keyring


def _redis_probe(scripts: Scripts) -> Probe:
    async def probe() -> str | None:
        try:
            await scripts.command("PING")
        except StateUnavailable as error:
            return str(error)
        return None

    return probe


def _nats_probe(nc: Nats) -> Probe:
    async def probe() -> str | None:
        return None if nc.is_connected else "not connected"

    return probe
