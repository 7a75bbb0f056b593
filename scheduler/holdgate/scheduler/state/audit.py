"""The audit trail of a tenant as a Redis stream: written by the scripts that change state, read by the auditor.

What always holds: `seq` starts at 1 and has no gaps; an event is there if and only if its change happened; it holds
neither payload nor prompt nor result.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from holdgate.kernel.ids import Tenant
from holdgate.scheduler.state import encoding
from holdgate.scheduler.state.connection import INDEX, Scripts, key

SET_BACK = f"{INDEX}:audit_set_back"
"""What the auditor asks dispatchers for: it only reads what it archives."""
SOURCE_KEPT_S = 90 * 86_400
"""How long a source may be silent before its numbers are forgotten."""


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
        head = {"seq": self.seq, "time_ms": self.time_ms, "tenant": self.tenant, "type": self.type}
        moved = {"job_id": self.job_id, "from": self.before, "to": self.after}
        return {**head, **{k: v for k, v in moved.items() if v is not None}, **self.who, **self.details}


class AuditTrail:
    """Reads and trims; also records events that change no job."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def append(self, tenant: Tenant, type_: str, details: dict[str, Any], now_ms: int) -> int:
        """Record an event that belongs to no job (a bundle published, a login refused); its seq."""
        return int(await self._scripts.run("append", tenant, (type_, now_ms, encoding.pack_details(details))))

    async def append_once(
        self,
        tenant: Tenant,
        type_: str,
        details: dict[str, Any],
        now_ms: int,
        *,
        source: str,
        number: int,
        may_skip: bool,
    ) -> int:
        """Record event `number` of `source`: 1 written, 0 it was before, -1 one before it is not yet.

        `may_skip`: those before it that are not written are lost.
        """
        args = (type_, now_ms, encoding.pack_details(details), source, number, int(may_skip), SOURCE_KEPT_S)
        written = int(await self._scripts.run("append_once", tenant, args))
        if written == 1:
            # The auditor archives the tenants of this list.
            await self._scripts.command("SADD", f"{INDEX}:tenants", tenant)
        return written

    async def read(self, tenant: Tenant, after: int, limit: int = 512) -> list[AuditEvent]:
        """Events with a seq above `after`, in order."""
        entries = await self._scripts.command("XRANGE", key(tenant, "audit"), f"{after + 1}-0", "+", "COUNT", limit)
        return [_event(tenant, entry_id, fields) for entry_id, fields in entries]

    async def read_back(self, tenant: Tenant, before: int | None, limit: int = 512) -> list[AuditEvent]:
        """Events with a seq below `before`, the newest first; None for the newest there are."""
        if before is not None and before <= 1:
            return []
        end = "+" if before is None else f"{before - 1}-0"
        entries = await self._scripts.command("XREVRANGE", key(tenant, "audit"), end, "-", "COUNT", limit)
        return [_event(tenant, entry_id, fields) for entry_id, fields in entries]

    async def last_seq(self, tenant: Tenant) -> int:
        """The newest seq; 0 before the first event."""
        return int(await self._scripts.command("GET", key(tenant, "seq")) or 0)

    async def say_set_back(self, tenant: Tenant, archived: int, first: int) -> None:
        """The archive has events up to `archived` that are not here, or, from `first` on, are others here."""
        await self._scripts.command("HSET", SET_BACK, tenant, f"{archived} {first}")

    async def set_back(self) -> dict[Tenant, tuple[int, int]]:
        """Of which tenants the auditor has said so: the last that is archived, and the first that is another here."""
        flat = await self._scripts.command("HGETALL", SET_BACK)
        found = {}
        for name, value in zip(flat[::2], flat[1::2], strict=True):
            archived, _, first = value.decode().partition(" ")
            found[Tenant(name.decode())] = int(archived), int(first)
        return found

    async def renumber(self, tenant: Tenant, archived: int, first: int, now_ms: int) -> None:
        """Numbers go on behind `archived`, with an event that says so; events of those numbers come behind it."""
        await self._scripts.run("renumber", tenant, (archived, first, now_ms))
        await self._scripts.command("HDEL", SET_BACK, tenant)

    async def trim(self, tenant: Tenant, up_to: int) -> int:
        """Drop events up to and with `up_to` (archived and sealed); how many."""
        if up_to < 1:
            return 0  # a young tenant: everything is among what is kept
        return int(await self._scripts.command("XTRIM", key(tenant, "audit"), "MINID", f"{up_to + 1}-0"))


def _event(tenant: Tenant, entry_id: bytes, fields: list[bytes]) -> AuditEvent:
    record = dict(zip(fields[::2], fields[1::2], strict=True))
    return AuditEvent(
        seq=int(entry_id.partition(b"-")[0]),
        time_ms=int(record[b"at"]),
        tenant=tenant,
        type=record[b"t"].decode(),
        job_id=record[b"j"].decode() or None,
        before=record[b"f"].decode() or None,
        after=record[b"o"].decode() or None,
        who=encoding.unpack_details(record[b"w"]),
        details=encoding.unpack_details(record[b"d"]),
    )
