"""Invariant 2: states follow each other as the table says, and nobody sees one after a later one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from holdgate.scheduler.torture.check.case import Case
from holdgate.scheduler.torture.check.reading import Seen
from holdgate.scheduler.torture.check.rest import at_rest
from holdgate.scheduler.torture.check.trail import Fact, chains, is_move, told
from holdgate.scheduler.torture.check.violation import Violation


def resting(case: Case) -> Iterator[Violation]:
    """The records of each tenant agree with each other, and with the audit log's last word."""
    for tenant, found in case.evidence.dumps.items():
        yield from at_rest(found, tenant)
        trail = case.trails[tenant]
        for job_id in found.jobs:
            moves = trail.moves(job_id)
            last = moves[-1]["to"] if moves else None
            if last != found.state(job_id):
                message = f"{job_id} is `{found.state(job_id)}`; the audit log ends with `{last}`"
                yield Violation("state_unrecorded", 8, message, job_id, tenant, tuple(map(told, moves)))


def chained(case: Case) -> Iterator[Violation]:
    """Each change follows from the one before it, but where that one may have been forgotten."""
    for trail in case.trails.values():
        for violation, since_ms, until_ms in chains(trail):
            if not case.excuses.lost(since_ms, until_ms):
                yield violation


def seen_forward(case: Case) -> Iterator[Violation]:
    """Who asks after somebody was told a state sees that one or a later one, as the audit log has them."""
    by_job: dict[str, list[Seen]] = defaultdict(list)
    for seen in case.seen():
        by_job[seen.job_id].append(seen)
    for job_id, sightings in by_job.items():
        yield from _compare(case, job_id, sightings)
    for stream in case.streams():
        yield from _compare(case, stream[0].job_id, stream, in_order=True)


def _compare(case: Case, job_id: str, sightings: Sequence[Seen], *, in_order: bool = False) -> Iterator[Violation]:
    tenant = next((name for name, trail in case.trails.items() if trail.of(job_id)), "")
    moves = [event for event in case.events_of(tenant, job_id) if is_move(event)]
    states = [event["to"] for event in moves]
    certain = [item for item in sightings if not case.excuses.lost(item.since_ms, item.until_ms)]
    ended: list[tuple[int, int, Seen]] = []
    floor, latest = 0, None
    for seen in certain if in_order else sorted(certain, key=lambda item: item.since_ms):
        ended.sort(key=lambda item: item[0])
        while ended and (in_order or ended[0][0] < seen.since_ms):
            _, place, other = ended.pop(0)
            if place >= floor:
                floor, latest = place, other
        place = next((at for at in range(floor, len(states)) if states[at] == seen.state), -1)
        if place < 0:
            yield _violation(job_id, tenant, moves, seen, latest, was=seen.state in states)
        else:
            ended.append((seen.until_ms, place, seen))


def _violation(
    job_id: str, tenant: str, moves: Sequence[Fact], seen: Seen, latest: Seen | None, *, was: bool
) -> Violation:
    evidence = (*map(told, moves), *((latest.source,) if latest else ()), seen.source)
    if was and latest is not None:
        message = f"{job_id} was seen `{seen.state}` after it was seen `{latest.state}`"
        return Violation("state_went_back", 2, message, job_id, tenant, evidence)
    message = f"{job_id} was seen `{seen.state}`, which the audit log does not know"
    return Violation("state_unrecorded", 8, message, job_id, tenant, evidence)
