"""What each user of NATS can and cannot reach, as one table, with its real key at a server with the real configuration.

Red when a permission is widened or taken away: each user is tried on every subject, and what the server lets it do has
to be just what stands here.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator

import pytest
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg

from holdgate.kernel import subjects
from holdgate.kernel.batching import BatchPublisher, Publication
from holdgate.scheduler.up.access import ACCESS, OPERATOR, worker_user
from holdgate.scheduler.up.setup import ensure_all
from support.nats_users import OTHER_POOL, Users, running_users
from support.waiting import eventually

WORKER, OTHER_WORKER = worker_user("default"), worker_user(OTHER_POOL)
USERS = (*ACCESS, WORKER)
STREAMS = ("JOBS", "RESULTS", "ENDED", "KV_holdgate-policy", "KV_holdgate-shadow", "KV_holdgate-stamp",
           "OBJ_holdgate-payloads")  # fmt: skip
STREAM_VERBS = ("CREATE", "UPDATE", "DELETE", "INFO", "PURGE", "MSG.GET", "MSG.DELETE", "SNAPSHOT", "RESTORE",
                "LEADER.STEPDOWN", "PEER.REMOVE")  # fmt: skip
CONSUMERS = {"JOBS": ("intake",), "RESULTS": ("result-watch", "output-gate")}
INBOXES = (
    "_INBOX",
    *(f"_INBOX_{name}" for name in (*ACCESS, OPERATOR)),
    "_INBOX_worker.default",
    "_INBOX_worker.other",
)

WRITES = {
    *(f"holdgate.kernel.{name}" for name in ("decide", "permit", "output", "detectors", "status", "else")),
    *("holdgate.policy.snapshot", "holdgate.policy.event", "holdgate.wake.default", "holdgate.event.acme"),
    *(f"holdgate.{kind}.{pool}.w1" for kind in ("ask", "beat", "result", "control") for pool in ("default", "other")),
    *("holdgate.job.acme", "holdgate.ended.acme", "holdgate.else", "else"),
    *(f"{inbox}.x" for inbox in INBOXES),
    *("$KV.holdgate-policy.x", "$KV.holdgate-shadow.x", "$KV.holdgate-stamp.x"),
    *("$O.holdgate-payloads.C.x", "$O.holdgate-payloads.M.x"),
}
CALLS = {
    *("$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$JS.API.ACCOUNT.PURGE.HOLDGATE"),
    *(f"$JS.API.STREAM.{verb}.{stream}" for verb, stream in itertools.product(STREAM_VERBS, STREAMS)),
    *(f"$JS.API.{verb}.{stream}" for stream in STREAMS for verb in ("DIRECT.GET", "CONSUMER.NAMES", "CONSUMER.LIST")),
    *(
        f"$JS.API.CONSUMER.CREATE.{stream}{end}"
        for stream in STREAMS
        for end in ("", ".mine", ".mine.holdgate.job.acme")
    ),
    *(f"$JS.API.CONSUMER.DURABLE.CREATE.{stream}.mine" for stream in STREAMS),
    *(
        f"$JS.API.CONSUMER.{verb}.{stream}.{name}"
        for stream, names in CONSUMERS.items()
        for name in names
        for verb in ("INFO", "MSG.NEXT", "DELETE", "CREATE", "PAUSE", "UNPIN")
    ),
    *(f"$JS.ACK.{stream}.{name}.1.1.1.1.1" for stream, names in CONSUMERS.items() for name in names),
    *("$JS.ACK.JOBS.mine.1.1.1.1.1", "$SYS.REQ.SERVER.PING", "$SYS.REQ.ACCOUNT.HOLDGATE.CONNZ", "$SYS.REQ.USER.INFO"),
}
HEARS = {
    *(">", "holdgate.>", "$JS.>", "$JS.EVENT.>", "$SYS.>", "$KV.>", "$O.>", "_R_.>", "_INBOX.>", "_INBOX_worker.>"),
    *(f"holdgate.kernel.{name}" for name in ("decide", "permit", "output", "detectors", "status")),
    *("holdgate.policy.snapshot", "holdgate.policy.event", "holdgate.wake.default", "holdgate.event.acme"),
    *(f"holdgate.{kind}.{pool}.w1" for kind in ("ask", "beat", "result", "control") for pool in ("default", "other")),
    *("holdgate.ask.>", "holdgate.control.>", "holdgate.result.>", "holdgate.job.acme", "holdgate.ended.acme"),
    *(f"{inbox}.x" for inbox in INBOXES),
    *("$KV.holdgate-policy.x", "$KV.holdgate-shadow.x", "$KV.holdgate-stamp.x", "$O.holdgate-payloads.C.x"),
    *("$JS.API.STREAM.MSG.GET.JOBS", "$JS.ACK.RESULTS.output-gate.1.1.1.1.1"),
}
OBJECTS = {
    *("$O.holdgate-payloads.C.x", "$O.holdgate-payloads.M.x"),
    *(f"$JS.API.STREAM.{verb}.OBJ_holdgate-payloads" for verb in ("INFO", "MSG.GET", "PURGE")),
}
HINTS = {"holdgate.wake.default", "holdgate.event.acme", "holdgate.control.default.w1", "holdgate.control.other.w1"}


def reads(*streams: str) -> set[str]:
    return {f"$JS.API.STREAM.{verb}.{stream}" for stream in streams for verb in ("INFO", "MSG.GET")}


def consumes(stream: str, name: str) -> set[str]:
    own = {f"$JS.API.CONSUMER.{verb}.{stream}.{name}" for verb in ("INFO", "MSG.NEXT")}
    return {*own, f"$JS.API.STREAM.INFO.{stream}", f"$JS.ACK.{stream}.{name}.1.1.1.1.1"}


POLICY = reads("KV_holdgate-policy", "KV_holdgate-shadow", "KV_holdgate-stamp")
MAY_PUBLISH: dict[str, set[str]] = {
    "kernel": {
        *("$JS.API.INFO", "holdgate.policy.snapshot", "holdgate.policy.event"),
        *("_INBOX_api.x", "_INBOX_dispatcher.x", "_INBOX_output-gate.x", "_INBOX_operator.x"),
        *POLICY,
    },
    "api": {
        *("$JS.API.INFO", "holdgate.kernel.decide", "holdgate.kernel.status", "holdgate.kernel.output"),
        *("holdgate.kernel.detectors", "holdgate.job.acme"),
        *("$KV.holdgate-policy.x", "$KV.holdgate-shadow.x", "$KV.holdgate-stamp.x"),
        *(HINTS | OBJECTS | POLICY),
    },
    "dispatcher": {
        *("$JS.API.INFO", "holdgate.kernel.decide", "holdgate.kernel.permit", "holdgate.kernel.status"),
        *("holdgate.job.acme", "holdgate.ended.acme", "_INBOX.x", "_INBOX_operator.x"),
        *("_INBOX_worker.default.x", "_INBOX_worker.other.x"),
        *(HINTS | OBJECTS | reads("JOBS", "ENDED") | consumes("JOBS", "intake") | consumes("RESULTS", "result-watch")),
        "$JS.API.CONSUMER.INFO.RESULTS.output-gate",
    },
    "output-gate": {
        *("$JS.API.INFO", "holdgate.kernel.output", "holdgate.kernel.detectors", "holdgate.kernel.status"),
        *("holdgate.wake.default", "holdgate.event.acme"),
        *(OBJECTS | consumes("RESULTS", "output-gate")),
    },
    "auditor": {"$JS.API.INFO"},
    WORKER: {f"holdgate.{kind}.default.w1" for kind in ("ask", "beat", "result")},
}
KERNEL = {f"holdgate.kernel.{name}" for name in ("decide", "permit", "output", "detectors", "status")}
MAY_HEAR: dict[str, set[str]] = {
    "kernel": {*KERNEL, "$KV.holdgate-policy.x", "$KV.holdgate-shadow.x", "_INBOX_kernel.x"},
    "api": {"holdgate.policy.snapshot", "holdgate.event.acme", "_INBOX_api.x"},
    "dispatcher": {
        *(f"holdgate.{kind}.{pool}.w1" for kind in ("ask", "beat") for pool in ("default", "other")),
        *("holdgate.wake.default", "holdgate.policy.snapshot", "holdgate.policy.event", "_INBOX_dispatcher.x"),
    },
    "output-gate": {"holdgate.policy.snapshot", "_INBOX_output-gate.x"},
    "auditor": {"_INBOX_auditor.x"},
    WORKER: {"holdgate.control.default.w1", "_INBOX_worker.default.x"},
}


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Users]:
    with running_users(tmp_path_factory.mktemp("nats")) as users:
        yield users


def test_the_table_has_every_user_and_every_subject() -> None:
    assert set(MAY_PUBLISH) == set(MAY_HEAR) == set(USERS)
    assert set().union(*MAY_PUBLISH.values()) <= WRITES | CALLS
    assert set().union(*MAY_HEAR.values()) <= HEARS


@pytest.mark.parametrize("user", USERS)
async def test_a_user_publishes_just_what_its_row_says(users: Users, user: str) -> None:
    """Of everything that anybody may, and of what nobody may."""
    async with users.connected(user) as process:
        assert await process.publishable(WRITES | CALLS) == MAY_PUBLISH[user]


@pytest.mark.parametrize("user", USERS)
async def test_a_user_hears_just_what_its_row_says(users: Users, user: str) -> None:
    async with users.connected(user) as process:
        assert await process.subscribable(HEARS) == MAY_HEAR[user]


@pytest.mark.parametrize("pattern", sorted({each for access in ACCESS.values() for each in access.publish}))
def test_no_permission_is_wider_than_the_table_tries(pattern: str) -> None:
    """Each pattern that a user has is there for something in the table, and no wildcard reaches over a kind."""
    fitting = {subject for subject in WRITES | CALLS if fits(pattern, subject)}
    assert fitting or "$JS.ACK.*.*" in pattern, "a permission that nothing here stands for"
    assert not pattern.startswith((">", "*", "$JS.API.>", "$SYS", "holdgate.>"))


def fits(pattern: str, subject: str) -> bool:
    asked, given = pattern.split("."), subject.split(".")
    for place, token in enumerate(asked):
        if token == ">":
            return len(given) > place
        if place >= len(given) or token not in ("*", given[place]):
            return False
    return len(asked) == len(given)


# Across accounts ------------------------------------------------------------------------------------------------------


async def counts(nc: Nats) -> dict[str, int]:
    """Messages by stream."""
    return {info.config.name or "": info.state.messages for info in await nc.jetstream().streams_info()}


async def test_a_worker_cannot_have_acknowledgements_written_anywhere(users: Users) -> None:
    """Whatever subject it names for JetStream's answer is one of its own account, where there is no stream."""
    wanted = ("$KV.holdgate-policy.x", "holdgate.job.acme", "holdgate.ended.acme", "$O.holdgate-payloads.C.x",
              "holdgate.policy.snapshot", "holdgate.result.other.w1", "_INBOX_api.x")  # fmt: skip
    async with users.connected(OPERATOR) as operator, users.connected(WORKER) as worker:
        await ensure_all(operator.nc, replicas=1)
        heard: list[str] = []

        async def hear(message: Msg) -> None:
            heard.append(message.subject)

        for subject in ("holdgate.policy.snapshot", "_INBOX_api.>"):
            await operator.nc.subscribe(subject, cb=hear)
        await operator.nc.flush()
        before = await counts(operator.nc)
        for reply in wanted:
            await worker.nc.publish(subjects.result("default", "w1"), b"x", reply=reply)
        after = before | {"RESULTS": before["RESULTS"] + len(wanted)}
        await worker.nc.flush()
        ack = await worker.nc.request(subjects.result("default", "w1"), b"x", timeout=5)
        after["RESULTS"] += 1
        assert b'"stream":"RESULTS"' in ack.data, "to its own inbox it comes"
        assert await counts(operator.nc) == after
        assert heard == []


async def test_many_results_of_a_worker_are_one_batch(users: Users) -> None:
    """Across the accounts too, each once."""
    async with users.connected(OPERATOR) as operator, users.connected(WORKER) as worker:
        await ensure_all(operator.nc, replicas=1)
        before = (await counts(operator.nc))["RESULTS"]
        publisher = BatchPublisher(worker.nc)
        subject = subjects.result("default", "w1")
        items = [Publication(subject, b"x", f"batch-{number}") for number in range(200)]
        await asyncio.gather(*map(publisher.publish, [*items, items[0]]))
        await publisher.close()
        assert (await counts(operator.nc))["RESULTS"] == before + 200


async def test_an_ask_reaches_one_dispatcher_and_a_worker_that_is_gone_is_told_of(users: Users) -> None:
    """Of several dispatchers one answers; an answer that nobody takes comes back as a status 503."""
    async with (
        users.connected("dispatcher") as one,
        users.connected("dispatcher") as two,
        users.connected(WORKER) as worker,
    ):
        taken: list[str] = []
        statuses: list[str | None] = []

        async def status(message: Msg) -> None:
            statuses.append((message.headers or {}).get("Status"))

        for number, dispatcher in enumerate((one, two)):

            async def answer(message: Msg, nc: Nats = dispatcher.nc, name: str = str(number)) -> None:
                taken.append(name)
                await nc.publish(message.reply, b"jobs", reply=f"_INBOX_dispatcher.{name}")

            await dispatcher.nc.subscribe("holdgate.ask.*.*", queue=subjects.DISPATCHER_QUEUE, cb=answer)
            await dispatcher.nc.subscribe(f"_INBOX_dispatcher.{number}", cb=status)
            await dispatcher.nc.flush()
        subject = subjects.ask("default", "w1")
        for _ in range(20):
            assert (await worker.nc.request(subject, b"", timeout=5)).data == b"jobs"
        assert len(taken) == 20
        assert statuses == []
        await worker.nc.publish(subject, b"", reply="_INBOX_worker.default.nobody")
        assert await eventually(lambda: statuses) == ["503"]
        assert one.refused == two.refused == worker.refused == []


async def test_an_answer_for_one_pool_is_heard_in_no_other(users: Users) -> None:
    """Not even where a worker of another pool names the very inbox, in an ask of its own."""
    async with (
        users.connected("dispatcher") as dispatcher,
        users.connected(WORKER) as victim,
        users.connected(OTHER_WORKER) as thief,
    ):
        heard: list[bytes] = []

        async def hear(message: Msg) -> None:
            heard.append(message.data)

        await victim.nc.subscribe("_INBOX_worker.default.mine", cb=hear)
        await victim.nc.flush()
        assert await thief.may_not_subscribe("_INBOX_worker.default.mine")
        await dispatcher.nc.publish("_INBOX_worker.default.mine", b"jobs")
        assert await eventually(lambda: heard == [b"jobs"])
        await thief.nc.publish("_INBOX_worker.default.mine", b"forged jobs")
        await thief.nc.publish(subjects.result(OTHER_POOL, "w1"), b"", reply="_INBOX_worker.default.mine")
        await thief.nc.flush()
        await dispatcher.nc.publish("_INBOX_worker.default.mine", b"more")
        assert await eventually(lambda: heard == [b"jobs", b"more"])


async def test_nobody_comes_into_the_system_account(users: Users) -> None:
    """Where servers would be told to shut down or show who is connected: no user is in it."""
    async with users.connected(OPERATOR) as operator:
        reply = await operator.nc.request("$SYS.REQ.USER.INFO", b"", timeout=5)
        assert b'"account":"HOLDGATE"' in reply.data
        heard: list[str] = []

        async def hear(message: Msg) -> None:
            heard.append(message.subject)

        await operator.nc.subscribe("$SYS.>", cb=hear)
        await operator.nc.flush()
        async with users.connected("api"):
            pass
        await operator.nc.flush()
        assert not [subject for subject in heard if "ACCOUNT" in subject or "SERVER" in subject]
