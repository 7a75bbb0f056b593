"""Reading batches from a real stream: nothing that arrived is ever dropped."""

from __future__ import annotations

import asyncio

import pytest
from nats.aio.client import Client as Nats
from nats.js.api import ConsumerConfig, StreamConfig

from holdgate.scheduler.errors import LogUnavailable
from holdgate.scheduler.state.pull import PullReader
from support.waiting import eventually


@pytest.fixture
async def stream(nc: Nats) -> str:
    js = nc.jetstream()
    await js.add_stream(StreamConfig(name="WORK", subjects=["work.*"]))
    await js.add_consumer("WORK", ConsumerConfig(durable_name="reader", ack_wait=60, max_ack_pending=10_000))
    return "WORK"


async def publish(nc: Nats, first: int, count: int) -> None:
    for number in range(first, first + count):
        await nc.publish("work.x", str(number).encode())
    await nc.flush()


async def read(reader: PullReader, count: int) -> list[int]:
    seen: list[int] = []
    async with asyncio.timeout(20):
        while len(seen) < count:
            for message in await reader.fetch():
                seen.append(int(message.data))
                await message.ack()
    return seen


async def test_everything_is_read_once_while_it_trickles_in(nc: Nats, stream: str) -> None:
    reader = PullReader(nc, stream, "reader", batch=64, wait_s=0.4)

    async def trickle() -> None:
        for step in range(40):
            await publish(nc, step * 25, 25)
            await asyncio.sleep(0.01 * (step % 5))

    task = asyncio.create_task(trickle())
    assert await read(reader, 1000) == list(range(1000))
    await task
    assert await reader.fetch() == []
    await reader.unbind()


async def test_batches_are_bounded(nc: Nats, stream: str) -> None:
    await publish(nc, 0, 50)
    reader = PullReader(nc, stream, "reader", batch=8)
    seen = 0
    while seen < 50:
        messages = await reader.fetch()
        assert 1 <= len(messages) <= 8
        seen += len(messages)
    await reader.unbind()


async def test_a_request_brings_no_more_bytes_than_asked_for(nc: Nats, stream: str) -> None:
    for _ in range(20):
        await nc.publish("work.x", b"x" * 10_000)
    await nc.flush()
    reader = PullReader(nc, stream, "reader", batch=20, bytes_max=32_000)
    seen = 0
    while seen < 20:
        messages = await reader.fetch()
        seen += len(messages)
        info = await nc.jetstream().consumer_info(stream, "reader")
        assert 1 <= (info.num_ack_pending or 0) <= 3
        for message in messages:
            await message.ack_sync()
    await reader.unbind()


async def test_what_arrived_and_was_not_fetched_goes_back_at_once(nc: Nats, stream: str) -> None:
    await publish(nc, 0, 10)
    first = PullReader(nc, stream, "reader", batch=10)
    (message, *_) = await first.fetch()
    await message.ack()
    await first.unbind()
    await publish(nc, 10, 5)
    second = PullReader(nc, stream, "reader", batch=10, wait_s=1)
    taken = await read(second, 5)
    assert set(taken) >= {10, 11, 12, 13, 14}
    await second.unbind()


async def test_a_reader_that_closes_gives_back_what_came_and_what_is_on_its_way(nc: Nats, stream: str) -> None:
    """Or each restart of a process would hold up a few hundred jobs until their acknowledgement time is over."""
    first, second = (PullReader(nc, stream, "reader", batch=200, wait_s=20) for _ in range(2))
    fetching = asyncio.create_task(first.fetch())
    await asyncio.sleep(0)
    await publish(nc, 0, 1)
    (message,) = await fetching
    await message.ack()
    await publish(nc, 1, 199)  # asked for by the first reader; some reached it, some did not
    assert await eventually(lambda: len(first.arrived()) > 0)
    await first.close()
    assert first.arrived() == ()
    assert set(await read(second, 199)) == set(range(1, 200))
    await second.close()


async def test_a_reader_that_closes_ends_the_fetch_under_way(nc: Nats, stream: str) -> None:
    """And reads again when it is asked again."""
    reader = PullReader(nc, stream, "reader", wait_s=20)
    waiting = asyncio.create_task(reader.fetch())
    await asyncio.sleep(0)
    await reader.close()
    async with asyncio.timeout(5):
        assert await waiting == []
    await publish(nc, 0, 3)
    assert await read(reader, 3) == [0, 1, 2]
    await reader.close()


async def test_a_missing_consumer_is_an_error_and_not_silence(nc: Nats, stream: str) -> None:
    reader = PullReader(nc, stream, "nobody", wait_s=0.5)
    with pytest.raises(LogUnavailable):
        await read(reader, 1)


async def test_reading_goes_on_after_the_consumer_was_away(nc: Nats, stream: str) -> None:
    reader = PullReader(nc, stream, "reader", wait_s=0.5)
    assert await reader.fetch() == []
    await nc.jetstream().delete_consumer(stream, "reader")
    with pytest.raises(LogUnavailable):
        await read(reader, 1)
    await nc.jetstream().add_consumer(stream, ConsumerConfig(durable_name="reader"))
    await publish(nc, 0, 3)
    assert await read(reader, 3) == [0, 1, 2]
    await reader.unbind()


async def test_a_publisher_cannot_pass_a_message_off_as_a_word_of_the_server(nc: Nats, stream: str) -> None:
    js = nc.jetstream()
    await js.delete_consumer(stream, "reader")
    await js.add_consumer(stream, ConsumerConfig(durable_name="reader", headers_only=True))
    await nc.publish("work.x", b"", headers={"Status": "409", "Description": "Consumer Deleted"})
    await publish(nc, 0, 1)
    reader = PullReader(nc, stream, "reader", wait_s=1)
    seen = 0
    while seen < 2:
        messages = await reader.fetch()
        assert messages
        seen += len(messages)
    await reader.unbind()
