"""The overview: what needs somebody, and charts that are read without colour, without script and without a reload."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import expect

from holdgate.scheduler.state.stats import KernelSample, Stats
from support.api import ApiWorld

SignIn = Callable[..., Awaitable[Any]]
HELD = {"topic": "job.deploy.apply", "labels": {"env": "prod"}, "capability": "infra.write"}
CHARTS = ("decisions", "levels", "waits", "outputs", "kernel")


@pytest_asyncio.fixture(loop_scope="session")
async def busy(system: ApiWorld) -> ApiWorld:
    """Jobs let in, held and denied, and looks at what waits."""
    for form in ({}, {}, HELD, {"topic": "job.exec.shell"}):
        await system.submit(**form)
    now_ms = system.deps.clock.now_ms()
    stats = Stats(system.scripts)
    await stats.sample_kernels(KernelSample(1, True, True, True), now_ms)
    for tenant in await system.deps.jobs.tenants():
        await stats.sample(tenant, now_ms)
    return system


@pytest.mark.parametrize("who", ["approver", "operator", "auditor", "author"])
async def test_each_role_sees_the_charts(busy: ApiWorld, sign_in: SignIn, axe: Any, who: str) -> None:
    """Each chart has a name and a sentence for those who do not see it, and its numbers as a table."""
    page = await sign_in(who, "/overview", color_scheme="light")
    for chart in CHARTS:
        await expect(page.locator(f"#rows-{chart} table")).to_have_count(1)
    drawn = page.locator("#draw-decisions svg.chart-svg")
    await expect(drawn).to_have_role("img")
    await expect(drawn).to_have_accessible_description("4 in all: 2 allowed, 1 held for approval, 1 denied.")
    await expect(page.locator("#needs")).to_contain_text("held for approval")
    await expect(page.locator("#need-mine b")).to_have_count(1 if who == "approver" else 0)
    assert await axe(page) == []
    await page.emulate_media(color_scheme="dark")
    assert await axe(page) == []


async def test_an_agent_is_led_to_its_jobs(system: ApiWorld, sign_in: SignIn) -> None:
    """Counts of the whole tenant are not for it."""
    page = await sign_in("agent", "/overview")
    assert page.url.endswith("/jobs")
    refused = await page.request.get("/overview/live")
    assert refused.status == 403


async def test_figures_change_without_a_reload_and_an_open_table_stays_open(busy: ApiWorld, sign_in: SignIn) -> None:
    """By what the page asks for every ten seconds; the test does not wait for it."""
    page = await sign_in("operator", "/overview")
    await page.locator("#draw-decisions ~ details summary").click()
    await busy.submit(**HELD)
    await page.evaluate(
        "document.body.dataset.kept = 'yes'; htmx.trigger(htmx.find('[hx-get^=\"/overview/live\"]'), 'refresh')"
    )
    await page.evaluate("htmx.ajax('GET', '/overview/live', {swap: 'none'})")
    await expect(page.locator("#need-held b")).to_have_text("2")
    await expect(page.locator("#rows-decisions")).to_be_visible()
    assert await page.evaluate("document.body.dataset.kept") == "yes"


async def test_without_script_the_page_is_whole(busy: ApiWorld, sign_in: SignIn) -> None:
    """The server draws it; windows are links."""
    page = await sign_in("operator", "/overview", java_script_enabled=False)
    await expect(page.locator("#draw-decisions svg rect").first).to_be_attached()
    await page.get_by_role("link", name="24 hours").click()
    await expect(page.get_by_role("link", name="24 hours")).to_have_attribute("aria-current", "true")


async def test_a_phone_does_not_scroll_sideways(busy: ApiWorld, sign_in: SignIn) -> None:
    """At 360 pixels."""
    page = await sign_in("operator", "/overview", viewport={"width": 360, "height": 700})
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360
