"""Jobs: found, followed while they run, explained, cancelled, retried; what others wrote stays text."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import expect

from holdgate.scheduler.state.transitions import State
from support.api import ApiWorld
from support.running import Runner

SignIn = Callable[..., Awaitable[Any]]
HELD = {"topic": "job.deploy.apply", "labels": {"env": "prod"}, "capability": "infra.write"}
ATTACK = "<img src=x onerror=\"document.title='hit'\"><script>document.title='hit'</script>{{7*7}}</pre></details>"


@pytest.fixture
def runner(system: ApiWorld) -> Runner:
    """Plays dispatcher and output gate."""
    return Runner(system)


async def submitted(system: ApiWorld, **form: Any) -> str:
    """The id of a new job."""
    return str((await system.submit(**form)).json()["job_id"])


async def test_the_list_is_narrowed_down(system: ApiWorld, sign_in: SignIn, axe: Any) -> None:
    """By state and by the beginning of an id; a search that cannot be says so."""
    one = await submitted(system)
    held = await submitted(system, **HELD)
    page = await sign_in("operator", "/jobs", color_scheme="light")
    await expect(page.locator("[data-row]")).to_have_count(2)
    assert await axe(page) == []
    await page.emulate_media(color_scheme="dark")
    assert await axe(page) == []
    await page.get_by_label("State").select_option("held")
    await page.get_by_role("button", name="Show").click()
    await expect(page.locator("[data-row]")).to_have_count(1)
    await expect(page.locator(f"#row-{held}")).to_be_visible()
    await page.goto(f"/jobs?id={one.removeprefix('job_')}")
    await expect(page.locator(f"#row-{one}")).to_be_visible()
    await page.goto("/jobs?label=team")
    await expect(page.get_by_role("alert")).to_contain_text("key=value")


async def test_an_agent_sees_its_own_jobs_alone(system: ApiWorld, sign_in: SignIn) -> None:
    """Another's page is as if it were not there."""
    others = await submitted(system, who="agent2")
    own = await submitted(system)
    page = await sign_in("agent", "/jobs")
    await expect(page.locator("[data-row]")).to_have_count(1)
    await expect(page.locator(f"#row-{own}")).to_be_visible()
    reply = await page.request.get(f"/jobs/{others}")
    assert reply.status == 404
    assert (await page.request.get("/jobs/job_nonsense")).status == 404


async def test_the_state_changes_while_somebody_looks(system: ApiWorld, runner: Runner, sign_in: SignIn) -> None:
    """Without a reload, to the result."""
    job_id = await submitted(system)
    page = await sign_in("operator", f"/jobs/{job_id}")
    await page.evaluate("document.body.dataset.kept = 'yes'")
    await expect(page.locator("#job .job-head .badge")).to_have_text("accepted")
    await expect(page.get_by_role("button", name="Cancel the job")).to_be_visible()
    await runner.start(job_id)
    await expect(page.locator("#job .job-head .badge")).to_have_text("running")
    await runner.finish(job_id, State.SUCCEEDED, value=b'{"answer":42}')
    await expect(page.locator("#job .job-head .badge")).to_have_text("succeeded")
    await expect(page.get_by_role("heading", name="Result", exact=True)).to_be_visible()
    await expect(page.locator("#job")).to_contain_text("42")
    await expect(page.get_by_role("button", name="Cancel the job")).to_have_count(0)
    assert await page.evaluate("document.body.dataset.kept") == "yes"


async def test_each_decision_is_explained(system: ApiWorld, sign_in: SignIn, axe: Any) -> None:
    """With the rule, its reason and its text as written; a denied job names safer versions."""
    job_id = await submitted(system, **HELD)
    page = await sign_in("operator", f"/jobs/{job_id}", color_scheme="light")
    await expect(page.locator(".timeline")).to_contain_text("Policy wants a person to release it first.")
    await expect(page.locator(".timeline")).to_contain_text("human review required for prod write")
    await page.get_by_role("link", name="Show them as they are written").click()
    await expect(page.locator("#rules-shown pre")).to_contain_text("decision: require_approval")
    assert await axe(page) == []
    await page.emulate_media(color_scheme="dark")
    assert await axe(page) == []
    denied = await submitted(system, topic="job.exec.shell")
    await page.goto(f"/jobs/{denied}")
    await expect(page.locator(".timeline")).to_contain_text("Policy refuses it.")
    await expect(page.get_by_role("heading", name="Safer versions")).to_be_visible()


async def test_a_job_is_cancelled_with_a_reason(system: ApiWorld, sign_in: SignIn) -> None:
    """By form alone: no script is needed."""
    job_id = await submitted(system)
    page = await sign_in("operator", f"/jobs/{job_id}", java_script_enabled=False)
    await page.get_by_label("Reason").fill("not needed any more")
    await page.get_by_role("button", name="Cancel the job").click()
    await expect(page.locator("#job .job-head .badge")).to_have_text("cancelled")
    await expect(page.locator(".timeline")).to_contain_text("not needed any more")


async def test_what_a_submitter_and_a_worker_wrote_is_text(system: ApiWorld, runner: Runner, sign_in: SignIn) -> None:
    """Prompt, labels, result, its keys, logs, error, the reason of a cancel, the code of a failure."""
    form = {"prompt": ATTACK, "labels": {"x": ATTACK}, "payload": {ATTACK: ATTACK}}
    job_id = await submitted(system, **form)
    await runner.start(job_id)
    error = {"type": ATTACK, "message": ATTACK}
    await runner.finish(
        job_id, State.FAILED, code=ATTACK, error=error, logs=(ATTACK, ATTACK), value=b'{"%b":1}' % b"<b>"
    )
    page = await sign_in("admin", f"/jobs/{job_id}")
    other = await submitted(system, **form)
    await system.client("operator").post(f"/api/v1/jobs/{other}/cancel", json={"reason": ATTACK})
    for path in (f"/jobs/{job_id}", f"/jobs/{other}", "/jobs", "/dead", "/audit", f"/jobs?topic={ATTACK}&label=x"):
        await page.goto(path)
        await page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert await page.locator("main img, main script, main b:not(.legend b):not(.need b)").count() == 0, path
        assert await page.title() != "hit", path
    await page.goto(f"/jobs/{job_id}")
    await expect(page.locator("#job .logs")).to_contain_text(ATTACK)


async def test_a_sealed_output_is_not_on_the_page(system: ApiWorld, runner: Runner, sign_in: SignIn) -> None:
    """It says where somebody decides about it."""
    job_id = await submitted(system)
    await runner.start(job_id)
    await runner.finish(job_id, State.QUARANTINED, sealed=b"sealed bytes")
    page = await sign_in("operator", f"/jobs/{job_id}")
    await expect(page.locator("#job")).to_contain_text("The output is sealed.")
    assert "sealed bytes" not in await page.content()


async def test_who_may_not_read_results_is_told_so(system: ApiWorld, runner: Runner, sign_in: SignIn) -> None:
    """An approver sees what happened, and nothing of the output."""
    job_id = await submitted(system)
    await runner.start(job_id)
    await runner.finish(job_id, State.SUCCEEDED, value=b'{"secret":"for the submitter"}')
    page = await sign_in("approver", f"/jobs/{job_id}")
    await expect(page.locator(".timeline")).to_contain_text("Succeeded")
    assert "for the submitter" not in await page.content()


async def test_a_phone_shows_rows_as_cards(system: ApiWorld, sign_in: SignIn) -> None:
    """No page scrolls sideways at 360 pixels."""
    job_id = await submitted(system, labels={"a" * 60: "b" * 200}, prompt="x" * 3000)
    page = await sign_in("operator", "/jobs", viewport={"width": 360, "height": 700})
    for path in ("/jobs", f"/jobs/{job_id}"):
        await page.goto(path)
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360, path
