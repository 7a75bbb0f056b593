"""Jobs that the state lost or forgot the end of: what it knows of them, and how they come back.

What always holds: each of these may be done again, and by several at once; none of them makes a job that ended run, nor
an end that was told undone; a job comes back held where it was let in held, its votes void.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from holdgate.kernel.custody import required_approvals
from holdgate.kernel.ids import JobId, Tenant
from holdgate.kernel.records import Outcome
from holdgate.scheduler.state import encoding
from holdgate.scheduler.state.approvals.demands import escalates_ms
from holdgate.scheduler.state.approvals.shape import job_shape
from holdgate.scheduler.state.backlog import BOOST_MS
from holdgate.scheduler.state.connection import INDEX, Arg, Scripts, key
from holdgate.scheduler.state.endings import Ending
from holdgate.scheduler.state.entry import attempts_max
from holdgate.scheduler.state.log import Envelope
from holdgate.scheduler.state.transitions import TERMINAL, State

NOTED_MS = 24 * 3600 * 1000
"""How long noted endings stay at most, where nobody came to the end of a look."""
ASKED_ANEW_MS = 900_000
"""How long people have at least to vote on a held job that came back, or all of its time where that is less."""
SET_BACK = "state_set_back"
"""Waiting reason of jobs that came back, until they run: nothing is handed over before all are back."""
FORGOTTEN = 0
"""Place in the log of an ending that is over for so long that its job is not kept any more."""


class Known(StrEnum):
    """What the state knows of an ending."""

    KNOWN = "known"
    BEHIND = "behind"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Found:
    """What the state has of a job of the log. `noted`: where its ending is in the log of endings, if it has one."""

    state: State | None
    noted: int | None
    is_indexed: bool = True


@dataclass(frozen=True, slots=True)
class Return:
    """How a job comes back: as in its envelope, in `state`, or as `ending` says. `skip`: numbers of attempts that are
    left out, since they may have run. `tells`: the log of endings does not know it yet."""

    envelope: Envelope
    state: State
    skip: int = 0
    ending: Ending | None = None
    tells: bool = False
    idempotency_ttl_ms: int = 0


class Restoring:
    """The scripts of a recovery."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._registered: set[tuple[Tenant, str]] = set()

    async def look_endings(self, tenant: Tenant, endings: Sequence[Ending]) -> list[Known]:
        """What the state knows of each."""
        args: list[Arg] = []
        for ending in endings:
            args += [ending.job_id, ending.seq, ending.state, ending.attempt, ending.sealed_status]
            args.append(int(ending.cancel_by != ""))
        answers = await self._scripts.run("look_endings", tenant, args) if args else []
        return [Known(answer.decode()) for answer in answers]

    async def note_endings(self, tenant: Tenant, places: Mapping[JobId, tuple[int, int]]) -> None:
        """Remember of jobs which ending is the newest: its seq, and its place in the log, or FORGOTTEN."""
        args: list[Arg] = [NOTED_MS]
        for job_id, (seq, place) in places.items():
            args += [job_id, seq, place]
        await self._scripts.run("note_endings", tenant, args)

    async def noted(self, tenant: Tenant) -> dict[JobId, int]:
        """Up to a few thousand of those whose job did not come by since, and their places in the log."""
        _, flat = await self._scripts.command("HSCAN", key(tenant, "endings"), 0, "COUNT", 1000)
        return {JobId(name.decode()): _place(value) for name, value in zip(flat[::2], flat[1::2], strict=True)}

    async def forget_noted(self, tenant: Tenant, job_ids: Sequence[JobId]) -> None:
        """They are settled."""
        if job_ids:
            await self._scripts.command("HDEL", key(tenant, "endings"), *job_ids)

    async def look_jobs(self, tenant: Tenant, job_ids: Sequence[JobId]) -> list[Found]:
        """What the state has of each."""
        rows = await self._scripts.run("look_jobs", tenant, job_ids) if job_ids else []
        return [
            Found(State(state.decode()) if state else None, _place(noted) if noted else None, bool(indexed))
            for state, noted, indexed in rows
        ]

    async def restore(self, back: Return, now_ms: int) -> State | None:
        """The state in which the job is back: CANCELLED where its request was sent again meanwhile, and made another
        job; None where it was there. StateBroken when it cannot be stored."""
        job = back.envelope.job
        if (job.tenant, job.pool) not in self._registered:
            await self._scripts.commands(
                [("SADD", f"{INDEX}:tenants", job.tenant), ("SADD", key(job.tenant, "pools"), job.pool)]
            )
            self._registered.add((job.tenant, job.pool))
        answer = int(await self._scripts.run("restore", job.tenant, _restore_args(back, now_ms)))
        return (None, back.state, State.CANCELLED)[answer]

    async def settle(self, ending: Ending, now_ms: int) -> bool:
        """Whether the job was at an earlier state, and is as `ending` says now."""
        args: list[Arg] = [
            ending.job_id,
            now_ms,
            ending.seq,
            ending.state,
            ending.attempt,
            ending.sealed_status,
            ending.attempts_max if ending.has_ended else max(ending.attempts_max, ending.attempt + 1),
            ending.code,
            ending.ended_ms,
            encoding.pack_details({"restored": True, "code": ending.code or None, "ending": ending.seq}),
            ending.cancel_by,
            *_fields(ending.result),
            *_fields(ending.sealed),
        ]
        return bool(await self._scripts.run("settle", ending.tenant, args) == b"settled")

    async def skip_attempts(self, tenant: Tenant, job_ids: Sequence[JobId]) -> int:
        """Leave out the numbers of attempts that the state may not know of; of how many jobs."""
        return int(await self._scripts.run("skip_attempts", tenant, job_ids)) if job_ids else 0

    async def resume_seq(self, tenant: Tenant, last: int, now_ms: int) -> bool:
        """Whether events up to `last` were not known here any more; the next ones come behind it."""
        details = encoding.pack_details({"after": last})
        return bool(await self._scripts.run("resume_seq", tenant, (last, now_ms, details)))

    async def mend(
        self, tenant: Tenant, state: State, job_ids: Sequence[JobId], now_ms: int, *, dry_run: bool
    ) -> tuple[list[JobId], list[JobId]]:
        """Of these in the index of `state`: who is in no record or another state, and who was in no place."""
        if not job_ids:
            return [], []
        strays, misplaced = await self._scripts.run("mend_jobs", tenant, (now_ms, int(not dry_run), state, *job_ids))
        return _ids(strays), _ids(misplaced)

    async def sweep(
        self, tenant: Tenant, kind: str, place: str, first: int, last: int, *, dry_run: bool
    ) -> tuple[int, list[JobId]]:
        """Look at entries of a place: how many there were, and who did not belong there."""
        looked, strays = await self._scripts.run("sweep_place", tenant, (kind, place, int(not dry_run), first, last))
        return int(looked), _ids(strays)

    async def enlist(self, tenant: Tenant, job_ids: Sequence[JobId]) -> int:
        """Have the log of endings told of them; how many."""
        return int(await self._scripts.run("enlist_endings", tenant, job_ids)) if job_ids else 0


def _place(value: bytes) -> int:
    return int(value.partition(b" ")[2])


def _ids(raw: Sequence[bytes]) -> list[JobId]:
    return [JobId(job_id.decode()) for job_id in raw]


def _fields(fields: Mapping[str, bytes]) -> list[Arg]:
    return [len(fields), *(part for pair in fields.items() for part in pair)]


def _restore_args(back: Return, now_ms: int) -> list[Arg]:
    """Arguments of `restore.lua`, in its order."""
    envelope, ending = back.envelope, back.ending
    idempotency = envelope.idempotency
    held = back.state is State.HELD
    requirements = required_approvals(envelope.decision, Outcome.HELD) if held else ()
    fields = _job_fields(back)
    ended_ms = 0 if back.state not in TERMINAL else now_ms if ending is None else ending.ended_ms
    details = {"restored": True, "code": None if ending is None else ending.code or None}
    return [
        envelope.job.job_id,
        now_ms,
        back.state,
        encoding.pack_details({**encoding.decision_facts(envelope.decision), **details}),
        ended_ms,
        int(back.tells),
        "" if idempotency is None else idempotency.key,
        "" if idempotency is None else idempotency.fingerprint,
        max(0, back.idempotency_ttl_ms),
        encoding.pack_requirements(requirements),
        _expires_ms(envelope.accepted_ms, min((item.expires_s for item in requirements), default=0) * 1000, now_ms),
        escalates_ms(requirements, envelope.accepted_ms) or 0,
        job_shape(envelope.job) if requirements else "",
        len(fields),
        *(part for pair in fields.items() for part in pair),
        *_fields({} if ending is None else ending.result),
        *_fields({} if ending is None else ending.sealed),
    ]


def _expires_ms(accepted_ms: int, kept_ms: int, now_ms: int) -> int:
    """A loss gives no more time than there was, but for a while in which people can be asked at all."""
    return max(accepted_ms + kept_ms, now_ms + min(kept_ms, ASKED_ANEW_MS))


def _job_fields(back: Return) -> dict[str, Arg]:
    envelope, ending = back.envelope, back.ending
    job, decision = envelope.job, envelope.decision
    packed = encoding.Packed.of(job, decision, envelope.admission)
    tries = attempts_max(job, decision)
    fields: dict[str, Arg | None] = {
        "job": packed.job,
        "payload": job.payload,
        "hash": decision.job_hash,
        "who": encoding.pack_who(job, decision.job_hash),
        "admission": packed.admission,
        "decision": packed.decision,
        "snapshot": decision.snapshot,
        "pool": job.pool,
        "boost": BOOST_MS[job.priority],
        "attempt": 0 if ending is None or not ending.has_ended else ending.attempt,
        "max": tries if ending is None or not ending.has_ended else ending.attempts_max,
        "skip": back.skip or None,
        "reason": SET_BACK if back.state is State.ACCEPTED else None,
        "known": None if ending is None else ending.seq,
        "created": envelope.accepted_ms,
        "ready": max(envelope.accepted_ms, job.run_at_ms or 0),
        "ckey": job.concurrency_key,
        # One that ran had started in time, whatever became of it.
        "deadline": None if ending is not None else job.deadline_ms,
        "cancel": None if ending is None else ending.cancel_by or None,
        "open": 1 if envelope.fail_open else None,
        "code": None if ending is None or not ending.has_ended else ending.code or None,
        "idem": None if envelope.idempotency is None else _idem(envelope),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _idem(envelope: Envelope) -> Any:
    found = envelope.idempotency
    return None if found is None else f"{found.fingerprint} {found.key}"
