"""Standing grants in a real browser: proposed over a held job, completed by another, used, ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from playwright.async_api import expect

from support.api import ApiWorld
from support.holding import CAREFUL, careful, hold, publish_rules

SignIn = Callable[..., Awaitable[Any]]
DAY = "new Date(Date.now() + 3 * 864e5).toISOString().slice(0, 10)"


async def proposed(system: ApiWorld, sign_in: SignIn, tmp_path: Path, quorum: int) -> Any:
    """The page of a grant that was proposed for `env=test`, and not for its other label."""
    await publish_rules(system, tmp_path, careful(f"roles: [release-manager], quorum: {quorum}, grants: true"))
    job_id = await hold(system, topic=CAREFUL, labels={"env": "test", "ticket": "T-1"})
    page = await sign_in("approver", path=f"/approvals/{job_id}")
    await page.get_by_role("link", name="Propose a standing grant").click()
    await page.get_by_label("ticket = T-1").uncheck()
    await page.get_by_label("How many jobs at most").fill("2")
    await page.locator("#until").fill(await page.evaluate(DAY))
    await page.locator("#reason").fill("tests run all week")
    await page.get_by_role("button", name="Propose the grant").click()
    return page


async def test_a_grant_lets_the_next_job_of_its_kind_in(system: ApiWorld, sign_in: SignIn, tmp_path: Path) -> None:
    page = await proposed(system, sign_in, tmp_path, 1)
    await expect(page.locator("#notices")).to_contain_text("active")
    alike = await system.submit(topic=CAREFUL, labels={"env": "test", "ticket": "T-2"})
    assert alike.json()["state"] == "accepted", alike.text
    await hold(system, topic=CAREFUL, labels={"env": "prod"})
    await page.reload()
    await expect(page.locator(".held-marks")).to_contain_text("1 used, 1 left")
    await expect(page.get_by_role("link", name=alike.json()["job_id"])).to_be_visible()


async def test_where_the_rule_wants_two_a_second_person_gives_their_part(
    system: ApiWorld, sign_in: SignIn, tmp_path: Path
) -> None:
    page = await proposed(system, sign_in, tmp_path, 2)
    await expect(page.locator("#notices")).to_contain_text("1 more is needed")
    await expect(page.get_by_role("button", name="Approve the grant")).to_have_count(0)
    await hold(system, topic=CAREFUL, labels={"env": "test"})
    other = await sign_in("approver2", path="/grants")
    await other.locator(".row-open").click()
    await other.locator("#reason").fill("me too")
    await other.get_by_role("button", name="Approve the grant").click()
    await expect(other.locator("#notices")).to_contain_text("active")
    alike = await system.submit(topic=CAREFUL, labels={"env": "test"})
    assert alike.json()["state"] == "accepted", alike.text


async def test_a_grant_that_was_revoked_releases_nothing_more(
    system: ApiWorld, sign_in: SignIn, tmp_path: Path, complaints: list[str]
) -> None:
    page = await proposed(system, sign_in, tmp_path, 1)
    await page.get_by_role("button", name="Revoke").click()
    await expect(page.get_by_role("alert")).to_contain_text("A reason is needed")
    complaints.clear()
    await page.locator("#end-reason").fill("the week is over")
    await page.get_by_role("button", name="Revoke").click()
    await expect(page.locator("#notices")).to_contain_text("ended")
    await hold(system, topic=CAREFUL, labels={"env": "test"})


async def test_what_the_form_lacks_is_said_at_the_field(
    system: ApiWorld, sign_in: SignIn, tmp_path: Path, complaints: list[str]
) -> None:
    await publish_rules(system, tmp_path, careful("roles: [release-manager], grants: true"))
    job_id = await hold(system, topic=CAREFUL)
    page = await sign_in("approver", path=f"/grants/new?job_id={job_id}")
    await page.locator("#until").fill(await page.evaluate(DAY))
    await page.get_by_label("How many jobs at most").fill("0")
    await page.locator("#reason").fill("why not")
    await page.get_by_role("button", name="Propose the grant").click()
    await expect(page.locator("#uses_max")).to_have_attribute("aria-invalid", "true")
    await expect(page.locator("#uses_max-error")).to_be_visible()
    await expect(page.locator("#reason")).to_have_value("why not")
    complaints.clear()


async def test_a_delegation_is_given_and_revoked(system: ApiWorld, sign_in: SignIn, complaints: list[str]) -> None:
    page = await sign_in("approver", path="/delegations")
    await page.get_by_role("button", name="Delegate").click()
    await expect(page.get_by_role("alert")).to_be_visible()
    complaints.clear()
    await page.locator("#delegate").fill("approver2")
    await page.get_by_label("release-manager").check()
    await page.locator("#until").fill(await page.evaluate(DAY))
    await page.locator("#reason").fill("on leave")
    await page.get_by_role("button", name="Delegate").click()
    await expect(page.locator("main tbody tr")).to_contain_text("release-manager")
    await page.get_by_role("button", name="Revoke").click()
    await expect(page.locator("#notices")).to_contain_text("Revoked")
    await expect(page.locator("main tbody tr")).to_have_count(0)
