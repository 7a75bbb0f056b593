"""What is asked of the provider: a few questions at once, each short, and none that reads the authorities again."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from holdgate.scheduler.identity import providerhttp as module
from holdgate.scheduler.identity.providerhttp import AT_ONCE_MAX, ProviderHttp, ProviderUnavailable

Handler = Any


@pytest.fixture
def answered_by(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`answered_by(handler)`: every question goes to it and not over the network."""
    made = httpx.AsyncClient

    def answer(handler: Handler) -> None:
        monkeypatch.setattr(
            httpx, "AsyncClient", lambda **given: made(**{**given, "transport": httpx.MockTransport(handler)})
        )

    return answer


async def test_few_questions_are_under_way_at_once_and_all_are_answered(answered_by: Any) -> None:
    """Who waits is served when somebody else was: nobody is refused for the number of the others."""
    under_way, may_end = 0, asyncio.Event()

    async def slow(_request: httpx.Request) -> httpx.Response:
        nonlocal under_way
        under_way += 1
        await may_end.wait()
        return httpx.Response(200, json={})

    answered_by(slow)
    http = ProviderHttp()
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(http.fetch("https://provider.example/")) for _ in range(AT_ONCE_MAX * 3)]
        for _ in range(1000):  # turns of the loop: whoever can go on has done so
            await asyncio.sleep(0)
        assert under_way == AT_ONCE_MAX
        may_end.set()
    assert [task.result() for task in asked] == [{}] * AT_ONCE_MAX * 3


async def test_the_authorities_are_read_once(answered_by: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes a tenth of a second in which the whole process stands still."""
    made: list[object] = []
    create = httpx.create_ssl_context
    monkeypatch.setattr(httpx, "create_ssl_context", lambda **given: made.append(given) or create(**given))
    answered_by(lambda _request: httpx.Response(200, json={}))
    http = ProviderHttp()
    for _ in range(3):
        await http.fetch("https://provider.example/")
    assert len(made) == 1


@pytest.mark.parametrize(
    "reply",
    [
        httpx.Response(500, json={}),
        httpx.Response(302, json={}, headers={"location": "https://evil.example/"}),
        httpx.Response(200, json=[]),
        httpx.Response(200, text="{"),
        httpx.Response(200, text="[" * 100_000),
        httpx.Response(200, text='{"a": "' + "x" * module.REPLY_BYTES_MAX + '"}'),
    ],
    ids=["failed", "redirect", "no object", "no json", "too deep", "too long"],
)
async def test_what_is_no_answer_is_a_provider_that_is_away(answered_by: Any, reply: httpx.Response) -> None:
    answered_by(lambda _request: reply)
    with pytest.raises(ProviderUnavailable):
        await ProviderHttp().fetch("https://provider.example/")


async def test_an_answer_that_never_comes_whole_is_not_waited_for(
    answered_by: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time is that of the whole question, not that between two bytes."""
    monkeypatch.setattr(module, "TIMEOUT_S", 0.05)
    never = asyncio.Event()

    async def stuck(_request: httpx.Request) -> httpx.Response:
        await never.wait()
        raise AssertionError

    answered_by(stuck)
    with pytest.raises(ProviderUnavailable):
        await asyncio.wait_for(ProviderHttp().fetch("https://provider.example/"), 2)
