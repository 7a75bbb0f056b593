"""Ids, time, messages, signatures and background tasks: the small parts that everything rests on."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdgate.kernel import ids, wire
from holdgate.kernel.clock import parse_rfc3339, rfc3339
from holdgate.kernel.errors import Forged, InvalidInput
from holdgate.kernel.ids import ActorId, Digest, JobId, PermitId, Tenant, WorkerId
from holdgate.kernel.links import Admission, Permit, Signed, Vote
from holdgate.kernel.permits import Keyring, Signer, open_signed, seal
from holdgate.kernel.records import Constraints, Outcome
from holdgate.kernel.tasks import TaskSet

HASH = Digest("sha256:" + "0" * 64)
ADMISSION = Admission(
    JobId("job_1"), HASH, Tenant("t"), ActorId("agent"), ("boss",), Outcome.HELD, "require_approval", HASH, 1
)
VOTE = Vote(
    JobId("job_1"), HASH, HASH, Tenant("t"), ActorId("ann"), ("release-manager",), True, "looked at it", 3, 1, 2
)
PERMIT = Permit(
    permit_id=PermitId("permit_1"),
    job_id=JobId("job_1"),
    job_hash=HASH,
    tenant=Tenant("t"),
    snapshot=HASH,
    verdict="allow",
    rules=("r",),
    constraints=Constraints(max_runtime_s=5, network=("a.example",)),
    attempt=1,
    pool="default",
    worker=WorkerId("w"),
    issued_ms=1,
    expires_ms=2,
)


@given(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10))
def test_a_job_id_is_a_uuid_of_version_7_that_carries_its_time(now_ms: int, chance: bytes) -> None:
    job_id = ids.new_job_id(now_ms, lambda _n: chance)
    assert ids.JOB_ID.match(job_id)
    assert int(job_id[4:].replace("-", "")[:12], 16) == now_ms


def test_job_ids_sort_by_time() -> None:
    assert min(ids.new_job_id(ms) for ms in (3, 1, 2)).startswith("job_00000000-0001")


@given(st.integers(0, 253402300799999))
def test_a_time_comes_back_as_it_went(now_ms: int) -> None:
    assert parse_rfc3339(rfc3339(now_ms)) == now_ms


@pytest.mark.parametrize("text", ["2026-01-01T00:00:00", "yesterday", "2026-13-01T00:00:00Z", ""])
def test_a_time_without_offset_or_sense_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_rfc3339(text)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        msgpack.packb([1]),
        msgpack.packb({"a": 1}),
        msgpack.packb({"v": 2}),
        msgpack.packb({"v": 1, "t": msgpack.ExtType(4, b"x")}),
        msgpack.packb({1: 2, "v": 1}),
        wire.pack({"a": 1}) + b"x",
        wire.pack({"a": 1})[:-1],
        b"\x81\xa1v" * 5000,
    ],
)
def test_what_is_not_a_message_of_this_version_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        wire.unpack(data)


def test_a_message_over_its_limit_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(InvalidInput, match="over the limit"):
        wire.unpack(wire.pack({"a": "x" * 100}), bytes_max=50)


@pytest.mark.parametrize("record", [ADMISSION, VOTE, PERMIT])
def test_a_signed_record_opens_to_what_was_sealed(record: Admission | Vote | Permit) -> None:
    signer = Signer.from_seed(b"1" * 32)
    assert open_signed(seal(record, signer), type(record), Keyring([signer.public_key])) == record


@pytest.mark.parametrize("record", [ADMISSION, VOTE, PERMIT])
def test_a_signature_by_a_key_that_is_not_pinned_is_refused(record: Admission | Vote | Permit) -> None:
    sealed = seal(record, Signer.from_seed(b"2" * 32))
    with pytest.raises(Forged) as caught:
        open_signed(sealed, type(record), Keyring([Signer.from_seed(b"1" * 32).public_key]))
    assert caught.value.code == "unknown_key"


def test_naming_a_pinned_key_does_not_make_its_signature() -> None:
    pinned, other = Signer.from_seed(b"1" * 32), Signer.from_seed(b"2" * 32)
    sealed = replace(seal(PERMIT, other), key=pinned.name)
    with pytest.raises(Forged) as caught:
        open_signed(sealed, Permit, Keyring([pinned.public_key]))
    assert caught.value.code == "bad_signature"


def test_one_kind_of_record_never_passes_for_another() -> None:
    signer = Signer.from_seed(b"1" * 32)
    with pytest.raises(Forged):
        open_signed(seal(VOTE, signer), Permit, Keyring([signer.public_key]))
    same_bytes = signer.sign("vote", seal(PERMIT, signer).body)
    with pytest.raises(Forged):
        open_signed(same_bytes, Permit, Keyring([signer.public_key]))


@given(st.data())
def test_any_changed_byte_of_a_signed_record_is_noticed(data: st.DataObject) -> None:
    signer = Signer.from_seed(b"1" * 32)
    sealed = seal(PERMIT, signer)
    where = data.draw(st.integers(0, len(sealed.body) - 1))
    flipped = bytes([sealed.body[where] ^ data.draw(st.integers(1, 255))])
    body = sealed.body[:where] + flipped + sealed.body[where + 1 :]
    with pytest.raises(Forged):
        open_signed(Signed(body, sealed.key, sealed.signature), Permit, Keyring([signer.public_key]))


def test_a_signer_does_not_print_its_key() -> None:
    assert "SigningKey" not in repr(Signer.from_seed(b"1" * 32))


async def test_a_task_that_fails_is_heard_of_and_the_rest_is_cancelled_at_close() -> None:
    heard: list[tuple[str, BaseException]] = []
    failed = asyncio.Event()

    def on_failure(name: str, error: BaseException) -> None:
        heard.append((name, error))
        failed.set()

    async def fails() -> None:
        raise ValueError

    tasks = TaskSet(on_failure)
    waiting = tasks.start(asyncio.Event().wait(), "waits")
    tasks.start(fails(), "fails")
    await asyncio.wait_for(failed.wait(), 5)
    await tasks.close()
    assert [name for name, _ in heard] == ["fails"]
    assert waiting.cancelled()
    assert len(tasks) == 0
