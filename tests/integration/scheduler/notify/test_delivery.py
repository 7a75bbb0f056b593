"""How notices arrive: again and again until they are taken, from one notifier at a time, whatever others do."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import pytest
from prometheus_client import REGISTRY

from holdgate.client import WebhookRefused, verify_webhook
from holdgate.scheduler.errors import StateUnavailable
from holdgate.scheduler.gates.retry import delay_ms
from holdgate.scheduler.notify import service as notify_service
from holdgate.scheduler.notify.courier import HELD_MAX, LEASE_MS, RETRY_BASE_MS, RETRY_CAP_MS, TRIED_FOR_MS
from holdgate.scheduler.state import notices
from holdgate.scheduler.state.connection import key
from holdgate.scheduler.state.notices import NoticeKind, Notices, Wanted
from support.notifying import OTHER_SECRET, SECRET, Post, write_owned
from support.receiver import BROKEN, OK, Receiver, receiving
from support.state import TENANT
from support.waiting import Eventually

CHANCE = b"\x5a"


def counted(webhook: str, result: str) -> float:
    """So many attempts came to that."""
    return REGISTRY.get_sample_value("holdgate_notices_total", {"webhook": webhook, "result": result}) or 0.0


def ids(receiver: Receiver) -> list[str]:
    """Of what came."""
    return [received.headers["webhook-id"] for received in receiver.received]


async def test_a_receiver_that_fails_is_tried_again_later_with_the_same_notice(post: Post, receiver: Receiver) -> None:
    """Not before its delay; the same id and bytes, a new time, and so a new signature."""
    service = await post.notifier({"name": "failing", "url": receiver.url}, chance=CHANCE)
    await post.world.held()
    receiver.answer = lambda _received: BROKEN
    assert await post.send(service) == 1
    for tries in (1, 2):
        delay = delay_ms(tries, lambda n: CHANCE * n, base_ms=RETRY_BASE_MS, cap_ms=RETRY_CAP_MS)
        assert delay > 1
        post.world.pass_ms(delay - 1)
        assert await post.send(service) == 0
        post.world.pass_ms(1)
        receiver.answer = (lambda _received: OK) if tries == 2 else (lambda _received: BROKEN)
        assert await post.send(service) == 1
    post.world.pass_ms(RETRY_CAP_MS)
    assert await post.send(service) == 0
    assert len(set(ids(receiver))) == 1
    assert len({received.body for received in receiver.received}) == 1
    assert len({received.headers["webhook-signature"] for received in receiver.received}) == 3
    assert (counted("failing", "retried"), counted("failing", "delivered")) == (2, 1)


async def test_after_a_day_it_is_given_up_and_the_audit_trail_says_so(post: Post, receiver: Receiver) -> None:
    """And nothing is left of it."""
    service = await post.notifier({"name": "dead", "url": receiver.url})
    job = await post.world.held()
    receiver.answer = lambda _received: BROKEN
    await post.send(service)
    post.world.pass_ms(TRIED_FOR_MS)
    assert await post.send(service) == 1
    post.world.pass_ms(TRIED_FOR_MS)
    assert await post.send(service) == 0
    last = (await post.world.audit.read(TENANT, 0))[-1]
    assert last.type == "webhook.given_up"
    assert last.details["job_id"] == job.job_id
    assert (last.details["webhook"], last.details["tries"], last.details["error"]) == ("dead", 2, "status_500")
    assert counted("dead", "given_up") == 1
    for name in ("webhook_due:dead", "webhook_box:dead", "webhook_tries:dead"):
        assert await post.world.scripts.command("EXISTS", key(TENANT, name)) == 0


async def test_a_webhook_that_hangs_holds_up_no_other(post: Post, receiver: Receiver, eventually: Eventually) -> None:
    """More notices than it can hold, and the other one has them all."""
    async with receiving() as hanging:
        hanging.gate.clear()
        service = await post.notifier({"name": "hangs", "url": hanging.url}, {"name": "works", "url": receiver.url})
        for _ in range(3 * HELD_MAX):
            await post.world.held()

        async def all_came() -> bool:
            await service.run_once()
            return len(receiver.received) == 3 * HELD_MAX

        await eventually(all_came, why="the webhook that works has everything")
        assert await post.world.scripts.command("HLEN", key(TENANT, "webhook_tries:hangs")) == HELD_MAX
        hanging.gate.set()


async def test_two_notifiers_deliver_each_notice_once(post: Post, receiver: Receiver) -> None:
    """Whoever claims first."""
    first = await post.notifier({"name": "chat", "url": receiver.url})
    second = await post.notifier({"name": "chat", "url": receiver.url})
    for _ in range(40):
        await post.world.held()
    while sum(await asyncio.gather(post.send(first), post.send(second))):
        pass
    assert sorted(Counter(ids(receiver)).values()) == [1] * 40


async def test_a_notifier_that_dies_in_the_middle_loses_nothing(
    post: Post, receiver: Receiver, eventually: Eventually
) -> None:
    """Another one sends it again after the lease, with the same id: at least once, and a receiver can tell."""
    dying = await post.notifier({"name": "chat", "url": receiver.url})
    await post.world.held()
    receiver.gate.clear()
    await dying.run_once()
    await eventually(lambda: receiver.received, why="it is on its way")
    await dying.settled(0)
    receiver.gate.set()
    other = await post.notifier({"name": "chat", "url": receiver.url})
    assert await post.send(other) == 0
    post.world.pass_ms(LEASE_MS)
    assert await post.send(other) == 1
    assert len(receiver.received) == 2
    assert len(set(ids(receiver))) == 1


@pytest.mark.parametrize("late", ["done", "retry", "give_up"])
async def test_who_comes_back_after_the_lease_changes_nothing(post: Post, late: str) -> None:
    """Neither takes it from who has it now, nor puts it back, nor says that it was given up."""
    store, wanted = Notices(post.world.scripts), [Wanted("late", frozenset(NoticeKind), 0, 10)]
    await post.world.held()
    [first] = await store.claim(TENANT, wanted, post.now_ms(), LEASE_MS)
    now_ms = post.world.pass_ms(LEASE_MS)
    [second] = await store.claim(TENANT, wanted, now_ms, LEASE_MS)
    [slow], [quick] = first.deliveries, second.deliveries
    assert (slow.tries, quick.tries) == (1, 2)
    match late:
        case "done":
            assert not await store.done(slow, now_ms)
        case "retry":
            assert not await store.retry(slow, now_ms, now_ms)
        case _:
            assert not await store.give_up(slow, now_ms, {"webhook": "late"})
    [third] = await store.claim(TENANT, wanted, now_ms, LEASE_MS)
    assert (third.deliveries, third.waiting) == ((), 1)
    assert "webhook.given_up" not in [event.type for event in await post.world.audit.read(TENANT, 0)]
    assert await store.done(quick, now_ms)


async def test_a_notifier_counts_what_it_lost_and_does_not_try_again(
    post: Post, receiver: Receiver, eventually: Eventually
) -> None:
    """It took longer than its lease, and another one delivered meanwhile."""
    slow = await post.notifier({"name": "late", "url": receiver.url})
    await post.world.held()
    receiver.gate.clear()
    receiver.answer = lambda _received: BROKEN
    await slow.run_once()
    await eventually(lambda: receiver.received, why="it is on its way")
    post.world.pass_ms(LEASE_MS)
    async with receiving() as other:
        assert await post.send(await post.notifier({"name": "late", "url": other.url})) == 0
        assert len(other.received) == 1
    receiver.gate.set()
    await slow.settled(5)
    post.world.pass_ms(RETRY_CAP_MS)
    assert await post.send(slow) == 0
    assert (counted("late", "delivered"), counted("late", "late")) == (1, 1)


async def test_deliveries_outlive_the_notices_they_were_made_of(post: Post, receiver: Receiver) -> None:
    """The stream is trimmed; what was to be sent again is sent again."""
    service = await post.notifier({"name": "chat", "url": receiver.url}, chance=b"\x00")
    await post.world.held()
    receiver.answer = lambda _received: BROKEN
    await post.send(service)
    await post.world.scripts.command("XTRIM", key(TENANT, "notices"), "MAXLEN", 0)
    receiver.answer = lambda _received: OK
    assert await post.send(service) == 1
    await post.world.held()
    assert await post.send(service) == 1
    assert len(set(ids(receiver))) == 2


async def test_a_backlog_is_worked_off_without_waiting_for_the_next_look(
    post: Post, receiver: Receiver, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than a courier holds; the next look is a minute away."""
    monkeypatch.setattr(notify_service, "INTERVAL_S", 60)
    service = await post.notifier({"name": "chat", "url": receiver.url})
    for _ in range(3 * HELD_MAX):
        await post.world.held()
    await service.start()
    await eventually(lambda: len(receiver.received) == 3 * HELD_MAX, why="all came")


async def test_a_store_that_fails_after_the_delivery_costs_a_repeat_and_no_notice(
    post: Post, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At least once: nobody knows that it arrived, so it comes again under its id."""

    async def away(*_: object) -> bool:
        raise StateUnavailable

    service = await post.notifier({"name": "chat", "url": receiver.url})
    await post.world.held()
    with monkeypatch.context() as broken:
        broken.setattr(Notices, "done", away)
        assert await post.send(service) == 1
    assert await post.send(service) == 0
    post.world.pass_ms(LEASE_MS)
    assert (await post.send(service), await post.send(service)) == (1, 0)
    assert (len(receiver.received), len(set(ids(receiver)))) == (2, 1)


async def test_too_many_that_wait_are_dropped_and_counted(
    post: Post, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A webhook that is dead for long does not fill the store."""
    monkeypatch.setattr(notices, "WAITING_MAX", 3)
    service = await post.notifier({"name": "full", "url": receiver.url})
    receiver.answer = lambda _received: BROKEN
    for _ in range(5):
        await post.world.held()
    await post.send(service)
    assert counted("full", "dropped") == 2
    assert await post.world.scripts.command("ZCARD", key(TENANT, "webhook_due:full")) == 3


async def test_while_a_secret_changes_either_one_verifies(post: Post, receiver: Receiver) -> None:
    """Read at every attempt: no restart, and afterwards the old one is good for nothing."""
    service = await post.notifier({"name": "chat", "url": receiver.url})
    write_owned(post.folder / "secret", f"{OTHER_SECRET}\n{SECRET}\n".encode())
    await post.world.held()
    await post.send(service)
    write_owned(post.folder / "secret", OTHER_SECRET.encode())
    await post.world.held()
    await post.send(service)
    during, after = receiver.received
    for secret in (SECRET, OTHER_SECRET):
        verify_webhook(during.headers, during.body, secret, post.now_ms() / 1000)
    verify_webhook(after.headers, after.body, OTHER_SECRET, post.now_ms() / 1000)
    with pytest.raises(WebhookRefused, match="no signature fits"):
        verify_webhook(after.headers, after.body, SECRET, post.now_ms() / 1000)


async def test_a_secret_that_cannot_be_read_sends_nothing_and_loses_nothing(post: Post, receiver: Receiver) -> None:
    """Unsigned notices do not leave."""
    service = await post.notifier({"name": "chat", "url": receiver.url}, chance=b"\x00")
    (post.folder / "secret").chmod(0o644)
    await post.world.held()
    assert await post.send(service) == 1
    assert receiver.received == []
    (post.folder / "secret").chmod(0o600)
    assert await post.send(service) == 1
    assert len(receiver.received) == 1


async def test_a_redirect_is_not_followed(post: Post, receiver: Receiver) -> None:
    """An address is what the operator wrote, whatever a receiver says."""
    async with receiving() as elsewhere:
        head = f"HTTP/1.1 307 Temporary Redirect\r\nLocation: {elsewhere.url}\r\nContent-Length: 0\r\n\r\n".encode()
        service = await post.notifier({"name": "moved", "url": receiver.url})
        receiver.answer = lambda _received: head
        await post.world.held()
        await post.send(service)
        assert (len(receiver.received), elsewhere.received) == (1, [])
        assert counted("moved", "retried") == 1


async def test_an_answer_that_does_not_end_costs_its_time_and_no_more(post: Post, receiver: Receiver) -> None:
    """A receiver that hangs, and one that sends without end: the first is tried again, of the second only the status
    counts."""
    service = await post.notifier({"name": "slow", "url": receiver.url}, timeout_s=0.2)
    receiver.gate.clear()
    await post.world.held()
    await post.send(service)
    assert counted("slow", "retried") == 1
    receiver.gate.set()
    receiver.answer = lambda _received: b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n" + b"x" * 100_000
    post.world.pass_ms(RETRY_CAP_MS)
    await post.send(service)
    assert counted("slow", "delivered") == 1


async def test_nobody_listening_is_tried_again(post: Post, free_port: int) -> None:
    """A refused connection is one more failure."""
    service = await post.notifier({"name": "nobody", "url": f"http://127.0.0.1:{free_port}/"})
    await post.world.held()
    await post.send(service)
    assert counted("nobody", "retried") == 1


async def test_a_started_notifier_delivers_by_itself(post: Post, receiver: Receiver, eventually: Eventually) -> None:
    """And its last words arrive when it stops."""
    service = await post.notifier({"name": "chat", "url": receiver.url})
    await service.start()
    job = await post.world.held()
    await eventually(lambda: receiver.received, why="the notice came")
    assert json.loads(receiver.received[0].body)["job_id"] == job.job_id
    await service.stop()
