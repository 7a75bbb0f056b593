"""What callers hear of a Redis that does not answer."""

from __future__ import annotations

import asyncio

import pytest
import redis.exceptions

from holdgate.scheduler.errors import StateUnavailable
from holdgate.scheduler.state.address import Endpoint, RedisAddress
from holdgate.scheduler.state.lanes import Wire, _said, packed


async def test_one_that_hangs_is_told_with_what_to_do_and_without_names_of_classes() -> None:
    """What was asked may have been stored: the same key makes a repeat safe."""

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        wire = Wire(Endpoint("127.0.0.1", port), RedisAddress.parse(f"redis://127.0.0.1:{port}/0"), timeout_s=0.2)
        with pytest.raises(StateUnavailable) as refused:
            await wire.exchange(packed(("PING",)), 1)
        await wire.drop()
    assert "may or may not have happened" in str(refused.value)
    assert "`Idempotency-Key`" in str(refused.value)
    assert "Error" not in str(refused.value)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (TimeoutError(), "in time"),
        (redis.exceptions.TimeoutError(), "in time"),
        (redis.exceptions.AuthenticationError("WRONGPASS"), "refused the login"),
        (redis.exceptions.ConnectionError("reset"), "cannot be reached"),
        (ConnectionResetError(), "cannot be reached"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_what_went_wrong_is_said_in_words(error: Exception, says: str) -> None:
    assert says in _said(error)
    assert type(error).__name__ not in _said(error)
