"""What the API is made of; the composition root builds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from holdgate.kernel import limits
from holdgate.kernel.client import KernelClient
from holdgate.kernel.clock import Clock
from holdgate.kernel.readiness import Report, Standing
from holdgate.kernel.trust import Trust
from holdgate.scheduler.api.bundles import BundleShelf
from holdgate.scheduler.api.candidates import Candidates
from holdgate.scheduler.api.events import EventHub
from holdgate.scheduler.api.replaying import Replays
from holdgate.scheduler.api.ruletexts import RuleTexts
from holdgate.scheduler.dispatch.hints import Hints
from holdgate.scheduler.gates.approval import ApprovalGate
from holdgate.scheduler.gates.bulk import BulkGate
from holdgate.scheduler.gates.delegations import DelegationGate
from holdgate.scheduler.gates.grants import GrantGate
from holdgate.scheduler.gates.masking import Masking
from holdgate.scheduler.gates.measure import Measure
from holdgate.scheduler.gates.quarantine import QuarantineGate
from holdgate.scheduler.gates.submit import SubmitGate
from holdgate.scheduler.identity.attempts import Attempts
from holdgate.scheduler.identity.principals import ApiKeys
from holdgate.scheduler.identity.sessions import Sessions
from holdgate.scheduler.state.approvals import Approvals
from holdgate.scheduler.state.audit import AuditTrail
from holdgate.scheduler.state.delegations import Delegations
from holdgate.scheduler.state.grants import Grants
from holdgate.scheduler.state.jobs import Jobs
from holdgate.scheduler.state.log import PayloadStore
from holdgate.scheduler.state.similar import SimilarJobs
from holdgate.scheduler.state.stats import Stats
from holdgate.scheduler.state.workers import Workers


@dataclass(frozen=True, slots=True)
class ApiLimits:
    """Bounds that an operator sets, and those that follow from them."""

    body_bytes_max: int = limits.BODY_BYTES_DEFAULT
    body_timeout_s: float = 10.0
    bodies_bytes_max: int = 4 * limits.BODY_BYTES_DEFAULT
    """Of bodies under way at once, in all, as requests; parsed, each takes up several times its bytes."""
    requests_max: int = 512
    """Requests under way at once, in all; a tenant may hold twice as many as it leaves free."""
    waiters_max: int = 4096
    """Long polls and event streams at once, in all; a tenant may hold as many as it leaves free."""
    wait_s_max: int = 60
    stream_s_max: int = 900


@dataclass(frozen=True, slots=True)
class Deps:
    """Everything the routes use. Nothing here is made by the API itself."""

    keys: ApiKeys
    sessions: Sessions
    attempts: Attempts
    kernel: KernelClient
    submit_gate: SubmitGate
    measure: Measure
    masking: Masking
    approval_gate: ApprovalGate
    bulk_gate: BulkGate
    delegation_gate: DelegationGate
    grant_gate: GrantGate
    jobs: Jobs
    approvals: Approvals
    delegations: Delegations
    grants: Grants
    similar: SimilarJobs
    quarantine: QuarantineGate
    payloads: PayloadStore
    workers: Workers
    stats: Stats
    audit: AuditTrail
    bundles: BundleShelf
    rule_texts: RuleTexts
    candidates: Candidates
    replays: Replays
    events: EventHub
    clock: Clock
    trust: Callable[[], Trust | None]
    hints: Hints
    readiness: Callable[[], Report] = lambda: Report(Standing.NOT_READY, {})
    """What `/readyz` says."""
    limits: ApiLimits = ApiLimits()
    durability: str = "strict"
    version: str = ""
    is_leaving: Callable[[], bool] = lambda: False
    """Whether the process was asked to end: it still answers, and says that others should be asked."""
    extras: Mapping[str, Any] = field(default_factory=dict)
    """Further plain values for `/status`."""
    description: bytes = b"{}"
    """The OpenAPI document; `create_app` puts it in."""
