"""The console in a real browser: Chromium against a real API with its kernel, NATS and Redis.

Playwright's own event loop would be in the way of pytest's, so each test is async and uses the async API. One Chromium
and one event loop serve all tests of a process, since starting a browser costs more than most tests: each test has its
own system, and each person in it a browser context of their own.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from support.api import ApiWorld, running_api

FOLDER = Path(__file__).parent
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
"""The first draws pages and nothing around them, which takes a third less."""
HOW = "no Chromium on the PATH: run `apt-get install chromium-headless-shell`, or `make test` as root"
SignIn = Callable[..., Awaitable[Page]]
AXE = """async (tags) => (await axe.run(document, {runOnly: {type: "tag", values: tags}})).violations"""
AXE_FILE = Path(axe_playwright_python.__file__).parent / "axe.min.js"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of this folder run in the loop of the browser that they share."""
    for item in items:
        if item.path.parent == FOLDER:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(loop_scope="session")
async def system(nats_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[ApiWorld]:
    """A running API with its console and kernel, this test's own. No dispatcher, no worker."""
    async with running_api(nats_url, redis_url, tmp_path / "home") as world:
        yield world


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """A Chromium without a window."""
    executable = next((found for name in NAMES if (found := shutil.which(name))), None)
    assert executable is not None, HOW
    # Without a screen a graphics processor would only be played by this one.
    arguments = ["--disable-gpu"]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")  # which root cannot set up; the pages are our own
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=executable, args=arguments)
        try:
            yield started
        finally:
            await started.close()


@pytest_asyncio.fixture(loop_scope="session")
async def complaints() -> list[str]:
    """What the browser said on its console as an error, violations of the content security policy among it.

    A test in which such is expected clears it; else the fixture `sign_in` fails the test with it.
    """
    return []


@pytest_asyncio.fixture(loop_scope="session")
async def sign_in(system: ApiWorld, browser: Browser, complaints: list[str]) -> AsyncIterator[SignIn]:
    """`await sign_in("approver", path="/", **options)`: a page of somebody who signed in by their key, in a browser
    context of their own; `options` are Playwright's (`viewport`, `color_scheme`, …). None: nobody is signed in."""
    contexts: list[BrowserContext] = []

    async def signed_in(who: str | None, path: str = "/", **options: Any) -> Page:
        context = await browser.new_context(base_url=system.url, **options)
        contexts.append(context)
        context.set_default_timeout(10_000)
        page = await context.new_page()
        watch(page, complaints)
        await page.goto("/sign-in")
        if who is not None:
            await page.get_by_label("API key").fill(system.keys[who])
            await page.get_by_role("button", name="Sign in").click()
            await page.locator("form[action='/sign-out']").wait_for(state="attached")  # in a menu that may be closed
            if path != "/":
                await page.goto(path)
        return page

    yield signed_in
    for context in contexts:
        await context.close()
    assert complaints == []


def watch(page: Page, complaints: list[str]) -> None:
    """Note what the browser complains of on `page`."""
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))


@pytest.fixture
def axe() -> Callable[[Page], Awaitable[list[str]]]:
    """`await axe(page)`: what is wrong for people who use the page otherwise than by eye and mouse, at WCAG 2.2 AA.

    Only findings of impact `serious` or `critical`. The script reaches the page over the debugging protocol, as the
    content security policy would not let it in.
    """

    async def check(page: Page) -> list[str]:
        await page.evaluate(AXE_FILE.read_text("utf-8"))
        found = await page.evaluate(AXE, TAGS)
        return [
            f"{item['id']}: {item['help']}: {[node['html'][:160] for node in item['nodes'][:5]]}"
            for item in found
            if item["impact"] in {"serious", "critical"}
        ]

    return check
