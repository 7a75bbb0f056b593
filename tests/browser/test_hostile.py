"""What a submitter or another person writes is text on every page: nothing of it runs, asks or becomes an element."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest_asyncio
from playwright.async_api import expect

from support.api import ApiWorld
from support.holding import CAREFUL, careful, hold, publish_rules

HOST = "127.0.0.1"
SignIn = Callable[..., Awaitable[Any]]
ATTACKS = (
    "<script>window.hit=1;alert(1)</script>",
    '"><img src=x onerror="window.hit=1;alert(1)">',
    "'><svg/onload=window.hit=1>",
    "javascript:window.hit=1",
    "{{7*7}}{% include 'base.html' %}",
    '" hx-get="/api/v1/status" hx-trigger="load" data-x="',
    "</textarea></pre></details></main><h1 id=planted>planted</h1>",
    "<!--<a id=planted href=javascript:window.hit=1>",
    "\u202egnp.exe\u2066\u200b\u00ad",
    "</title><base href=https://evil.example/>",
)
WHOLE = " ".join(ATTACKS)
FOREIGN = (
    "main script, main img, main svg[onload], main base, #planted, main [hx-get], main [onerror], "
    "main [onload], main a[href^='javascript:'], main iframe"
)
LABEL = "a" * 60 + "/x:@+-._"


@pytest_asyncio.fixture(loop_scope="session")
async def hostile(system: ApiWorld, tmp_path: Path) -> str:
    """A held job with hostile text wherever a submitter may write any, and in a vote's reason."""
    await publish_rules(system, tmp_path, careful("roles: [release-manager], quorum: 2, grants: true"))
    job_id = await hold(
        system,
        topic=CAREFUL,
        prompt=WHOLE,
        payload={attack: [attack, {attack: attack}] for attack in ATTACKS},
        labels={LABEL: "x", **{f"label-{n}": _printable(attack) for n, attack in enumerate(ATTACKS)}},
        capability="a.b:c/d@e+f",
        risk_tags=["x.y:z/w@v+u"],
    )
    client = system.client("approver2")
    seen = (await client.get(f"/api/v1/approvals/{job_id}")).json()
    body = {"job_hash": seen["job_hash"], "snapshot": seen["snapshot"], "reason": WHOLE[:1000]}
    reply = await client.post(f"/api/v1/approvals/{job_id}/approve", json=body)
    assert reply.json()["status"] == "pending", reply.text
    return job_id


async def test_a_held_job_shows_hostile_text_as_text(hostile: str, sign_in: SignIn) -> None:
    page = await watched(sign_in)
    await page.goto(f"/approvals/{hostile}")
    await page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true })")
    for attack in ATTACKS[:8]:
        await expect(page.locator(".untrusted-block").first).to_contain_text(attack)
        await expect(page.locator(".lines")).to_contain_text(attack)
    await expect(page.locator(".lines")).to_contain_text("[U+202E]gnp.exe[U+2066][U+200B]")
    await expect(page.locator(".votes")).to_contain_text("<script>")
    await nothing_happened(page)


async def test_the_queue_and_a_choice_of_several_show_it_as_text(hostile: str, sign_in: SignIn) -> None:
    page = await watched(sign_in)
    await page.goto("/approvals")
    await nothing_happened(page)
    await page.locator(f"#row-{hostile} input").check()
    await page.get_by_role("button", name="Decide selected").click()
    await page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true })")
    await expect(page.locator(".picked")).to_contain_text("javascript:window.hit=1")
    await nothing_happened(page)


async def test_what_was_typed_comes_back_as_text(hostile: str, sign_in: SignIn, complaints: list[str]) -> None:
    """After a refused vote the page is made anew, with what the form held."""
    page = await watched(sign_in)
    await page.goto(f"/approvals/{hostile}")
    await page.locator("#reason").fill(WHOLE[:900])
    await page.locator("form[data-decide] input[name=snapshot]").evaluate("field => { field.value = 'sha256:0' }")
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("alert")).to_be_visible()
    await expect(page.locator("#reason")).to_have_value(WHOLE[:900])
    complaints.clear()
    await nothing_happened(page)


async def test_a_grant_shows_it_as_text(hostile: str, sign_in: SignIn) -> None:
    page = await watched(sign_in)
    await page.goto(f"/grants/new?job_id={hostile}")
    await nothing_happened(page)
    await page.locator("#until").fill(
        await page.evaluate("new Date(Date.now() + 3 * 864e5).toISOString().slice(0, 10)")
    )
    await page.locator("#reason").fill(WHOLE[:1000])
    await page.get_by_role("button", name="Propose the grant").click()
    await expect(page.locator("#notices")).to_contain_text("1 more is needed")
    await expect(page.locator(".votes").first).to_contain_text("<script>")
    await nothing_happened(page)


async def test_filters_come_back_as_text(sign_in: SignIn, system: ApiWorld) -> None:
    page = await watched(sign_in)
    for attack in ATTACKS[:8]:
        await page.goto(f"/approvals?{await page.evaluate('text => new URLSearchParams({topic: text})+``', attack)}")
        await expect(page.locator("#filter-topic")).to_have_value(attack)
        await nothing_happened(page)


async def watched(sign_in: SignIn) -> Any:
    """A page of an approver on which a dialog would fail the test."""
    page = await sign_in("approver")
    page.hit = []
    page.on("dialog", lambda dialog: page.hit.append(dialog.message))
    page.on("request", lambda request: page.hit.append(request.url) if urlsplit(request.url).hostname != HOST else None)
    return page


async def nothing_happened(page: Any) -> None:
    """No dialog, no request elsewhere, no element of theirs; violations of the policy fail in `sign_in`."""
    assert page.hit == []
    assert await page.evaluate("window.hit") is None
    assert await page.locator(FOREIGN).count() == 0


def _printable(attack: str) -> str:
    """As far as a label may hold it."""
    return "".join(character for character in attack if character.isprintable())[:200]
