"""A held job's page: what it says, and the decision, in a real browser."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from support.api import ApiWorld
from support.holding import CAREFUL, RULE, add_people, careful, hold, job_state, publish_rules
from support.secrets import Secrets

SignIn = Callable[..., Awaitable[Any]]


async def opened(sign_in: SignIn, job_id: str, who: str = "approver") -> Any:
    """The page of a held job."""
    return await sign_in(who, path=f"/approvals/{job_id}")


async def test_it_says_in_one_sentence_what_will_happen_and_why_it_waits(system: ApiWorld, sign_in: SignIn) -> None:
    job_id = await hold(system, "helper", prompt="ship it", payload={"image": "v2", "count": 3})
    page = await opened(sign_in, job_id, "approver2")
    sentence = " ".join((await page.locator("h1").inner_text()).split())
    assert sentence == "Agent helper wants to run job.deploy.apply on behalf of approver"
    await expect(page.locator(".held-why")).to_contain_text(
        "Held by require-approval-prod-write: human review required for prod write"
    )
    await expect(page.locator(".rule-text")).to_contain_text("decision: require_approval")
    await expect(page.locator("#why ~ article .hint").first).to_contain_text("signed by author")
    await expect(page.locator(".lines")).to_contain_text("image v2")


async def test_approve_releases_it_and_goes_on_to_the_next(system: ApiWorld, sign_in: SignIn) -> None:
    first, second = await hold(system), await hold(system)
    page = await sign_in("approver", path="/approvals?order=newest")
    assert await page.locator("[data-job]").evaluate_all("rows => rows.map(row => row.dataset.job)") == [second, first]
    await page.locator(f"#row-{second} .row-open").click()
    await page.get_by_label("Reason", exact=True).first.fill("the release of this week")
    await page.get_by_role("button", name="Approve").click()
    await expect(page.locator("#notices")).to_contain_text("Released")
    assert await job_state(system, second) == "queued"
    await expect(page.locator(f"#row-{first} .row-open")).to_be_focused()
    votes = (await system.client("approver").get(f"/api/v1/approvals/{second}")).json()["votes"]
    assert [(vote["approver"], vote["reason"]) for vote in votes] == [("approver", "the release of this week")]


async def test_reject_with_a_reason_ends_it(system: ApiWorld, sign_in: SignIn) -> None:
    job_id = await hold(system)
    page = await opened(sign_in, job_id)
    await page.locator("#reason").fill("not on a Friday")
    await page.get_by_role("button", name="Reject").click()
    await expect(page.locator("#notices")).to_contain_text("Rejected")
    assert await job_state(system, job_id) == "denied"


@pytest.mark.parametrize("verdict", ["Approve", "Reject"])
async def test_without_a_reason_nothing_is_decided_and_the_field_says_so(
    system: ApiWorld, sign_in: SignIn, complaints: list[str], verdict: str
) -> None:
    job_id = await hold(system)
    page = await opened(sign_in, job_id)
    await page.locator("#reason").fill("   ")
    await page.get_by_role("button", name=verdict).click()
    await expect(page.get_by_role("alert")).to_contain_text("A reason is needed")
    reason = page.locator("#reason")
    await expect(reason).to_have_attribute("aria-invalid", "true")
    assert "reason-error" in (await reason.get_attribute("aria-describedby") or "").split()
    assert await job_state(system, job_id) == "held"
    complaints.clear()


async def test_defer_puts_it_at_the_end_of_the_queue(system: ApiWorld, sign_in: SignIn) -> None:
    first, second = await hold(system), await hold(system)
    page = await opened(sign_in, first)
    await page.get_by_text("Decide later").click()
    await page.locator("#later-reason").fill("waiting for the change board")
    await page.get_by_role("button", name="Defer").click()
    await expect(page.locator("#notices")).to_contain_text("Deferred until")
    rows = await page.locator("[data-job]").evaluate_all("rows => rows.map(row => row.dataset.job)")
    assert rows == [second, first]
    await expect(page.locator(f"#row-{first}")).to_contain_text("deferred")


async def test_a_policy_that_changed_meanwhile_is_shown_before_it_counts(
    system: ApiWorld, sign_in: SignIn, tmp_path: Path, complaints: list[str]
) -> None:
    """Nothing is decided on what was shown before; the page tells what is other now."""
    await publish_rules(system, tmp_path, careful("roles: [release-manager]"))
    job_id = await hold(system, topic=CAREFUL)
    page = await opened(sign_in, job_id)
    await publish_rules(system, tmp_path, careful("roles: [release-manager], quorum: 2", reason="two look now"), 2)
    await page.locator("#reason").fill("looks fine")
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("alert")).to_contain_text("The policy changed while you looked")
    assert await job_state(system, job_id) == "held"
    assert (await system.client("approver").get(f"/api/v1/approvals/{job_id}")).json()["votes"] == []
    changed = page.locator("table.diff")
    await expect(changed).to_contain_text("two look now")
    await expect(changed.locator("tr", has_text=f"{RULE}: votes needed")).to_contain_text("2")
    await expect(page.locator("#reason")).to_have_value("looks fine")
    complaints.clear()


async def test_a_vote_is_about_what_the_page_showed_and_not_about_what_holds_by_now(
    system: ApiWorld, sign_in: SignIn, tmp_path: Path, complaints: list[str]
) -> None:
    """Somebody else's try had it decided again already: the page that is open still shows the round before."""
    await publish_rules(system, tmp_path, careful())
    job_id = await hold(system, topic=CAREFUL)
    page = await opened(sign_in, job_id)
    other = system.client("approver2")
    seen = (await other.get(f"/api/v1/approvals/{job_id}")).json()
    await publish_rules(system, tmp_path, careful(reason="another reason"), 2)
    body = {"job_hash": seen["job_hash"], "snapshot": seen["snapshot"], "reason": "too late"}
    assert (await other.post(f"/api/v1/approvals/{job_id}/approve", json=body)).status_code == 409
    await page.locator("#reason").fill("as shown")
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("alert")).to_contain_text("The policy changed while you looked")
    assert await job_state(system, job_id) == "held"
    complaints.clear()


async def test_a_yes_is_given_again_in_one_click_where_nothing_that_matters_changed(
    system: ApiWorld, sign_in: SignIn, tmp_path: Path, complaints: list[str]
) -> None:
    """Never by itself: the vote of before does not count until its voter says so."""
    await publish_rules(system, tmp_path, careful("roles: [release-manager], quorum: 2"))
    job_id = await hold(system, topic=CAREFUL)
    page = await opened(sign_in, job_id)
    await page.locator("#reason").fill("as planned")
    await page.get_by_role("button", name="Approve").click()
    await expect(page.locator("#notices")).to_contain_text("1 more is needed")
    other = '  - {id: other, decision: allow, reason: fine, match: {topics: ["job.other.x"]}}\n'
    await publish_rules(system, tmp_path, careful("roles: [release-manager], quorum: 2") + other, 2)
    second = await opened(sign_in, job_id, "approver2")
    await second.locator("#reason").fill("me too")
    await second.get_by_role("button", name="Approve").click()
    await expect(second.get_by_role("alert")).to_contain_text("The policy changed")
    await expect(second.get_by_role("button", name="Confirm again")).to_have_count(0)
    await page.goto(f"/approvals/{job_id}")
    await expect(page.locator(".standing")).to_contain_text("0 of 2")
    await page.get_by_role("button", name="Confirm again").click()
    await expect(page.locator("#notices")).to_contain_text("1 more is needed")
    (vote,) = (await system.client("approver").get(f"/api/v1/approvals/{job_id}")).json()["votes"]
    assert (vote["approver"], vote["reason"]) == ("approver", "as planned")
    complaints.clear()


async def test_the_text_that_a_rule_wants_typed_must_be_typed(
    system: ApiWorld, sign_in: SignIn, tmp_path: Path, complaints: list[str]
) -> None:
    await publish_rules(system, tmp_path, careful('roles: [release-manager], confirm: "drop the table"'))
    job_id = await hold(system, topic=CAREFUL)
    page = await opened(sign_in, job_id)
    await page.locator("#reason").fill("agreed with the owner")
    await page.locator("#confirm").fill("drop a table")
    await page.get_by_role("button", name="Approve").click()
    await expect(page.locator("#confirm")).to_have_attribute("aria-invalid", "true")
    assert await job_state(system, job_id) == "held"
    complaints.clear()
    await page.locator("#confirm").fill("drop the table")
    await page.get_by_role("button", name="Approve").click()
    await expect(page.locator("#notices")).to_contain_text("Released")


async def test_time_to_read_counts_down_and_the_server_has_the_say(
    system: ApiWorld, sign_in: SignIn, tmp_path: Path, complaints: list[str]
) -> None:
    """The button waits; who gets around it is told to read on, and a rejection never waits."""
    await publish_rules(system, tmp_path, careful("roles: [release-manager], read_for: 1h"))
    job_id = await hold(system, topic=CAREFUL)
    page = await opened(sign_in, job_id)
    approve = page.get_by_role("button", name="Approve")
    await expect(approve).to_have_attribute("aria-disabled", "true")
    await expect(page.locator(".countdown")).to_contain_text("in ")
    await page.locator("#reason").fill("quick")
    await approve.click(force=True)
    await expect(page.locator("#problem")).to_have_count(0)
    await approve.evaluate("button => button.form.requestSubmit(Object.assign(button, {ariaDisabled: null}))")
    await expect(page.get_by_role("alert")).to_contain_text("not enough time")
    assert await job_state(system, job_id) == "held"
    complaints.clear()
    await page.get_by_role("button", name="Reject").click()
    await expect(page.locator("#notices")).to_contain_text("Rejected")


async def test_two_break_the_glass_and_it_takes_a_click_to_see_how(
    system: ApiWorld, sign_in: SignIn, tmp_path: Path
) -> None:
    await publish_rules(system, tmp_path, careful("names: [nobody-there]"))
    job_id = await hold(system, topic=CAREFUL)
    people = dict.fromkeys(("gina", "gert"), ("approver", "break_glass"))
    await add_people(system, people)
    for name in people:
        page = await opened(sign_in, job_id, name)
        await expect(page.get_by_role("button", name="Break the glass")).to_be_hidden()
        await page.locator(".glass summary").click()
        await page.locator("#glass-reason").fill("the site is down")
        await page.get_by_role("button", name="Break the glass").click()
        await expect(page.locator("#notices")).to_contain_text("1 more" if name == "gina" else "Released")
    assert await job_state(system, job_id) == "queued"
    await page.goto(f"/approvals/{job_id}")
    await expect(page.locator(".votes")).to_contain_text("broke the glass")


async def test_nobody_is_offered_to_decide_on_their_own(system: ApiWorld, sign_in: SignIn) -> None:
    job_id = await hold(system, "helper")  # acts for `approver`
    page = await opened(sign_in, job_id)
    await expect(page.locator(".decide")).to_contain_text("You cannot decide on this one")
    await expect(page.get_by_role("button", name="Approve")).to_have_count(0)


async def test_what_happened_to_similar_jobs_is_shown(system: ApiWorld, sign_in: SignIn) -> None:
    before, now = await hold(system), await hold(system)
    page = await opened(sign_in, before, "approver2")
    await page.locator("#reason").fill("not before the backup")
    await page.get_by_role("button", name="Reject").click()
    await page.goto(f"/approvals/{now}")
    past = page.locator("section[aria-labelledby=similar]")
    await expect(past).to_contain_text("rejected")
    await expect(past).to_contain_text("by approver2")
    await expect(past).to_contain_text("not before the backup")


async def test_secrets_are_shown_on_request_and_the_request_is_recorded(system: ApiWorld, sign_in: SignIn) -> None:
    secret = Secrets().github()
    job_id = await hold(system, payload={"token": secret})
    page = await opened(sign_in, job_id)
    assert secret not in await page.content()
    await expect(page.locator(".lines")).to_contain_text("[redacted:secret:")
    await page.get_by_role("button", name="Show 1 masked secret").click()
    await expect(page.locator(".lines")).to_contain_text(secret)
    events = (await system.client("auditor").get("/api/v1/audit/events?limit=200")).json()["items"]
    assert [event["actor"] for event in events if event["type"] == "approval.revealed"] == ["approver"]


async def test_a_vote_for_somebody_else_counts_as_theirs(system: ApiWorld, sign_in: SignIn, tmp_path: Path) -> None:
    await publish_rules(system, tmp_path, careful("names: [approver]"))
    job_id = await hold(system, topic=CAREFUL)
    giver = await sign_in("approver", path="/delegations")
    await giver.get_by_label("Person, by the name they sign in with").fill("approver2")
    await giver.get_by_label("release-manager").check()
    await giver.locator("#until").fill(await _day(giver, 3))
    await giver.get_by_label("Reason").fill("on leave")
    await giver.get_by_role("button", name="Delegate").click()
    await expect(giver.locator("#notices")).to_contain_text("approver2 may vote for you")
    page = await opened(sign_in, job_id, "approver2")
    await page.get_by_label("Vote as").select_option("approver")
    await page.locator("#reason").fill("in their stead")
    await page.get_by_role("button", name="Approve").click()
    await expect(page.locator("#notices")).to_contain_text("Released")
    await page.goto(f"/approvals/{job_id}")
    await expect(page.locator(".votes")).to_contain_text("approver2 for approver")


async def _day(page: Any, ahead: int) -> str:
    """A day that many from now, as a date field takes it."""
    return str(await page.evaluate("days => new Date(Date.now() + days * 864e5).toISOString().slice(0, 10)", ahead))
