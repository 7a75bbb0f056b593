"""The queue of held jobs: live, by keyboard, filtered, and several at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from playwright.async_api import expect

from support.api import ApiWorld
from support.holding import CAREFUL, RULE, careful, hold, job_state, publish_rules

SignIn = Callable[..., Awaitable[Any]]
LIVE_MS = 1000
"""Within this a job that was held elsewhere is to be seen."""


async def live_queue(sign_in: SignIn, path: str = "/approvals", **options: Any) -> Any:
    """The queue, with its stream of changes open."""
    page = await sign_in("approver", path=path, **options)
    await page.locator("#queue-form[data-live='yes']").wait_for()
    return page


async def shown(page: Any) -> list[str]:
    """Ids of the jobs in the queue, in order."""
    return list(await page.locator("[data-job]").evaluate_all("rows => rows.map(row => row.dataset.job)"))


async def test_a_job_held_elsewhere_appears_by_itself_within_a_second(system: ApiWorld, sign_in: SignIn) -> None:
    page = await live_queue(sign_in)
    await expect(page.locator(".queue-empty")).to_be_visible()
    job_id = await hold(system)
    await page.locator(f"#row-{job_id}").wait_for(timeout=LIVE_MS)
    await expect(page.locator("#queue-count")).to_have_text("1 waiting")
    await expect(page.locator("#queue-news")).to_have_text("1 new")


async def test_a_job_decided_elsewhere_leaves_by_itself(system: ApiWorld, sign_in: SignIn) -> None:
    job_id = await hold(system)
    page = await live_queue(sign_in)
    await expect(page.locator(f"#row-{job_id}")).to_be_visible()
    await vote(system, job_id, "reject")
    await page.locator(f"#row-{job_id}").wait_for(state="detached", timeout=LIVE_MS)


async def test_rows_stay_where_they_are_while_somebody_is_about_to_act(system: ApiWorld, sign_in: SignIn) -> None:
    """What is new waits behind a button; what is gone says so in its place."""
    first, second = await hold(system), await hold(system)
    page = await live_queue(sign_in, "/approvals?order=newest")
    await page.locator(f"#row-{second} .row-open").focus()
    third = await hold(system)
    await expect(page.get_by_role("button", name="1 new: show")).to_be_visible(timeout=LIVE_MS)
    assert await shown(page) == [second, first]
    await vote(system, first, "reject")
    await expect(page.locator(f"#row-{first}")).to_contain_text("no longer waits", timeout=LIVE_MS)
    assert await shown(page) == [second, first]
    await expect(page.locator(f"#row-{second} .row-open")).to_be_focused()
    await page.get_by_role("button", name="1 new: show").click()
    await expect(page.locator(f"#row-{third} .row-open")).to_be_focused()
    assert await shown(page) == [third, second]


async def test_a_whole_decision_with_the_keyboard_alone(system: ApiWorld, sign_in: SignIn) -> None:
    first, second = await hold(system), await hold(system)
    page = await live_queue(sign_in, "/approvals?order=newest")
    keys = page.keyboard
    await keys.press("/")
    await expect(page.locator("#filter-topic")).to_be_focused()
    await page.locator("#filter-topic").press("Tab")
    await page.evaluate("document.activeElement.blur()")
    for key, job_id in (("j", second), ("j", first), ("k", second), ("j", first)):
        await keys.press(key)
        await expect(page.locator(f"#row-{job_id} .row-open")).to_be_focused()
    await keys.press("Enter")
    await page.wait_for_url(f"**/approvals/{first}*")
    for _ in range(40):
        await keys.press("Tab")
        if await page.evaluate("document.activeElement.id") == "reason":
            break
    await keys.type("seen with the keyboard")
    await keys.press("Tab")
    await expect(page.get_by_role("button", name="Approve")).to_be_focused()
    await keys.press("Enter")
    await expect(page.locator("#notices")).to_contain_text("Released")
    assert await job_state(system, first) == "queued"


async def test_filters_stand_in_the_address_and_leave_out_the_rest(
    system: ApiWorld, sign_in: SignIn, tmp_path: Path
) -> None:
    await publish_rules(system, tmp_path, careful("roles: [release-manager]", "    severity: critical\n"))
    plain, grave = await hold(system), await hold(system, topic=CAREFUL)
    page = await live_queue(sign_in)
    assert set(await shown(page)) == {plain, grave}
    await page.get_by_label("Severity").select_option("critical")
    await page.get_by_role("button", name="Filter").click()
    await page.wait_for_url("**severity=critical*")
    assert await shown(page) == [grave]
    await page.goto(f"/approvals?rule={RULE}")
    assert await shown(page) == [grave]
    await page.goto("/approvals?topic=job.deploy.apply")
    assert await shown(page) == [plain]


async def test_mine_are_those_that_i_may_decide(system: ApiWorld, sign_in: SignIn) -> None:
    """Not what was submitted in my name."""
    theirs, mine = await hold(system), await hold(system, "helper")
    page = await live_queue(sign_in)
    assert set(await shown(page)) == {theirs, mine}
    await page.get_by_label("for me to decide").check()
    await page.get_by_role("button", name="Filter").click()
    await page.wait_for_url("**mine=true*")
    assert await shown(page) == [theirs]


async def test_several_of_a_kind_are_decided_in_one_act_each_with_a_vote(
    system: ApiWorld, sign_in: SignIn, tmp_path: Path
) -> None:
    await publish_rules(system, tmp_path, careful())
    jobs = [await hold(system, topic=CAREFUL, payload={"image": f"v{n}"}) for n in range(3)]
    other = await hold(system, topic=CAREFUL, payload=[1, 2])
    page = await live_queue(sign_in)
    await page.locator(f"#row-{jobs[0]} .row-open").focus()
    await page.keyboard.press("x")
    await expect(page.locator(f"#row-{other} input")).to_be_disabled()
    for job_id in jobs[1:]:
        await page.locator(f"#row-{job_id} input").check()
    await expect(page.locator("#selected-count")).to_have_text("3 selected")
    await page.get_by_role("button", name="Decide selected").click()
    await expect(page.locator(".picked > li")).to_have_count(3)
    await page.locator("#reason").fill("one release, three images")
    await page.get_by_role("button", name="Approve all 3").click()
    await expect(page.locator("main tbody tr")).to_have_count(3)
    assert [await job_state(system, job_id) for job_id in (*jobs, other)] == ["queued"] * 3 + ["held"]


async def test_one_that_was_decided_meanwhile_does_not_keep_the_others(
    system: ApiWorld, sign_in: SignIn, tmp_path: Path
) -> None:
    await publish_rules(system, tmp_path, careful())
    jobs = [await hold(system, topic=CAREFUL, payload={"image": f"v{n}"}) for n in range(2)]
    page = await live_queue(sign_in)
    for job_id in jobs:
        await page.locator(f"#row-{job_id} input").check()
    await page.get_by_role("button", name="Decide selected").click()
    await vote(system, jobs[0], "reject", "approver2")
    await page.locator("#reason").fill("both fine")
    await page.get_by_role("button", name="Approve all 2").click()
    await expect(page.locator("main tr", has_text=jobs[0])).to_contain_text("Somebody was faster")
    assert await job_state(system, jobs[1]) == "queued"


async def test_a_rule_may_want_each_decided_alone(system: ApiWorld, sign_in: SignIn, tmp_path: Path) -> None:
    await publish_rules(system, tmp_path, careful("roles: [release-manager], bulk: false"))
    job_id = await hold(system, topic=CAREFUL)
    page = await live_queue(sign_in)
    await expect(page.locator(f"#row-{job_id} input")).to_be_disabled()


async def test_everything_works_without_script(system: ApiWorld, sign_in: SignIn, tmp_path: Path) -> None:
    await publish_rules(system, tmp_path, careful())
    first, second = await hold(system, topic=CAREFUL), await hold(system, topic=CAREFUL)
    page = await sign_in("approver", path="/approvals", java_script_enabled=False)
    assert await page.locator(".queue-row").count() == 2
    for job_id in (first, second):
        await page.locator(f"#row-{job_id} input").check()
    await page.get_by_role("button", name="Decide selected").click()
    await page.locator("#reason").fill("without script")
    await page.get_by_role("button", name="Reject all 2").click()
    await expect(page.locator("main tbody tr")).to_have_count(2)
    assert [await job_state(system, job_id) for job_id in (first, second)] == ["denied", "denied"]


async def vote(system: ApiWorld, job_id: str, verb: str, who: str = "approver2") -> None:
    """A vote that somebody casts elsewhere."""
    client = system.client(who)
    seen = (await client.get(f"/api/v1/approvals/{job_id}")).json()
    body = {"job_hash": seen["job_hash"], "snapshot": seen["snapshot"], "reason": "elsewhere"}
    reply = await client.post(f"/api/v1/approvals/{job_id}/{verb}", json=body)
    assert reply.status_code == 200, reply.text
