"""Subjects of NATS users, tried against a real server: each process can do its work, and nobody another's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import nats
import nats.errors
import pytest
from nats.aio.client import Client as Nats
from nats.js.errors import APIError

from holdgate.bundles.stampstore import StampStore
from holdgate.bundles.store import STREAM, SUBJECT_PREFIX, BundleStore, shadow_store
from holdgate.kernel import subjects, wire
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.login import Login, connect
from holdgate.kernel.nkeys import Nkey
from holdgate.scheduler.state.log import PayloadStore
from holdgate.scheduler.up.access import ACCESS, OPERATOR
from holdgate.scheduler.up.setup import ensure_all
from support.nats_users import Users, running_users
from support.waiting import eventually

BUCKETS = {bucket: f"KV_{bucket}" for bucket in (subjects.BUCKET_POLICY, subjects.BUCKET_SHADOW, subjects.BUCKET_STAMP)}
STREAMS = ("JOBS", "ENDED", "RESULTS", *BUCKETS.values(), "OBJ_holdgate-payloads")
FORGED = wire.pack({"replica": "k1", "epoch_ms": 1, "event": {}})


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Users]:
    with running_users(tmp_path_factory.mktemp("nats")) as users:
        yield users


async def answered(nc: Nats, subject: str) -> bytes:
    """The answer to a request, sent again while the server knows of nobody who would answer: one connection's new
    subscription may show to another a moment later."""
    found: list[bytes] = []

    async def is_answered() -> bool:
        try:
            found.append((await nc.request(subject, b"", timeout=2)).data)
        except nats.errors.NoRespondersError:
            return False
        return True

    await eventually(is_answered)
    return found[0]


async def test_a_worker_may_speak_for_its_own_pool_only(users: Users) -> None:
    """Asks, beats and results of its pool; nothing of another, no stream, no decision."""
    async with users.connected("worker-default") as worker:
        for make in (subjects.ask, subjects.beat, subjects.result):
            await worker.nc.publish(make("default", "w1"), b"")
            assert await worker.may_not_publish(make("other", "w1"))
            assert not [error for error in worker.refused if make("default", "w1") in error]
        for subject in (
            subjects.KERNEL_PERMIT,
            subjects.KERNEL_DECIDE,
            subjects.POLICY_SNAPSHOT,
            subjects.job("default"),
            subjects.wake("default"),
            "$JS.API.STREAM.DELETE.JOBS",
            "$JS.API.CONSUMER.MSG.NEXT.JOBS.intake",
            "$JS.ACK.RESULTS.output-gate.1.1.1.1.1",
            "$KV.holdgate-policy.starter",
            "_INBOX_api.x",
        ):
            assert await worker.may_not_publish(subject), subject


async def test_a_worker_may_hear_its_own_pool_only(users: Users) -> None:
    """Not other pools' control messages, not results, not jobs, not anybody's replies."""
    async with users.connected("worker-default") as worker:
        await worker.nc.subscribe(subjects.control("default", "w1"))
        for subject in (
            ">",
            subjects.control("other", "w1"),
            subjects.result("default", "*"),
            f"{subjects.JOB}.*",
            f"{subjects.ASK}.*.*",
            "_INBOX_api.>",
            "_INBOX_worker.other.>",
            "holdgate.kernel.*",
        ):
            assert await worker.may_not_subscribe(subject), subject
        assert not [error for error in worker.refused if subjects.control("default", "w1") in error]


@pytest.mark.parametrize("user", [*ACCESS, "worker-default"])
async def test_nobody_but_the_operator_may_change_streams_or_read_everything(users: Users, user: str) -> None:
    """Deleting the log, purging results, listening to all: no process needs that."""
    async with users.connected(user) as process:
        for subject in (
            "$JS.API.STREAM.DELETE.JOBS",
            "$JS.API.STREAM.CREATE.JOBS",
            "$JS.API.STREAM.UPDATE.RESULTS",
            "$JS.API.STREAM.PURGE.RESULTS",
            "$JS.API.STREAM.MSG.DELETE.JOBS",
            "$JS.API.CONSUMER.DELETE.RESULTS.output-gate",
        ):
            assert await process.may_not_publish(subject), subject
        assert await process.may_not_subscribe(">")
        for other in ACCESS:
            if other != user:
                assert await process.may_not_subscribe(f"{subjects.inbox(other)}.>")


@pytest.mark.parametrize("user", sorted(set(ACCESS) - {"dispatcher"}))
async def test_only_dispatchers_ask_for_permits(users: Users, user: str) -> None:
    """And only they answer workers."""
    async with users.connected(user) as process:
        assert await process.may_not_publish(subjects.KERNEL_PERMIT)
        assert await process.may_not_subscribe(f"{subjects.ASK}.*.*")


@pytest.mark.parametrize("user", sorted(set(ACCESS) - {"kernel"}))
async def test_only_kernels_answer_as_a_kernel_or_announce_a_snapshot(users: Users, user: str) -> None:
    """Who could would make everybody drop a cache or believe a decision."""
    async with users.connected(user) as process:
        assert await process.may_not_publish(subjects.POLICY_SNAPSHOT)
        assert await process.may_not_subscribe(subjects.KERNEL_DECIDE)


@pytest.mark.parametrize("user", sorted(set(ACCESS) - {"api"}))
async def test_only_the_api_publishes_bundles(users: Users, user: str) -> None:
    """Kernels verify them anyway."""
    async with users.connected(user) as process:
        assert await process.may_not_publish("$KV.holdgate-policy.starter")


@pytest.mark.parametrize("user", ["kernel", "dispatcher", "output-gate", "auditor", "worker-default"])
async def test_only_the_api_writes_the_stamp_of_the_store(users: Users, user: str) -> None:
    async with users.connected(user) as process, users.connected(OPERATOR) as operator, users.connected("api") as api:
        await ensure_all(operator.nc, replicas=1)
        assert await process.may_not_publish("$KV.holdgate-stamp.published")
        await StampStore(api.nc).put(b"stamp")
        assert await StampStore(api.nc).get() == b"stamp"
        if user == "kernel":
            assert await StampStore(process.nc).get() == b"stamp"


@pytest.mark.parametrize("user", ["api", "dispatcher", "output-gate", "auditor", "worker-default"])
async def test_only_kernels_say_what_became_of_a_bundle(users: Users, user: str) -> None:
    async with users.connected(user) as process:
        assert await process.may_not_publish(subjects.POLICY_EVENT)


@pytest.mark.parametrize("user", [*ACCESS, "worker-default"])
async def test_nobody_has_the_server_send_what_a_stream_holds_where_they_like(users: Users, user: str) -> None:
    """A consumer delivers, and a direct get answers, with the server's rights, on any subject that is asked for."""
    async with users.connected(user) as process:
        for stream in STREAMS:
            for subject in (
                f"CONSUMER.CREATE.{stream}",
                f"CONSUMER.CREATE.{stream}.mine",
                f"CONSUMER.CREATE.{stream}.mine.filter",
                f"CONSUMER.DURABLE.CREATE.{stream}.mine",
                f"DIRECT.GET.{stream}",
                f"DIRECT.GET.{stream}.key",
            ):
                assert await process.may_not_publish(f"$JS.API.{subject}"), subject


@pytest.mark.parametrize(
    ("user", "stream", "written"),
    [
        ("api", STREAM, f"{SUBJECT_PREFIX}forged"),
        ("api", "OBJ_holdgate-payloads", "$O.holdgate-payloads.C.forged"),
        ("output-gate", "OBJ_holdgate-payloads", "$O.holdgate-payloads.C.forged"),
    ],
)
async def test_an_event_of_policy_is_not_forged_by_way_of_a_stream(
    users: Users, user: str, stream: str, written: str
) -> None:
    """Written where the forger may write, to be sent where only kernels may speak."""
    create = {
        "stream_name": stream,
        "config": {"name": "forger", "deliver_subject": subjects.POLICY_EVENT, "ack_policy": "none"},
    }
    asked = {
        f"$JS.API.CONSUMER.CREATE.{stream}.forger": create,
        f"$JS.API.DIRECT.GET.{stream}": {"last_by_subj": written},
        f"$JS.API.STREAM.MSG.GET.{stream}": {"last_by_subj": written},
    }
    heard: list[bytes] = []
    async with users.connected(OPERATOR) as operator, users.connected(user) as forger:
        await ensure_all(operator.nc, replicas=1)

        async def hear(message: nats.aio.msg.Msg) -> None:
            heard.append(message.data)

        await operator.nc.subscribe(subjects.POLICY_EVENT, cb=hear)
        await operator.nc.flush()
        await forger.nc.jetstream().publish(written, FORGED)
        for subject, question in asked.items():
            await forger.nc.publish(subject, json.dumps(question).encode(), reply=subjects.POLICY_EVENT)
        await eventually(lambda: bool(heard))
        await eventually(lambda: len(forger.refused) == 2)
        assert FORGED not in heard
        for data in heard:  # the server's answer to a question, which it is allowed to ask
            with pytest.raises(InvalidInput):
                wire.unpack(data)


async def test_whoever_publishes_cannot_erase_what_was_published(users: Users) -> None:
    """By a message that takes the others away, or by asking the stream."""
    async with users.connected(OPERATOR) as operator, users.connected("api") as api:
        await ensure_all(operator.nc, replicas=1)
        store = BundleStore(api.nc)
        await store.put("log", b"one", after_revision=None)
        for which in ("sub", "all"):
            with pytest.raises(APIError, match="rollup"):
                await api.nc.jetstream().publish(f"{SUBJECT_PREFIX}log", b"", headers={"Nats-Rollup": which})
        await store.remove("log")
        assert [stored.data async for stored in store.history("log")] == [b"one"]
        for verb in ("PURGE", "MSG.DELETE", "DELETE", "UPDATE"):
            assert await api.may_not_publish(f"$JS.API.STREAM.{verb}.{STREAM}")


async def test_candidates_are_written_by_the_api_and_read_by_kernels(users: Users) -> None:
    """Where no bundle lies."""
    async with (
        users.connected(OPERATOR) as operator,
        users.connected("api") as api,
        users.connected("kernel") as kernel,
    ):
        await ensure_all(operator.nc, replicas=1)
        hint = asyncio.Event()
        await shadow_store(kernel.nc).on_write(hint.set)
        await kernel.nc.flush()
        await shadow_store(api.nc).put("house", b"candidate", after_revision=None)
        async with asyncio.timeout(5):
            await hint.wait()
        held = await shadow_store(kernel.nc).get("house")
        assert held is not None
        assert held.data == b"candidate"
        await shadow_store(api.nc).remove("house")
        assert await shadow_store(kernel.nc).get("house") is None
        assert kernel.refused == api.refused == []
        for user in ("kernel", "dispatcher", "output-gate", "auditor", "worker-default"):
            async with users.connected(user) as process:
                assert await process.may_not_publish("$KV.holdgate-shadow.house")


async def test_large_payloads_are_read_with_the_rights_of_who_needs_them(users: Users) -> None:
    """Nothing that reading takes is missing, and nothing is asked for in vain."""
    payload = bytes(range(256)) * 4096 + b"the last chunk is short"
    async with users.connected(OPERATOR) as operator, users.connected("api") as api:
        await ensure_all(operator.nc, replicas=1)
        digest = await PayloadStore(api.nc).put(payload)
        for user in ("api", "dispatcher", "output-gate"):
            async with users.connected(user) as process:
                assert await PayloadStore(process.nc).get(digest) == payload
                assert process.refused == []
        for user in ("api", "dispatcher", "output-gate"):
            async with users.connected(user) as process:
                await PayloadStore(process.nc).delete(await PayloadStore(api.nc).put(payload))
                assert process.refused == api.refused == []
    for user in ("kernel", "auditor", "worker-default"):
        async with users.connected(user) as process:
            assert await process.may_not_publish("$JS.API.STREAM.MSG.GET.OBJ_holdgate-payloads")


async def test_a_reply_reaches_who_asked(users: Users) -> None:
    """Private inboxes do not get in the way of asking."""
    async with users.connected("kernel") as kernel, users.connected("dispatcher") as dispatcher:

        async def answer(message: nats.aio.msg.Msg) -> None:
            await message.respond(b"yes")

        await kernel.nc.subscribe(subjects.KERNEL_PERMIT, cb=answer)
        assert await answered(dispatcher.nc, subjects.KERNEL_PERMIT) == b"yes"
        assert kernel.refused == dispatcher.refused == []


@pytest.mark.parametrize(
    ("asker", "subject", "answerer"),
    [
        ("worker-default", subjects.ask("default", "w1"), "dispatcher"),
        ("worker-default", subjects.beat("default", "w1"), "dispatcher"),
        ("api", subjects.KERNEL_DECIDE, "kernel"),
        ("dispatcher", subjects.KERNEL_PERMIT, "kernel"),
    ],
)
async def test_an_answer_goes_to_an_inbox_and_nowhere_else(
    users: Users, asker: str, subject: str, answerer: str
) -> None:
    """Who asks chooses where the answer goes: a bundle, an acknowledgement or an order to a worker it must not be."""
    wanted = ("$KV.holdgate-policy.starter", "$JS.API.STREAM.DELETE.JOBS", subjects.result("default", "w2"))
    heard: set[str] = set()
    async with users.connected(asker) as one, users.connected(answerer) as other:

        async def answer(message: nats.aio.msg.Msg) -> None:
            await message.respond(b"an answer")
            heard.add(message.reply)

        await other.nc.subscribe(subject, cb=answer)
        assert await answered(one.nc, subject) == b"an answer"
        assert other.refused == []
        for reply in wanted:
            await one.nc.publish(subject, b"", reply=reply)
            await eventually(lambda reply=reply: reply in heard)
            assert await other.hears_refusal(f'publish to "{reply}"'), reply


async def test_setup_makes_everything_and_a_second_time_changes_nothing(users: Users) -> None:
    """Streams, consumers and buckets, by the operator."""
    async with users.connected(OPERATOR) as operator:
        await ensure_all(operator.nc, replicas=1)
        await ensure_all(operator.nc, replicas=1)
        names = {info.config.name for info in await operator.nc.jetstream().streams_info()}
        buckets = {"KV_holdgate-policy", "KV_holdgate-shadow", "KV_holdgate-stamp", "OBJ_holdgate-payloads"}
        assert names == {"JOBS", "ENDED", "RESULTS", *buckets}
        consumers = {info.name for info in await operator.nc.jetstream().consumers_info("RESULTS")}
        assert consumers == {"output-gate", "result-watch"}


@pytest.mark.parametrize("login", [Login(), Login("kernel", "guess"), Login("kernel", nkey=Nkey.generate())])
async def test_whoever_has_no_key_of_a_user_is_refused(users: Users, login: Login) -> None:
    """Loopback is no excuse."""
    with pytest.raises(nats.errors.Error):
        async with asyncio.timeout(5):
            await connect(users.url, login, max_reconnect_attempts=1, reconnect_time_wait=0.05)
