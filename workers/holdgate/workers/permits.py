"""The worker's own check: the last link of the chain of custody, before anything of a job reaches a handler.

Order of the checks, each of which must hold:

1. the signature of the permit, by a kernel key that this worker pinned; a dispatcher's key only for a fail-open permit,
   and only when the worker was started to accept those;
2. the permit is for this worker and this pool;
3. it is not expired, and not from the future by more than the clocks may differ;
4. it names this job and this attempt, and the job belongs to the pool and tenant of the permit;
5. the hash of the job as received, computed here, is the one that was signed;
6. the payload is the one that was hashed;
7. where this worker demands votes signed by people it pinned, and the kernel let a held job through, enough of them;
8. no attempt of this job that is as new was seen before. Checked last, so that a forged message cannot use up the
   attempt of a true one.

What always holds: nothing received is believed because of where it came from.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from holdgate.kernel import limits
from holdgate.kernel.clock import Clock
from holdgate.kernel.errors import Forged, InvalidInput
from holdgate.kernel.links import Permit, Signed
from holdgate.kernel.permits import Keyring, open_signed
from holdgate.kernel.records import Job
from holdgate.kernel.votes import VOTES_MAX
from holdgate.workers.errors import MalformedDelivery, PermitRefused, Refusal
from holdgate.workers.votes import NO_VOTES_NEEDED, SignedVotes

ATTEMPTS_REMEMBERED_MAX = 200_000
"""Jobs of which the newest attempt is remembered: two hours at 25 jobs a second, about 40 MB when full."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One job as the dispatcher handed it over; nothing in it is verified."""

    job: Job
    permit: Signed
    attempt: int
    token: str
    lease_ms: int
    votes: tuple[Signed, ...] = ()

    @classmethod
    def from_dict(cls, value: Any) -> Delivery:
        """The delivery in a message; MalformedDelivery when it is not one."""
        if not isinstance(value, Mapping):
            raise MalformedDelivery
        try:
            attempt, token, lease_ms = value["attempt"], value["token"], value["lease_ms"]
            job, permit = Job.from_dict(value["job"]), Signed.from_dict(value["permit"])
            votes = tuple(map(Signed.from_dict, value.get("votes", ())))
        except (KeyError, AttributeError, TypeError, InvalidInput) as error:
            raise MalformedDelivery(f"what the dispatcher sent is not a job with a permit: {error}") from error
        if not (_is_count(attempt) and isinstance(token, str) and token and _is_count(lease_ms) and _is_typed(job)):
            raise MalformedDelivery
        if len(votes) > VOTES_MAX:
            raise MalformedDelivery(f"more than {VOTES_MAX} votes")
        return cls(job=job, permit=permit, attempt=attempt, token=token, lease_ms=lease_ms, votes=votes)


class PermitCheck:
    """Says whether a delivery may run here. Remembers attempts for longer than a permit lives, in bounded memory."""

    def __init__(
        self,
        *,
        kernel_keys: Iterable[bytes],
        worker: str,
        pool: str,
        clock: Clock,
        dispatcher_keys: Iterable[bytes] = (),
        accept_fail_open: bool = False,
        signed_votes: SignedVotes = NO_VOTES_NEEDED,
        remembered_max: int = ATTEMPTS_REMEMBERED_MAX,
    ) -> None:
        self._kernel = Keyring(kernel_keys)
        self._dispatcher = Keyring(dispatcher_keys)
        self._worker = worker
        self._pool = pool
        self._clock = clock
        self._accept_fail_open = accept_fail_open
        self._signed_votes = signed_votes
        self._attempts = _Attempts(remembered_max)

    def verify(self, delivery: Delivery) -> Permit:
        """The permit of `delivery`, once every check held; PermitRefused otherwise."""
        permit = self._open(delivery.permit)
        self._verify_addressee(permit)
        self._verify_time(permit)
        _verify_job(permit, delivery)
        now_ms = self._clock.now_ms()
        self._signed_votes.verify(permit, delivery.job, delivery.votes, now_ms)
        self._attempts.take(permit, now_ms)
        return permit

    def _open(self, signed: Signed) -> Permit:
        is_dispatchers = signed.key in self._dispatcher and signed.key not in self._kernel
        try:
            permit = open_signed(signed, Permit, self._dispatcher if is_dispatchers else self._kernel)
        except Forged as error:
            raise PermitRefused(Refusal.PERMIT_SIGNATURE, str(error)) from error
        if is_dispatchers and not permit.fail_open:
            raise PermitRefused(Refusal.PERMIT_SIGNATURE, "a dispatcher's key signs nothing but fail-open permits")
        if permit.fail_open and not (is_dispatchers and self._accept_fail_open):
            raise PermitRefused(Refusal.FAIL_OPEN_REFUSED, "handed over without a decision; not accepted here")
        return permit

    def _verify_addressee(self, permit: Permit) -> None:
        if permit.worker != self._worker:
            raise PermitRefused(Refusal.PERMIT_OTHER_WORKER, "the permit is for another worker")
        if permit.pool != self._pool:
            raise PermitRefused(Refusal.PERMIT_OTHER_POOL, "the permit is for another pool")

    def _verify_time(self, permit: Permit) -> None:
        now_ms, skew_ms = self._clock.now_ms(), limits.CLOCK_SKEW_S * 1000
        if now_ms > permit.expires_ms + skew_ms:
            raise PermitRefused(Refusal.PERMIT_EXPIRED, "the permit is expired")
        if now_ms < permit.issued_ms - skew_ms:
            raise PermitRefused(Refusal.PERMIT_EXPIRED, "the permit is from the future; check the clocks")


def _verify_job(permit: Permit, delivery: Delivery) -> None:
    job = delivery.job
    if (permit.job_id, permit.attempt) != (job.job_id, delivery.attempt):
        raise PermitRefused(Refusal.PERMIT_JOB_MISMATCH, "the permit is for another job or attempt")
    if (permit.tenant, permit.pool) != (job.tenant, job.pool):
        raise PermitRefused(Refusal.PERMIT_JOB_MISMATCH, "the permit is for another tenant or pool than the job")
    try:
        recomputed = job.job_hash()
    except InvalidInput as error:
        raise PermitRefused(Refusal.JOB_HASH_MISMATCH, "the job cannot be hashed") from error
    if recomputed != permit.job_hash:
        raise PermitRefused(Refusal.JOB_HASH_MISMATCH, "the job is not the one that was decided about")
    if not job.payload_holds():
        raise PermitRefused(Refusal.PAYLOAD_MISMATCH, "the payload is not the one that was decided about")


class _Attempts:
    """The newest attempt seen of each job, oldest sighting first.

    An entry whose permit could still be replayed is never dropped to make room: full of those, new jobs are refused.
    """

    def __init__(self, remembered_max: int) -> None:
        self._seen: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._remembered_max = remembered_max

    def take(self, permit: Permit, now_ms: int) -> None:
        known = self._seen.get(permit.job_id)
        if known is not None and permit.attempt <= known[0]:
            raise PermitRefused(Refusal.PERMIT_REPLAYED, "this attempt, or a newer one, was here before")
        if known is None and len(self._seen) >= self._remembered_max:
            oldest = next(iter(self._seen))
            if self._seen[oldest][1] >= now_ms:
                raise PermitRefused(Refusal.REPLAY_MEMORY_FULL, "too many permits are alive to notice a replay")
            del self._seen[oldest]
        self._seen[permit.job_id] = (permit.attempt, permit.expires_ms + limits.CLOCK_SKEW_S * 1000)
        self._seen.move_to_end(permit.job_id)


def _is_count(value: Any) -> bool:
    return type(value) is int and value > 0


def _is_typed(job: Job) -> bool:
    """Whether the fields that are used before the hash was verified are of their types."""
    return all(
        isinstance(value, str) for value in (job.job_id, job.tenant, job.topic, job.pool, job.payload_digest)
    ) and isinstance(job.payload, bytes | None)
