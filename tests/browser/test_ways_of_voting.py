"""Rules that each ask one more thing, as approvers see them: signatures, broken glass, time to read, severity."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest_asyncio
from playwright.async_api import expect

from support.api import ApiWorld
from support.servers import Servers
from support.voting import held, vote, voting

SignIn = Callable[..., Awaitable[Any]]


@pytest_asyncio.fixture(loop_scope="session")
async def system(servers: Servers, tmp_path: Path) -> AsyncIterator[ApiWorld]:
    """The rules and people of `support.voting`; `ada` has a key in the root."""
    async with voting(servers, tmp_path) as world:
        yield world


async def test_a_rule_for_signed_votes_shows_the_command_to_who_has_a_key(system: ApiWorld, sign_in: SignIn) -> None:
    """The others are told that none of theirs is known."""
    job_id = (await held(system, "signed"))["job_id"]
    page = await sign_in("ada", f"/approvals/{job_id}")
    await expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    await expect(page.locator(".command")).to_contain_text(f"holdgate approvals approve {job_id} --sign")
    await expect(page.get_by_role("button", name="Reject")).to_be_visible()
    other = await sign_in("bea", f"/approvals/{job_id}")
    await expect(other.locator(".decide")).to_contain_text("no key of yours is in the trust root")
    await expect(other.locator(".command")).to_have_count(0)


async def test_breaking_the_glass_does_not_get_round_a_signature(system: ApiWorld, sign_in: SignIn) -> None:
    """So it is not offered to who has no key in the root."""
    job_id = (await held(system, "signed"))["job_id"]
    page = await sign_in("glass1", f"/approvals/{job_id}")
    await expect(page.locator(".standing")).to_be_visible()
    await expect(page.locator(".glass")).to_have_count(0)


async def test_votes_and_broken_glass_are_counted_apart(system: ApiWorld, sign_in: SignIn) -> None:
    """In the queue and on the page; who broke it once is not offered it again, and the story tells what released it."""
    shown = await held(system, "pair")
    job_id = shown["job_id"]
    await vote(system, shown, "glass1", break_glass=True)
    await vote(system, shown, "bea")
    page = await sign_in("glass1", "/approvals")
    row = page.locator(f"#row-{job_id}")
    await expect(row.locator(".row-votes")).to_contain_text("1 of 2")
    await expect(row).to_contain_text("glass 1 of 2")
    await expect(row.locator(".row-which")).to_contain_text(job_id[-8:])
    await page.goto(f"/approvals/{job_id}")
    await expect(page.locator(".standing")).to_contain_text("1 of 2 for pair")
    await expect(page.locator(".standing")).to_contain_text("1 of 2 broke the glass")
    await expect(page.locator(".glass")).to_have_count(0)
    await vote(system, shown, "glass2", break_glass=True)
    await page.goto(f"/jobs/{job_id}")
    await expect(page.locator(".timeline")).to_contain_text("Released past the rules: the glass was broken by glass1")
    await expect(page.locator(".job-head")).to_contain_text("glass broken")


async def test_the_time_to_read_is_told_before_several_are_decided(system: ApiWorld, sign_in: SignIn) -> None:
    """And the button waits for it, as on the page of one."""
    jobs = [(await held(system, "read"))["job_id"] for _ in range(2)]
    page = await sign_in("bea", "/approvals")
    for job_id in jobs:
        await page.locator(f"#row-{job_id} input").check()
    await page.get_by_role("button", name="Decide selected").click()
    await expect(page.locator(".callout")).to_contain_text("gives 10 min to read each")
    await expect(page.get_by_role("button", name="Approve all 2")).to_have_attribute("aria-disabled", "true")
    await expect(page.locator(".countdown")).to_contain_text("min")


async def test_the_gravest_stand_first_on_request(system: ApiWorld, sign_in: SignIn) -> None:
    made = {name: (await held(system, name))["job_id"] for name in ("pair", "typed", "plain")}
    page = await sign_in("ada", "/approvals")
    await page.get_by_label("Order").select_option("gravest")
    await page.get_by_role("button", name="Filter").click()
    await page.wait_for_url("**order=gravest*")
    order = await page.locator("[data-job]").evaluate_all("rows => rows.map(row => row.dataset.job)")
    assert order == [made["typed"], made["plain"], made["pair"]]
