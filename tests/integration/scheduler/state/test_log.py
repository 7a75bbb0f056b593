"""The durable log on a real JetStream: streams, group commit, duplicates, payloads, durability."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from nats.aio.client import Client as Nats
from nats.js.errors import APIError

from holdgate.kernel import subjects
from holdgate.kernel.batching import BatchPublisher, Publication
from holdgate.kernel.canonical import digest_bytes
from holdgate.kernel.errors import Forged, InvalidInput, Unavailable
from holdgate.scheduler.errors import DurabilityMismatch, LogUnavailable, NotFound
from holdgate.scheduler.state.connection import Scripts
from holdgate.scheduler.state.durability import BY_CONFIG, Profile, verify_durability
from holdgate.scheduler.state.encoding import Packed
from holdgate.scheduler.state.log import Envelope, JobLog, PayloadStore, StreamSettings, ensure_streams
from holdgate.scheduler.state.transitions import State
from support.state import START_MS, make_admission, make_decision, make_job


def make_envelope(prompt: str = "status") -> Envelope:
    """Of a plain accepted job."""
    job = make_job(START_MS, prompt=prompt)
    return Envelope(job, make_decision(job), make_admission(job), State.ACCEPTED, START_MS)


async def stored(nc: Nats, stream: str = subjects.STREAM_JOBS) -> int:
    """How many messages lie in the stream."""
    return (await nc.jetstream().stream_info(stream)).state.messages


def test_an_envelope_comes_back_as_it_was() -> None:
    """Nothing of a job is lost on its way through the log; other bytes are refused."""
    envelope = make_envelope()
    assert Envelope.unpack(envelope.pack()) == envelope
    with pytest.raises(InvalidInput):
        Envelope.unpack(b"\x80")
    packed = Packed.of(envelope.job, envelope.decision, envelope.admission)
    assert replace(envelope, packed=packed).pack() == envelope.pack()


async def test_setting_up_twice_changes_nothing(nc: Nats) -> None:
    """Streams keep what they hold; the consumers are there."""
    await ensure_streams(nc)
    log = JobLog(nc)
    await log.publish(make_envelope())
    await ensure_streams(nc)
    assert await stored(nc) == 1
    names = {info.name for info in await nc.jetstream().consumers_info(subjects.STREAM_RESULTS)}
    assert names == {subjects.CONSUMER_RESULT_WATCH, subjects.CONSUMER_OUTPUT_GATE}
    config = (await nc.jetstream().stream_info(subjects.STREAM_JOBS)).config
    assert (config.discard, config.retention, config.storage) == ("new", "limits", "file")
    await log.close()


async def test_workers_fill_their_own_stream_and_not_that_of_jobs(nc: Nats) -> None:
    """Results need no lease: a flood of them is refused at its bound, and a job is taken."""
    await ensure_streams(nc, StreamSettings(results_max_bytes=100_000))
    with pytest.raises(APIError, match="maximum bytes"):
        await _flood(nc, 20)
    log = JobLog(nc)
    await log.publish(make_envelope())
    await log.close()
    assert StreamSettings().results_max_bytes > 0


async def test_no_stream_takes_the_room_of_another_one(nc: Nats) -> None:
    """Jobs that nobody runs, or payloads: all bounds together are less than what there is, and ends have room."""
    total = 8_000_000
    bounded = StreamSettings.within(total)
    await ensure_streams(nc, bounded)
    js = nc.jetstream()
    streams = (subjects.STREAM_JOBS, subjects.STREAM_ENDED, subjects.STREAM_RESULTS, f"OBJ_{subjects.BUCKET_PAYLOADS}")
    bounds = [(await js.stream_info(stream)).config.max_bytes for stream in streams]
    assert bounds == [total // 4, total // 4, total // 8, total // 4]
    log, payloads = JobLog(nc), PayloadStore(nc)
    for _ in range(19):
        await log.publish(make_envelope("x" * 100_000))
    with pytest.raises(LogUnavailable):
        await log.publish(make_envelope("x" * 100_000))
    await js.publish(f"{subjects.ENDING}.t", b"an end")
    await payloads.put(b"1" * 1_500_000)
    with pytest.raises(LogUnavailable):
        await payloads.put(b"2" * 1_500_000)
    await js.publish(f"{subjects.ENDING}.t", b"an end")
    await log.close()


async def test_what_is_in_a_stream_stays_when_it_gets_a_bound_or_loses_it(nc: Nats) -> None:
    """An installation that is set up anew, with more or less room."""
    await ensure_streams(nc)
    log, payloads = JobLog(nc), PayloadStore(nc)
    for _ in range(3):
        await log.publish(make_envelope("x" * 100_000))
    digest = await payloads.put(b"y" * 50_000)
    for settings in (StreamSettings.within(400_000), StreamSettings.within(None)):
        await ensure_streams(nc, settings)
        bucket = await nc.jetstream().stream_info(f"OBJ_{subjects.BUCKET_PAYLOADS}")
        assert bucket.config.max_bytes == settings.payloads_max_bytes
        assert await stored(nc) == 3
        assert len(await payloads.get(digest)) == 50_000
    await log.publish(make_envelope())
    await log.close()


async def _flood(nc: Nats, count: int) -> None:
    for _ in range(count):
        await nc.jetstream().publish(subjects.result("evil", "w1"), b"x" * 10_000)


async def test_many_at_once_leave_as_atomic_batches_and_all_are_stored(nc: Nats) -> None:
    """Every caller returns only when its own message is in the stream, in the order they came."""
    await ensure_streams(nc)
    log = JobLog(nc)
    envelopes = [make_envelope() for _ in range(1_200)]
    await asyncio.gather(*(log.publish(envelope) for envelope in envelopes))
    assert await stored(nc) == 1_200
    last = await nc.jetstream().get_last_msg(subjects.STREAM_JOBS, subjects.job("acme"))
    assert Envelope.unpack(last.data or b"") == envelopes[-1]
    await log.close()


async def test_a_repeat_in_a_batch_does_not_fail_the_others(nc: Nats) -> None:
    """JetStream refuses a whole batch for one known id: single messages then, and the repeat is stored once."""
    await ensure_streams(nc)
    log = JobLog(nc)
    known = make_envelope()
    await log.publish(known)
    fresh = [make_envelope() for _ in range(9)]
    await asyncio.gather(*(log.publish(envelope) for envelope in (*fresh, known, known)))
    assert await stored(nc) == 10
    await log.close()


async def test_without_a_stream_nothing_is_confirmed(nc: Nats) -> None:
    """No stream takes the subject: the caller hears that at once."""
    log = JobLog(nc, timeout_s=1.0)
    with pytest.raises(LogUnavailable):
        await log.publish(make_envelope())
    replies = await asyncio.gather(*(log.publish(make_envelope()) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(reply, LogUnavailable) for reply in replies)
    await log.close()


async def test_one_message_that_is_too_large_does_not_fail_the_others(nc: Nats) -> None:
    """The one is refused, the rest are stored."""
    await ensure_streams(nc)
    publisher = BatchPublisher(nc)
    bodies = [b"small", b"x" * (nc.max_payload + 1), b"small"]
    publications = [Publication("holdgate.job.acme", body, f"id-{number}") for number, body in enumerate(bodies)]
    replies = await asyncio.gather(*map(publisher.publish, publications), return_exceptions=True)
    assert [reply is None for reply in replies] == [True, False, True]
    assert isinstance(replies[1], Unavailable)
    assert await stored(nc) == 2
    await publisher.close()


async def test_payloads_are_kept_under_their_digest(nc: Nats) -> None:
    """What comes back is what was hashed; unknown and altered ones are told apart."""
    await ensure_streams(nc)
    store = PayloadStore(nc)
    data = b"[" + b"1," * 400_000 + b"1]"
    digest = await store.put(data)
    assert digest == digest_bytes(data)
    assert await store.put(data) == digest
    assert await store.get(digest) == data
    with pytest.raises(NotFound):
        await store.get(digest_bytes(b"other"))
    bucket = await nc.jetstream().object_store(subjects.BUCKET_PAYLOADS)
    await bucket.put(digest, b"altered")
    with pytest.raises(Forged, match="not the one"):
        await store.get(digest)
    await store.delete(digest)
    await store.delete(digest)
    with pytest.raises(NotFound):
        await store.get(digest)


@pytest.mark.parametrize("size", [1, 128 * 1024, 128 * 1024 + 1, 8 * 1024 * 1024])
async def test_payloads_of_any_number_of_chunks_come_back(nc: Nats, size: int) -> None:
    """Also while others are written in between, and over one that lay there under the same digest."""
    await ensure_streams(nc)
    store = PayloadStore(nc)
    payloads = [bytes([number]) * size for number in range(3)]
    digests = await asyncio.gather(*map(store.put, payloads))
    await store.put(payloads[1])
    assert await asyncio.gather(*map(store.get, digests)) == payloads


@pytest.mark.parametrize(
    "change", [{"size": 10**12}, {"size": 0}, {"size": "8"}, {"size": -1}, {"nuid": None}, {"nuid": "other"}]
)
async def test_what_an_object_says_of_itself_is_not_believed(nc: Nats, change: dict[str, object]) -> None:
    """Never other bytes than those that were hashed, and never an error of its own."""
    await ensure_streams(nc)
    store = PayloadStore(nc)
    digest = await store.put(b"12345678")
    js, stream = nc.jetstream(), f"OBJ_{subjects.BUCKET_PAYLOADS}"
    meta = await js.get_last_msg(stream, f"$O.{subjects.BUCKET_PAYLOADS}.M.*")
    await js.publish(meta.subject or "", json.dumps({**json.loads(meta.data or b""), **change}).encode())
    with pytest.raises((Forged, NotFound)):
        await store.get(digest)


async def test_strict_servers_are_accepted(scripts: Scripts, nats_monitor_url: str) -> None:
    """The test servers are as durable as production ones."""
    assert await verify_durability(scripts, nats_monitor_url, profile=Profile.STRICT) == []


async def test_a_weaker_redis_is_refused_under_strict_and_told_under_relaxed(scripts: Scripts) -> None:
    """Start-up does not go on with less than what is declared."""
    await scripts.command("CONFIG", "SET", "appendfsync", "everysec")
    try:
        with pytest.raises(DurabilityMismatch, match="appendfsync"):
            await verify_durability(scripts, None, profile=Profile.STRICT, look=BY_CONFIG)
        assert len(await verify_durability(scripts, None, profile=Profile.RELAXED, look=BY_CONFIG)) == 1
    finally:
        await scripts.command("CONFIG", "SET", "appendfsync", "always")


@pytest.mark.parametrize(
    ("subject", "message_id", "headers"),
    [
        ("holdgate.job.a b", "m", {}),
        ("holdgate.job.a\r\nPUB x 0", "m", {}),
        ("holdgate.job.a", "m\r\nNats-Batch-Commit: 1", {}),
        ("holdgate.job.a", "m", {"Name": "value\r\n\r\nPUB x 0"}),
        ("holdgate.job.a", "m", {"Name\n": "value"}),
    ],
)
async def test_a_word_that_would_end_its_line_in_the_protocol_is_refused(
    nc: Nats, subject: str, message_id: str, headers: dict[str, str]
) -> None:
    """Only for its own caller: the others of the batch are stored."""
    await ensure_streams(nc)
    publisher = BatchPublisher(nc)
    good = [Publication(subjects.job("acme"), b"x", f"good-{number}") for number in range(3)]
    bad = Publication(subject, b"x", message_id, headers)
    outcomes = await asyncio.gather(
        *(publisher.publish(item) for item in (good[0], bad, *good[1:])), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [type(None), ValueError, type(None), type(None)]
    assert await stored(nc) == 3
    await publisher.close()
