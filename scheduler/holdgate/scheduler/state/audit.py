"""The audit trail of a tenant as a Redis stream: written by the scripts that change state, read by the auditor.

What always holds: `seq` starts at 1 and has no gaps; an event is there if and only if its change happened; it holds
neither payload nor prompt nor result.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from holdgate.kernel.ids import Tenant
from holdgate.scheduler.state.connection import Scripts


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One event. `who` has actor, principals, topic, capability, job_hash, trace_id; `details` what the type adds."""

    seq: int
    time_ms: int
    tenant: Tenant
    type: str
    job_id: str | None
    before: str | None
    after: str | None
    who: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """One flat record, as archived and shown."""
        raise NotImplementedError


class AuditTrail:
    """Reads and trims; also records events that change no job."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def append(self, tenant: Tenant, type_: str, details: dict[str, Any], now_ms: int) -> int:
        """Record an event that belongs to no job (a bundle published, a login refused); its seq."""
        raise NotImplementedError

    async def read(self, tenant: Tenant, after: int, limit: int = 512) -> list[AuditEvent]:
        """Events with a seq above `after`, in order."""
        raise NotImplementedError

    async def last_seq(self, tenant: Tenant) -> int:
        """The newest seq; 0 before the first event."""
        raise NotImplementedError

    async def trim(self, tenant: Tenant, up_to: int) -> int:
        """Drop events up to and with `up_to` (archived and sealed); how many."""
        raise NotImplementedError
