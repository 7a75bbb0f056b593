"""Pages of approvals for people with a phone, with dark colours, with a reader of the screen, and without a mouse."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import expect

from support.api import ApiWorld
from support.holding import CAREFUL, add_person, careful, hold, publish_rules
from support.secrets import Secrets

SignIn = Callable[..., Awaitable[Any]]
PHONE = {"width": 360, "height": 760}
WIDE = {"width": 1280, "height": 900}
SMALL = """() => [...document.querySelectorAll("main a, main button, main summary, main input, main select")]
  .filter(one => one.checkVisibility() && !one.closest("p, .row-why, td, dd, .hint, .held-why"))
  .map(one => [one.getBoundingClientRect(), one.outerHTML.slice(0, 100)])
  .filter(([box]) => box.width < 24 || box.height < 23.5)
  .map(([box, html]) => `${box.width}x${box.height} ${html}`)"""


@pytest_asyncio.fixture(loop_scope="session")
async def pages(system: ApiWorld, tmp_path: Path) -> list[str]:
    """Addresses of every page of the subject, with much on it."""
    rules = careful(
        'roles: [release-manager], quorum: 2, grants: true, read_for: 90s, confirm: "go ahead"',
        "    severity: critical\n    constraints: {max_runtime_s: 60, network: [registry.internal]}\n"
        "    remediations: [{id: less, title: Do less of it, topic: job.demo.read}]\n",
    )
    await publish_rules(system, tmp_path, rules)
    await add_person(system, "gina", "approver", "release-manager", "break_glass")
    form: dict[str, Any] = {
        "payload": {"deep": [{"a": {"b": ["c", None, 1.5, True]}}], "token": Secrets().github(), "long": "w" * 3000},
        "prompt": "first line\nsecond line " + "and more " * 200,
        "labels": {"a-rather-long-name-of-a-label": "and-a-value-that-is-long-as-well-" * 3, "env": "prod"},
        "capability": "infra.write",
        "risk_tags": ["prod"],
    }
    grave, plain = await hold(system, topic=CAREFUL, **form), await hold(system, "helper", **form)
    client = system.client("approver2")
    seen = (await client.get(f"/api/v1/approvals/{plain}")).json()
    body = {"job_hash": seen["job_hash"], "snapshot": seen["snapshot"], "reason": "no"}
    await client.post(f"/api/v1/approvals/{plain}/reject", json=body)
    await hold(system, **form)
    others = ("/grants", f"/grants/new?job_id={grave}", "/delegations")
    return ["/approvals", f"/approvals/{grave}", f"/approvals/{plain}", *others]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_nothing_serious_is_in_the_way_of_anybody(
    pages: list[str], sign_in: SignIn, axe: Any, scheme: str
) -> None:
    """Every page, wide and on a phone; what is folded up is opened first."""
    page = await sign_in("gina", color_scheme=scheme)
    for viewport in (WIDE, PHONE):
        await page.set_viewport_size(viewport)
        for path in pages:
            await page.goto(path)
            await page.locator("main details").evaluate_all("all => all.forEach(one => { one.open = true })")
            assert await axe(page) == [], (path, viewport)


async def test_nothing_runs_out_of_a_phone(pages: list[str], sign_in: SignIn) -> None:
    page = await sign_in("gina", viewport=PHONE)
    for path in pages:
        await page.goto(path)
        await page.locator("main details").evaluate_all("all => all.forEach(one => { one.open = true })")
        assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], path


async def test_what_is_pressed_is_large_enough(pages: list[str], sign_in: SignIn) -> None:
    """24 by 24 pixels, but for links within sentences (WCAG 2.2, 2.5.8)."""
    page = await sign_in("gina", viewport=PHONE)
    for path in pages:
        await page.goto(path)
        assert await page.evaluate(SMALL) == [], path


async def test_dark_is_dark(pages: list[str], sign_in: SignIn) -> None:
    page = await sign_in("gina", color_scheme="dark")
    await page.goto(pages[1])
    colour = await page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert sum(map(int, colour.removeprefix("rgb(").removesuffix(")").split(","))) < 150


async def test_time_goes_on_without_moving_anything(pages: list[str], sign_in: SignIn) -> None:
    """Numbers change in their place: no layout shift while somebody reads."""
    page = await sign_in("gina", path=pages[1])
    await page.evaluate(
        "window.shifts = []; new PerformanceObserver(list => window.shifts.push(...list.getEntries()"
        ".map(entry => entry.value))).observe({type: 'layout-shift', buffered: false})"
    )
    before = await page.locator(".countdown").inner_text()
    await expect(page.locator(".countdown")).not_to_have_text(before)
    assert await page.evaluate("window.shifts") == []
