"""The stores and gates of the API process, each made of what it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nats.aio.client import Client as Nats

from holdgate.bundles.keys import load_quarantine
from holdgate.bundles.rootfile import RootFile
from holdgate.kernel.client import KernelClient
from holdgate.kernel.clock import Clock
from holdgate.kernel.permits import Signer
from holdgate.scheduler.dispatch.hints import Hints
from holdgate.scheduler.gates.approval import ApprovalGate, StillHeld
from holdgate.scheduler.gates.bulk import BulkGate
from holdgate.scheduler.gates.delegations import DelegationGate
from holdgate.scheduler.gates.granted import GrantVerifier, StandingGrants
from holdgate.scheduler.gates.grants import GrantGate
from holdgate.scheduler.gates.output.inspecting import Inspecting
from holdgate.scheduler.gates.output.scanners import OutputScanners
from holdgate.scheduler.gates.people import votes_by
from holdgate.scheduler.gates.quarantine import QuarantineGate
from holdgate.scheduler.gates.replacement import ReplacementCheck
from holdgate.scheduler.gates.room import QueueRoom
from holdgate.scheduler.gates.sealedbox import Boxes
from holdgate.scheduler.gates.submit import SubmitGate
from holdgate.scheduler.identity.principals import ApiKeys
from holdgate.scheduler.state.approvals import Approvals
from holdgate.scheduler.state.connection import Scripts
from holdgate.scheduler.state.delegations import Delegations
from holdgate.scheduler.state.entry import StateLimits
from holdgate.scheduler.state.grants import Grants
from holdgate.scheduler.state.jobs import Jobs
from holdgate.scheduler.state.log import JobLog, PayloadStore
from holdgate.scheduler.state.quarantine import Quarantine
from holdgate.scheduler.state.results import Results


@dataclass(frozen=True, slots=True)
class Stores:
    """Where jobs are, and what people say of them."""

    jobs: Jobs
    approvals: Approvals
    delegations: Delegations
    grants: Grants
    quarantine: Quarantine
    results: Results
    payloads: PayloadStore
    job_log: JobLog
    room: QueueRoom

    @classmethod
    def of(cls, nc: Nats, scripts: Scripts, limits: StateLimits, keys: ApiKeys) -> Stores:
        """Those behind these connections; `keys` say whose votes still count."""
        jobs = Jobs(scripts, limits)
        return cls(
            jobs=jobs,
            approvals=Approvals(scripts, votes_by(keys.roles_of)),
            delegations=Delegations(scripts),
            grants=Grants(scripts),
            quarantine=Quarantine(scripts),
            results=Results(scripts),
            payloads=PayloadStore(nc),
            job_log=JobLog(nc),
            room=QueueRoom(jobs.waiting_in_all, limits.queues_max),
        )


@dataclass(frozen=True, slots=True)
class GateParts:
    """What gates are made of."""

    stores: Stores
    kernel: KernelClient
    keys: ApiKeys
    signer: Signer
    trust: RootFile
    hints: Hints
    clock: Clock
    scanners: OutputScanners
    """What is to be read instead of a sealed output is scanned as outputs are."""
    is_log_away: Callable[[], bool] = lambda: False


@dataclass(frozen=True, slots=True)
class Gates:
    """What lets jobs in, and takes people's word for them."""

    submit: SubmitGate
    approval: ApprovalGate
    bulk: BulkGate
    delegation: DelegationGate
    grant: GrantGate
    quarantine: QuarantineGate

    @classmethod
    def of(cls, parts: GateParts, quarantine_key: Path | None, quarantine_keep_s: int) -> Gates:
        """Those that stand on `parts`; sealed outputs are opened where there is a key."""
        verifier, still_held, delegation = _verifier(parts), _still_held(parts), _delegation(parts)
        approval = _approval(parts, still_held, delegation)
        return cls(
            submit=_submit(parts, verifier),
            approval=approval,
            bulk=BulkGate(approvals=parts.stores.approvals, gate=approval),
            delegation=delegation,
            grant=_grant(parts, approval, still_held, verifier),
            quarantine=_quarantine(parts, quarantine_key, quarantine_keep_s),
        )


def _verifier(parts: GateParts) -> GrantVerifier:
    return GrantVerifier.of(parts.trust, parts.keys.roles_of)


def _submit(parts: GateParts, verifier: GrantVerifier) -> SubmitGate:
    stores, signer, clock = parts.stores, parts.signer, parts.clock
    return SubmitGate(
        kernel=parts.kernel,
        jobs=stores.jobs,
        job_log=stores.job_log,
        payloads=stores.payloads,
        signer=signer,
        trust=parts.trust,
        room=stores.room,
        standing=StandingGrants(grants=stores.grants, verifier=verifier, signer=signer, clock=clock),
        hints=parts.hints,
        clock=clock,
        is_log_away=parts.is_log_away,
    )


def _still_held(parts: GateParts) -> StillHeld:
    stores = parts.stores
    return StillHeld(
        kernel=parts.kernel,
        jobs=stores.jobs,
        approvals=stores.approvals,
        payloads=stores.payloads,
        hints=parts.hints,
        clock=parts.clock,
    )


def _delegation(parts: GateParts) -> DelegationGate:
    return DelegationGate(
        delegations=parts.stores.delegations,
        signer=parts.signer,
        trust=parts.trust,
        roles_now=parts.keys.roles_of,
        clock=parts.clock,
    )


def _approval(parts: GateParts, still_held: StillHeld, delegation: DelegationGate) -> ApprovalGate:
    return ApprovalGate(
        still_held=still_held,
        jobs=parts.stores.jobs,
        approvals=parts.stores.approvals,
        delegations=delegation,
        signer=parts.signer,
        trust=parts.trust,
        roles_now=parts.keys.roles_of,
        clock=parts.clock,
    )


def _grant(parts: GateParts, approval: ApprovalGate, still_held: StillHeld, verifier: GrantVerifier) -> GrantGate:
    return GrantGate(
        grants=parts.stores.grants,
        approvals=parts.stores.approvals,
        jobs=parts.stores.jobs,
        approval_gate=approval,
        still_held=still_held,
        verifier=verifier,
        kernel=parts.kernel,
        signer=parts.signer,
        clock=parts.clock,
    )


def _quarantine(parts: GateParts, key: Path | None, keep_s: int) -> QuarantineGate:
    return QuarantineGate(
        items=parts.stores.quarantine,
        boxes=Boxes(parts.stores.payloads, None if key is None else load_quarantine(key)),
        hints=parts.hints,
        trust=parts.trust,
        clock=parts.clock,
        signer=parts.signer,
        check=ReplacementCheck(
            results=parts.stores.results,
            inspecting=Inspecting(parts.kernel, parts.scanners),
            clock=parts.clock,
        ),
        keep_s=keep_s,
    )
