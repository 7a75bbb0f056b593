"""Workers and pools, dead letters, audit events."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import expect

from holdgate.kernel.ids import WorkerId
from holdgate.scheduler.state.transitions import State
from holdgate.scheduler.state.workers import Workers, WorkerView
from support.api import ApiWorld
from support.running import Runner

SignIn = Callable[..., Awaitable[Any]]
ATTACK = "<img src=x onerror=\"document.title='hit'\">"


async def dead_letter(system: ApiWorld) -> str:
    """A job whose attempts are used up."""
    runner = Runner(system)
    job_id = str((await system.submit()).json()["job_id"])
    await runner.start(job_id)
    await runner.finish(job_id, State.FAILED, code="handler_error", error={"type": "ValueError", "message": ATTACK})
    return job_id


async def test_a_dead_letter_is_retried_with_a_reason(system: ApiWorld, sign_in: SignIn, axe: Any) -> None:
    """From the list; the reason stands in the job's story."""
    job_id = await dead_letter(system)
    page = await sign_in("operator", "/dead", color_scheme="light")
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        assert await axe(page) == []
    await page.get_by_label(f"Reason to retry {job_id}").fill("the disk is full no more")
    await page.get_by_role("button", name="Retry").click()
    await expect(page.locator(".notices")).to_contain_text("in the queue again")
    await expect(page.locator("[data-row]")).to_have_count(0)
    await page.goto(f"/jobs/{job_id}")
    await expect(page.locator(".timeline")).to_contain_text("Taken out of the dead letters by operator")
    await expect(page.locator(".timeline")).to_contain_text("the disk is full no more")


async def test_an_auditor_looks_and_does_not_retry(system: ApiWorld, sign_in: SignIn, complaints: list[str]) -> None:
    """Neither by a button nor by sending the form."""
    job_id = await dead_letter(system)
    page = await sign_in("auditor", "/dead")
    await expect(page.locator("[data-row]")).to_have_count(1)
    await expect(page.get_by_role("button", name="Retry")).to_have_count(0)
    csrf = await page.locator("form[action='/sign-out'] [name=csrf]").input_value()
    status = await page.evaluate(
        """async ([path, csrf]) => (await fetch(path, {method: "POST", body: new URLSearchParams({csrf})})).status""",
        [f"/jobs/{job_id}/retry", csrf],
    )
    assert status == 403
    complaints.clear()


async def test_pools_and_workers_are_shown_as_they_describe_themselves(
    system: ApiWorld, sign_in: SignIn, axe: Any
) -> None:
    """A worker's own words are text."""
    now_ms = system.deps.clock.now_ms()
    worker = WorkerView(WorkerId(f"w1{ATTACK}"), "default", (f"job.{ATTACK}",), ("infra.write",), 8, 3, now_ms)
    await Workers(system.scripts).seen(worker, ttl_ms=600_000)
    page = await sign_in("operator", "/workers", color_scheme="light")
    await expect(page.locator("main")).to_contain_text(f"w1{ATTACK}")
    await expect(page.locator("main")).to_contain_text("3 of 8")
    assert await page.locator("main img").count() == 0
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        assert await axe(page) == []


async def test_an_auditor_reads_both_trails_and_an_operator_the_systems(
    system: ApiWorld, sign_in: SignIn, axe: Any
) -> None:
    """As far as the API lets each."""
    job_id = await dead_letter(system)
    page = await sign_in("auditor", "/audit")
    await expect(page.locator("main tbody")).to_contain_text(job_id)
    assert await axe(page) == []
    operator = await sign_in("operator", "/audit")
    await expect(operator.get_by_role("link", name="Tenant", exact=True)).to_have_count(0)
    assert job_id not in await operator.content()


@pytest.mark.parametrize(
    ("who", "refused"),
    [
        ("agent", ("/dead", "/workers", "/workers/lists", "/audit", "/overview/live", "/policy/bundles/demo")),
        ("approver", ("/dead", "/workers", "/audit", "/policy/bundles/demo")),
        ("author", ("/dead", "/workers", "/audit", "/jobs", "/jobs/rows")),
    ],
)
async def test_pages_are_refused_to_other_roles(sign_in: SignIn, who: str, refused: tuple[str, ...]) -> None:
    """And are not in their navigation."""
    page = await sign_in(who)
    for path in refused:
        assert (await page.request.get(path)).status == 403, path
        assert await page.locator(f"nav a[href='{path}']").count() == 0


async def test_lists_fit_a_phone(system: ApiWorld, sign_in: SignIn) -> None:
    """At 360 pixels rows are cards."""
    await dead_letter(system)
    page = await sign_in("admin", "/dead", viewport={"width": 360, "height": 700})
    for path in ("/dead", "/workers", "/audit"):
        await page.goto(path)
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360, path
