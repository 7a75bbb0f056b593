"""Documents as large as a submitter can make them: pages stay small, and say what they do not show.

Measured is how much a page asks for, parses and sends, not how long that takes: time is the machine's.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from holdgate.scheduler.console import content, visit
from holdgate.scheduler.console.tree import LINES_MAX
from holdgate.scheduler.state.transitions import State
from support.api import ApiWorld
from support.held import DEPLOY
from support.running import Runner
from support.visiting import act, signed_in

PAGE_BYTES_MAX = 1_500_000
LARGE = 30_000
"""Keys that are more than is shown, or searched for secrets, of one document."""
TURNED_ROUND = {"a": "\u202e" * 2_600_000}
MEDIUM_TEXT = {"a": "\u202e" * 40_000}
MEDIUM_KEYS = {f"k{number}": {"z": [number]} for number in range(4_000)}


@functools.cache
def many_keys(count: int = 300_000) -> dict[str, Any]:
    """Made for those who run its tests, not for everybody who collects them."""
    return {f"k{number}": {"z": [number]} for number in range(count)}


async def held_id(api: ApiWorld, payload: Any) -> str:
    """A held job; `payload` may be megabytes, so nobody reads it back."""
    reply = await api.submit(**{**DEPLOY, "payload": payload})
    assert reply.json().get("state") == "held", reply.text
    return str(reply.json()["job_id"])


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How long each reply was that a page parsed."""
    lengths: list[int] = []

    def loads(text: bytes) -> Any:
        lengths.append(len(text))
        return json.loads(text)

    monkeypatch.setattr(visit, "json", SimpleNamespace(loads=loads))
    return lengths


@pytest.mark.parametrize("made", [many_keys, TURNED_ROUND.copy], ids=["keys", "bidi"])
async def test_a_payload_that_is_too_large_is_told_of_with_the_command_that_shows_it(
    api: ApiWorld, parsed: list[int], made: Callable[[], Any]
) -> None:
    job_id = await held_id(api, made())
    browser = await signed_in(api, "approver")
    for path in (f"/approvals/{job_id}", f"/approvals/{job_id}?lines=5000", f"/grants/new?job_id={job_id}"):
        page = await browser.get(path)
        assert page.status_code == 200, page.text[-500:]
        assert len(page.content) < 100_000
    held = await browser.get(f"/approvals/{job_id}")
    assert f"holdgate approvals show {job_id} --reveal --json" in held.text
    assert "too large to be shown here" in held.text
    assert max(parsed) < visit.PARSE_INLINE_BYTES_MAX


async def test_what_is_revealed_is_bounded_too(api: ApiWorld, parsed: list[int]) -> None:
    job_id = await held_id(api, TURNED_ROUND)
    page = await act(await signed_in(api, "approver"), f"/approvals/{job_id}/reveal")
    assert (page.status_code, len(page.content) < 100_000) == (200, True)
    assert max(parsed) < visit.PARSE_INLINE_BYTES_MAX
    events = (await api.client("auditor").get("/api/v1/audit/events?limit=200")).json()["items"]
    assert [event["actor"] for event in events if event["type"] == "approval.revealed"] == ["approver"]


@pytest.mark.parametrize("payload", [MEDIUM_TEXT, MEDIUM_KEYS], ids=["bidi", "keys"])
async def test_a_page_shows_the_beginning_of_a_long_document_and_says_so(api: ApiWorld, payload: Any) -> None:
    job_id = await held_id(api, payload)
    browser = await signed_in(api, "approver")
    for path, lines in ((f"/approvals/{job_id}", LINES_MAX), (f"/approvals/{job_id}?lines=99999", 2000)):
        page = await browser.get(path)
        assert len(page.content) < PAGE_BYTES_MAX
        assert page.text.count('<li class="in-') <= lines
        assert "Not all of it is shown here" in page.text


async def test_many_large_jobs_in_one_act_are_fetched_a_few_at_a_time_within_one_bound(
    api: ApiWorld, parsed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [await held_id(api, {**many_keys(LARGE), "n": number}) for number in range(6)]
    rows = (await api.client("approver").get("/api/v1/approvals?limit=100")).json()["items"]
    under_way, most, kept = 0, 0, content.masked_of

    async def counted(*arguments: Any) -> Any:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        try:
            return await kept(*arguments)
        finally:
            under_way -= 1

    monkeypatch.setattr(content, "masked_of", counted)
    browser = await signed_in(api, "approver")
    picked = {f"pick-{row['job_id']}": f"{row['job_hash']} {row['snapshot']}" for row in rows}
    assert set(picked) == {f"pick-{job_id}" for job_id in jobs}
    page = await act(browser, "/approvals/selected", **picked)
    assert page.status_code == 200, page.text
    assert (page.text.count('class="card"') >= 6, len(page.content) < 100_000) == (True, True)
    assert page.text.count("Its payload is not shown here") == 6
    assert most <= content.PICKED_AT_ONCE
    assert sum(parsed) < 200_000


async def test_payloads_of_all_that_were_picked_are_bounded_together(
    api: ApiWorld, parsed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "ALL_PICKED_BYTES_MAX", 100_000)
    await asyncio.gather(*(held_id(api, {"text": "x" * 15_000, "n": number}) for number in range(20)))
    rows = (await api.client("approver").get("/api/v1/approvals?limit=100")).json()["items"]
    picked = {f"pick-{row['job_id']}": f"{row['job_hash']} {row['snapshot']}" for row in rows}
    page = await act(await signed_in(api, "approver"), "/approvals/selected", **picked)
    shown, not_shown = page.text.count("<summary>Payload"), page.text.count("Its payload is not shown here")
    assert (shown + not_shown, 0 < shown <= 6) == (20, True)


async def test_an_altered_job_among_those_picked_is_named_and_not_decided(api: ApiWorld) -> None:
    jobs = [await held_id(api, {"cmd": f"rm -rf /{number}"}) for number in range(2)]
    rows = (await api.client("approver").get("/api/v1/approvals?limit=100")).json()["items"]
    await api.scripts.command("HSET", f"hg:{{default}}:job:{jobs[0]}", "payload", b'{"cmd":"ls"}')
    picked = {f"pick-{row['job_id']}": f"{row['job_hash']} {row['snapshot']}" for row in rows}
    page = await act(await signed_in(api, "approver"), "/approvals/selected", **picked)
    assert f"What is stored of {jobs[0]} was altered" in page.text
    assert (f'name="pick-{jobs[0]}"' in page.text, f'name="pick-{jobs[1]}"' in page.text) == (False, True)


async def test_a_payload_too_large_to_be_searched_is_not_masked_by_the_api_either(api: ApiWorld) -> None:
    """Searching it would hold up everybody else."""
    job_id = await held_id(api, many_keys())
    told = (await api.client("approver").get(f"/api/v1/approvals/{job_id}/masked")).json()
    assert (told["payload_left_out"], told["shown"]["payload"], told["shown"]["labels"]) == (
        True,
        None,
        DEPLOY["labels"],
    )


async def test_a_result_that_is_too_large_is_told_of_with_the_command_that_shows_it(
    api: ApiWorld, parsed: list[int]
) -> None:
    runner, job_id = Runner(api), str((await api.submit()).json()["job_id"])
    await runner.start(job_id)
    value = json.dumps(many_keys()).encode()
    logs = tuple("\u202e" * 2_000 for _ in range(600))
    await runner.finish(job_id, State.SUCCEEDED, ref=await api.deps.payloads.put(value), logs=logs)
    page = await (await signed_in(api, "operator")).get(f"/jobs/{job_id}")
    assert (page.status_code, "too large to be shown here" in page.text) == (200, True)
    assert (f"holdgate jobs result {job_id}" in page.text, len(page.content) < PAGE_BYTES_MAX) == (True, True)
    assert max(parsed) < len(value)
