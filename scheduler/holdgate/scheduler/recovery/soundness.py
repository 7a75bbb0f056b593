"""Whether the state store has everything that was told: a quick look that each hand-over rests on.

A store that was set back (emptied, an older file, a failover that lost writes) has jobs that wait and ended long ago.
So nothing is handed over while that may be so. What always holds: a dispatcher that cannot tell is closed; it opens
only when the store knows the newest job and the newest ending that the log has of every tenant, and when a look over
everything came to its end since the store was last found set back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from holdgate.kernel import limits, subjects
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import JOB_ID, NAME, JobId, Tenant, new_token
from holdgate.scheduler.recovery.parts import RecoveryParts
from holdgate.scheduler.recovery.reading import Extent, Message, extent_of, last_message, subjects_of
from holdgate.scheduler.recovery.rebuild import MESSAGE_ID
from holdgate.scheduler.state.connection import INDEX, RESTORED, WHOLE, Scripts, key
from holdgate.scheduler.state.endings import Ending, read_entry
from holdgate.scheduler.state.restoring import Known, Restoring

CLOSED_MS = 3_600_000
LEFT_OUT = f"{INDEX}:left_out"
"""The newest message of a subject, where a whole look could make nothing of it: it says nothing about the store."""
LOG = f"{INDEX}:log"
"""How far each stream went when the store last knew."""
EPOCH_MS = 3_600_000
"""Each dispatcher writes a number of its own into every primary."""
KEPT = f"{INDEX}:kept"
"""How long dispatchers keep ended, denied and sealed jobs: for whoever looks and is none."""
KEPT_DEFAULT = (7 * 24 * 3600, 24 * 3600, limits.QUARANTINE_KEEP_S)
LOGGED = (subjects.STREAM_JOBS, subjects.STREAM_ENDED)


Started = Mapping[tuple[Tenant, JobId], int]
"""Attempts that were started, by job."""


@dataclass(frozen=True, slots=True)
class Whole:
    """A look that came to its end. `token` is of it alone; `after_loss`: it made a store good that was set back."""

    token: str
    began_ms: int
    after_loss: bool


class Epochs:
    """Numbers that only this process writes, and what it wrote last, in memory: the store must not be asked about
    itself, and what another dispatcher writes must not hide that ours is gone."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._token = new_token()
        self._tried = 0
        self._written: dict[str, int] = {}
        """By name; primaries that came later have names of their own, and slots that moved took theirs with them."""
        self._counting = asyncio.Lock()

    async def count(self) -> bool:
        """Count up; whether a number is older than what was written. StateUnavailable: the next count tells."""
        async with self._counting:  # two at once would take each other for a set back
            self._tried += 1
            tags = self._scripts.tags("epoch")
            names = list(dict.fromkeys((*self._written, *(f"hg:{{{tag}}}:of:{self._token}" for tag in tags))))
            before = await self._scripts.commands([("SET", name, self._tried, "GET", "PX", EPOCH_MS) for name in names])
            went_back = any(
                int(number or 0) < self._written.get(name, 0) for name, number in zip(names, before, strict=True)
            )
            self._written = dict.fromkeys(names, self._tried)
            return went_back


async def is_sound(parts: RecoveryParts) -> bool:
    """Whether the store knows the newest of what the log has. StateUnavailable, LogUnavailable."""
    return not await _unknown(parts)


async def note_left_out(parts: RecoveryParts, extents: Mapping[str, Extent]) -> None:
    """After a look over everything: no look can make anything of what is the newest and still unknown."""
    for subject, (stream, message) in (await _unknown(parts)).items():
        if message.seq <= extents[stream].last:
            await parts.scripts.command("HSET", LEFT_OUT, subject, message.seq)


async def _unknown(parts: RecoveryParts) -> dict[str, tuple[str, Message]]:
    """The newest messages of which the store knows nothing, by subject."""
    found: dict[str, tuple[str, Message]] = {}
    for stream in LOGGED:
        names = await subjects_of(parts.nc, stream)
        messages = await asyncio.gather(*(_unknown_of(parts, stream, subject) for subject in names))
        found |= {
            subject: (stream, message) for subject, message in zip(names, messages, strict=True) if message is not None
        }
    return found


async def _unknown_of(parts: RecoveryParts, stream: str, subject: str) -> Message | None:
    message = await last_message(parts.nc, stream, subject)
    if message is None:
        return None
    knows = _knows_job if stream == subjects.STREAM_JOBS else _knows_ending
    if await knows(parts, message):
        return None
    left_out = await parts.scripts.command("HGET", LEFT_OUT, subject)
    is_left_out = left_out is not None and int(left_out) == message.seq
    return None if is_left_out else message


async def knows_told(parts: RecoveryParts, told: Mapping[Tenant, Ending]) -> bool:
    """Whether the store still knows endings that the log was told of a moment ago. StateUnavailable."""
    restoring = Restoring(parts.scripts)
    answers = await asyncio.gather(*(restoring.look_endings(tenant, [ending]) for tenant, ending in told.items()))
    return all(known is Known.KNOWN for [known] in answers)


async def knows_started(parts: RecoveryParts, started: Started) -> bool:
    """Whether the store still knows attempts that were handed over a moment ago. StateUnavailable."""
    calls = [("HGET", key(tenant, "job", job_id), "attempt") for tenant, job_id in started]
    attempts = await parts.scripts.commands(calls)
    return all(
        found is not None and int(found) >= attempt for found, attempt in zip(attempts, started.values(), strict=True)
    )


async def find_whole(scripts: Scripts) -> Whole | None:
    """The last look over everything that came to its end; None where the store was found set back since."""
    found = await scripts.command("GET", WHOLE)
    if found is None:
        return None
    began_ms, token, after_loss = found.decode().split()
    return Whole(token, int(began_ms), after_loss == "1")


async def is_restored(scripts: Scripts) -> bool:
    """Whether it came from a backup that nobody has looked over."""
    return await scripts.command("GET", RESTORED) is not None


async def say_whole(scripts: Scripts, whole: Whole) -> None:
    """That look came to its end."""
    await scripts.command("SET", WHOLE, f"{whole.began_ms} {whole.token} {int(whole.after_loss)}")
    if whole.after_loss:
        await scripts.command("DEL", RESTORED)


async def say_set_back(scripts: Scripts) -> None:
    """Every dispatcher is to be closed."""
    await scripts.command("DEL", WHOLE)


async def mark_closed(scripts: Scripts, token: str) -> None:
    """Attempts that may have run were left out, by the look of that token."""
    await scripts.command("SET", f"{INDEX}:closed:{token}", 1, "PX", CLOSED_MS)


async def is_marked_closed(scripts: Scripts, token: str) -> bool:
    """Whether the store still knows that; otherwise it was set back again."""
    return await scripts.command("GET", f"{INDEX}:closed:{token}") is not None


async def say_kept(parts: RecoveryParts) -> None:
    """How long this dispatcher keeps what."""
    await parts.scripts.command("SET", KEPT, f"{parts.retention_s} {parts.denied_s} {parts.quarantine_keep_s}")


async def kept(scripts: Scripts) -> tuple[int, int, int]:
    """As a dispatcher said last; the defaults where none did."""
    found = await scripts.command("GET", KEPT)
    if found is None:
        return KEPT_DEFAULT
    retention_s, denied_s, quarantine_keep_s = map(int, found.split())
    return retention_s, denied_s, quarantine_keep_s


async def note_extents(scripts: Scripts, extents: dict[str, Extent]) -> None:
    """Remember how far the streams go."""
    args = [part for name, extent in extents.items() for part in (name, f"{extent.last} {extent.created}")]
    await scripts.command("HSET", LOG, *args)


async def noted_extents(scripts: Scripts) -> dict[str, tuple[int, str]]:
    """How far each stream went when the store last knew, and when it was made. To be read before the streams are."""
    flat = await scripts.command("HGETALL", LOG)
    notes = {name.decode(): value.decode().partition(" ") for name, value in zip(flat[::2], flat[1::2], strict=True)}
    return {name: (int(last), created) for name, (last, _, created) in notes.items()}


def lost_streams(noted: dict[str, tuple[int, str]], extents: dict[str, Extent]) -> set[str]:
    """Those that are others than the ones that the store remembers, or are shorter."""
    return {
        name
        for name, (last, created) in noted.items()
        if name in extents and (created != extents[name].created or last > extents[name].last)
    }


async def extents_of(parts: RecoveryParts) -> dict[str, Extent]:
    """Both streams as they are now. LogUnavailable."""
    found = await asyncio.gather(*(extent_of(parts.nc, stream) for stream in LOGGED))
    return dict(zip(LOGGED, found, strict=True))


async def _knows_job(parts: RecoveryParts, message: Message) -> bool:
    if message.at_ms < parts.clock.now_ms() - parts.kept_s_min * 1000:
        return True  # it may have ended, and be forgotten
    tenant, job_id = message.subject.rpartition(".")[2], message.headers.get(MESSAGE_ID, "")
    if not (NAME.match(tenant) and JOB_ID.match(job_id)):
        return True  # no job: told by whoever reads everything
    [found] = await Restoring(parts.scripts).look_jobs(Tenant(tenant), [JobId(job_id)])
    return found.state is not None


async def _knows_ending(parts: RecoveryParts, message: Message) -> bool:
    try:
        entry = read_entry(message.data)
    except InvalidInput:
        return True
    if not isinstance(entry, Ending):
        return True
    [known] = await Restoring(parts.scripts).look_endings(entry.tenant, [entry])
    return known is Known.KNOWN or (known is Known.MISSING and parts.is_forgotten(entry, parts.clock.now_ms()))
