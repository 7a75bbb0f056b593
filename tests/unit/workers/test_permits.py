"""The worker's check as a table of attacks: each is one thing that a compromised part could send."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from holdgate.kernel import limits
from holdgate.kernel.links import Signed
from holdgate.kernel.permits import Signer, seal
from holdgate.workers.errors import MalformedDelivery, PermitRefused, Refusal
from holdgate.workers.permits import Delivery, PermitCheck
from support.handover import DISPATCHER, KERNEL, STRANGER, make_delivery, make_job, make_permit

ME = "worker-1"
NOW_MS = 1_800_000_000_000
SKEW_MS = limits.CLOCK_SKEW_S * 1000
LIFETIME_MS = limits.PERMIT_LIFETIME_S * 1000


@dataclass
class SetClock:
    now: int = NOW_MS

    def now_ms(self) -> int:
        return self.now


def check(*, accept_fail_open: bool = False, pool: str = "default", remembered_max: int = 100) -> PermitCheck:
    return PermitCheck(
        kernel_keys=[KERNEL.public_key],
        dispatcher_keys=[DISPATCHER.public_key],
        worker=ME,
        pool=pool,
        clock=SetClock(),
        accept_fail_open=accept_fail_open,
        remembered_max=remembered_max,
    )


def delivery(**changes: Any) -> dict[str, Any]:
    changes.setdefault("now_ms", NOW_MS)
    job = changes.pop("job", None) or make_job(payload={"n": 1}, labels={"env": "test"})
    return make_delivery(job, changes.pop("worker", ME), **changes)


def altered(**changes: Any) -> dict[str, Any]:
    given = delivery()
    return {**given, "job": {**given["job"], **changes}}


def refusal_of(given: dict[str, Any], verifier: PermitCheck | None = None) -> Refusal:
    with pytest.raises(PermitRefused) as caught:
        (verifier or check()).verify(Delivery.from_dict(given))
    assert caught.value.code == caught.value.refusal
    return caught.value.refusal


def test_a_true_permit_passes() -> None:
    given = delivery(attempt=2)
    permit = check().verify(Delivery.from_dict(given))
    assert (permit.job_id, permit.attempt, permit.worker) == (given["job"]["job_id"], 2, ME)


def _edited_permit() -> dict[str, Any]:
    given = delivery()
    signed = given["permit"]
    assert b'"attempt":1' in signed["body"]
    return {**given, "attempt": 2, "permit": {**signed, "body": signed["body"].replace(b'"attempt":1', b'"attempt":2')}}


def _admission_as_permit() -> dict[str, Any]:
    """The kernel's key, but a signature made for another purpose."""
    given = delivery()
    signed = KERNEL.sign("admission", given["permit"]["body"])
    return {**given, "permit": signed.as_dict()}


def _stolen_signature() -> dict[str, Any]:
    one, other = delivery(), delivery()
    return {**one, "permit": {**one["permit"], "signature": other["permit"]["signature"]}}


def _borrowed_permit() -> dict[str, Any]:
    """A true permit of a harmless job in front of another one."""
    return {**delivery(), "permit": delivery()["permit"]}


ATTACKS: list[tuple[str, Refusal, Callable[[], dict[str, Any]]]] = [
    ("signed by a key nobody pinned", Refusal.PERMIT_SIGNATURE, lambda: delivery(signer=STRANGER)),
    ("signed by the dispatcher", Refusal.PERMIT_SIGNATURE, lambda: delivery(signer=DISPATCHER)),
    ("claims to be of the kernel's key", Refusal.PERMIT_SIGNATURE, lambda: _claimed_key()),
    ("edited after it was signed", Refusal.PERMIT_SIGNATURE, _edited_permit),
    ("signature of another permit", Refusal.PERMIT_SIGNATURE, _stolen_signature),
    ("signature for another purpose", Refusal.PERMIT_SIGNATURE, _admission_as_permit),
    ("no signature", Refusal.PERMIT_SIGNATURE, lambda: _signature(b"")),
    (
        "fail-open where it is not accepted",
        Refusal.FAIL_OPEN_REFUSED,
        lambda: delivery(signer=DISPATCHER, fail_open=True),
    ),
    ("fail-open signed by the kernel", Refusal.FAIL_OPEN_REFUSED, lambda: _fail_open(KERNEL)),
    ("permit for another worker", Refusal.PERMIT_OTHER_WORKER, lambda: delivery(worker="worker-2")),
    ("permit for another pool", Refusal.PERMIT_OTHER_POOL, lambda: delivery(job=make_job(pool="gpu"))),
    ("expired", Refusal.PERMIT_EXPIRED, lambda: delivery(now_ms=NOW_MS - LIFETIME_MS - SKEW_MS - 1)),
    ("from the future", Refusal.PERMIT_EXPIRED, lambda: delivery(now_ms=NOW_MS + SKEW_MS + 1)),
    ("true permit of another job", Refusal.PERMIT_JOB_MISMATCH, _borrowed_permit),
    ("another attempt than permitted", Refusal.PERMIT_JOB_MISMATCH, lambda: {**delivery(), "attempt": 2}),
    ("job moved to another tenant", Refusal.PERMIT_JOB_MISMATCH, lambda: altered(tenant="other")),
    ("job moved to another pool", Refusal.PERMIT_JOB_MISMATCH, lambda: altered(pool="other")),
    ("prompt altered", Refusal.JOB_HASH_MISMATCH, lambda: altered(prompt="rm -rf /")),
    ("topic altered", Refusal.JOB_HASH_MISMATCH, lambda: altered(topic="job.deploy.apply")),
    ("label altered", Refusal.JOB_HASH_MISMATCH, lambda: altered(labels={"env": "prod"})),
    ("label added", Refusal.JOB_HASH_MISMATCH, lambda: altered(labels={"env": "test", "x": "y"})),
    ("capability added", Refusal.JOB_HASH_MISMATCH, lambda: altered(capability="infra.write")),
    ("risk tag added", Refusal.JOB_HASH_MISMATCH, lambda: altered(risk_tags=["x"])),
    ("requirement added", Refusal.JOB_HASH_MISMATCH, lambda: altered(requires=["x"])),
    ("actor altered", Refusal.JOB_HASH_MISMATCH, lambda: altered(actor="root")),
    ("actor type altered", Refusal.JOB_HASH_MISMATCH, lambda: altered(actor_type="human")),
    ("principal added", Refusal.JOB_HASH_MISMATCH, lambda: altered(principals=["boss"])),
    ("more attempts", Refusal.JOB_HASH_MISMATCH, lambda: altered(max_attempts=99)),
    ("another priority", Refusal.JOB_HASH_MISMATCH, lambda: altered(priority="high")),
    ("another concurrency key", Refusal.JOB_HASH_MISMATCH, lambda: altered(concurrency_key="k")),
    ("deadline removed", Refusal.JOB_HASH_MISMATCH, lambda: altered(deadline_ms=NOW_MS)),
    ("secrets hidden", Refusal.JOB_HASH_MISMATCH, lambda: altered(secrets_present=True)),
    ("remediation invented", Refusal.JOB_HASH_MISMATCH, lambda: altered(remediation_of="job_x")),
    ("a field that cannot be hashed", Refusal.JOB_HASH_MISMATCH, lambda: altered(max_attempts=b"3")),
    ("payload digest altered", Refusal.JOB_HASH_MISMATCH, lambda: altered(payload_digest="sha256:" + "1" * 64)),
    ("payload altered", Refusal.PAYLOAD_MISMATCH, lambda: altered(payload=b'{"n":2}')),
    ("payload left out", Refusal.PAYLOAD_MISMATCH, lambda: altered(payload=None)),
]


def _fail_open(signer: Signer) -> dict[str, Any]:
    return delivery(signer=signer, fail_open=True)


def _claimed_key() -> dict[str, Any]:
    given = delivery(signer=STRANGER)
    return {**given, "permit": {**given["permit"], "key": KERNEL.name}}


def _signature(signature: bytes) -> dict[str, Any]:
    given = delivery()
    return {**given, "permit": {**given["permit"], "signature": signature}}


@pytest.mark.parametrize(("refusal", "attack"), [case[1:] for case in ATTACKS], ids=[case[0] for case in ATTACKS])
def test_attack_is_refused(refusal: Refusal, attack: Callable[[], dict[str, Any]]) -> None:
    assert refusal_of(attack()) == refusal


@pytest.mark.parametrize("shift_ms", [-LIFETIME_MS - SKEW_MS, SKEW_MS])
def test_clocks_may_differ_a_little(shift_ms: int) -> None:
    check().verify(Delivery.from_dict(delivery(now_ms=NOW_MS + shift_ms)))


def test_a_fail_open_permit_of_the_dispatcher_passes_where_it_is_accepted() -> None:
    given = delivery(signer=DISPATCHER, fail_open=True)
    assert check(accept_fail_open=True).verify(Delivery.from_dict(given)).fail_open


def test_accepting_fail_open_does_not_make_the_dispatcher_a_kernel() -> None:
    assert refusal_of(delivery(signer=DISPATCHER), check(accept_fail_open=True)) == Refusal.PERMIT_SIGNATURE


def test_the_same_attempt_never_passes_twice_not_even_with_a_fresh_permit() -> None:
    verifier, job = check(), make_job()
    verifier.verify(Delivery.from_dict(delivery(job=job)))
    assert refusal_of(delivery(job=job), verifier) == Refusal.PERMIT_REPLAYED


def test_an_older_attempt_does_not_pass_after_a_newer_one() -> None:
    verifier, job = check(), make_job()
    verifier.verify(Delivery.from_dict(delivery(job=job, attempt=2)))
    assert refusal_of(delivery(job=job, attempt=1), verifier) == Refusal.PERMIT_REPLAYED
    verifier.verify(Delivery.from_dict(delivery(job=job, attempt=3)))


def test_a_forged_message_does_not_use_up_the_attempt_of_the_true_one() -> None:
    verifier, given = check(), delivery()
    assert refusal_of({**given, "job": {**given["job"], "payload": b"0"}}, verifier) == Refusal.PAYLOAD_MISMATCH
    verifier.verify(Delivery.from_dict(given))


def test_memory_of_attempts_is_bounded_and_never_forgets_a_permit_that_could_be_replayed() -> None:
    clock = SetClock()
    verifier = PermitCheck(kernel_keys=[KERNEL.public_key], worker=ME, pool="default", clock=clock, remembered_max=2)
    first = delivery()
    verifier.verify(Delivery.from_dict(first))
    verifier.verify(Delivery.from_dict(delivery()))
    assert refusal_of(delivery(), verifier) == Refusal.REPLAY_MEMORY_FULL
    clock.now += LIFETIME_MS + SKEW_MS + 1
    verifier.verify(Delivery.from_dict(delivery(now_ms=clock.now)))
    assert refusal_of(first, verifier) == Refusal.PERMIT_EXPIRED


def test_a_known_job_passes_with_its_next_attempt_when_the_memory_is_full() -> None:
    verifier = check(remembered_max=1)
    known = make_job()
    verifier.verify(Delivery.from_dict(delivery(job=known)))
    verifier.verify(Delivery.from_dict(delivery(job=known, attempt=2)))


MALFORMED: list[tuple[str, Callable[[], Any]]] = [
    ("not a map", lambda: [1]),
    ("nothing", dict),
    ("no permit", lambda: _without("permit")),
    ("no token", lambda: _without("token")),
    ("empty token", lambda: {**delivery(), "token": ""}),
    ("attempt is a text", lambda: {**delivery(), "attempt": "1"}),
    ("attempt is true", lambda: {**delivery(), "attempt": True}),
    ("attempt zero", lambda: {**delivery(), "attempt": 0}),
    ("unknown field in the job", lambda: altered(approved=True)),
    ("labels that are no map", lambda: altered(labels="x")),
    ("payload that is a text", lambda: altered(payload="x")),
    ("tenant that is a number", lambda: altered(tenant=1)),
    ("permit that is a text", lambda: {**delivery(), "permit": "x"}),
    ("permit body that is a text", lambda: {**delivery(), "permit": {**delivery()["permit"], "body": "x"}}),
]


def _without(key: str) -> dict[str, Any]:
    return {name: value for name, value in delivery().items() if name != key}


@pytest.mark.parametrize("make", [case[1] for case in MALFORMED], ids=[case[0] for case in MALFORMED])
def test_what_is_not_a_delivery_is_refused_before_anything_is_looked_at(make: Callable[[], Any]) -> None:
    with pytest.raises(MalformedDelivery):
        Delivery.from_dict(make())


def test_a_permit_with_unknown_fields_is_refused() -> None:
    job = make_job()
    sealed = seal(make_permit(job, ME, now_ms=NOW_MS), KERNEL)
    widened = b'{"accept":true,' + sealed.body.removeprefix(b"{")
    signed = Signed(widened, KERNEL.name, KERNEL.sign("permit", widened).signature)
    assert refusal_of({**delivery(job=job), "permit": signed.as_dict()}) == Refusal.PERMIT_SIGNATURE


def test_a_check_without_kernel_keys_lets_nothing_through() -> None:
    verifier = PermitCheck(kernel_keys=[], worker=ME, pool="default", clock=SetClock())
    assert refusal_of(delivery(), verifier) == Refusal.PERMIT_SIGNATURE


def test_every_hashed_field_is_covered_by_an_attack() -> None:
    from holdgate.kernel.records import HASHED_FIELDS, Job

    base = make_job()
    changes: dict[str, Any] = dict.fromkeys(HASHED_FIELDS, "changed")
    changes |= {"labels": {"a": "b"}, "max_attempts": 9, "secrets_present": True, "run_at_ms": 1, "deadline_ms": 1}
    changes |= {"risk_tags": ("a",), "requires": ("a",), "principals": ("a",), "secrets": ("a",)}
    hashes = {replace(base, **{name: changes[name]}).job_hash() for name in HASHED_FIELDS if name != "priority"}
    assert len(hashes | {base.job_hash()}) == len(HASHED_FIELDS)
    assert isinstance(base, Job)
