"""Signing in, and what is around every page, as people meet it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route

from holdgate.scheduler.cli.http import serving
from holdgate.scheduler.identity.keys import read_keys, revoke_key
from holdgate.scheduler.lifecycle import Runtime
from holdgate.scheduler.settings import ApiSettings
from holdgate.scheduler.up.children import free_port
from support.api import ApiWorld
from support.provider import running_both
from support.waiting import eventually

SignIn = Callable[..., Awaitable[Page]]
AxeCheck = Callable[[Page], Awaitable[list[str]]]
PHONE = {"width": 360, "height": 740}
OWN = ("/status", "/sessions", "/no-such-page")


async def overflows(page: Page) -> bool:
    """Whether the page is wider than the window."""
    found: bool = await page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    return found


async def test_who_signs_in_sees_the_console(sign_in: SignIn) -> None:
    """By key: the start page in the shell, with the person, the tenant and the landmarks."""
    page = await sign_in("operator")
    await expect(page.locator("h1")).to_have_count(1)
    await expect(page.locator(".who .person")).to_have_text("operator")
    await expect(page.locator(".who .tenant")).to_have_text("default")
    for landmark in ("banner", "navigation", "main", "contentinfo"):
        assert await page.get_by_role(landmark).count() >= 1, landmark


async def test_without_a_session_every_page_is_the_sign_in_page_and_leads_back(
    sign_in: SignIn, system: ApiWorld
) -> None:
    """To what was asked for, once signed in."""
    page = await sign_in(None)
    await page.goto("/sessions")
    assert page.url.endswith("/sign-in?next=/sessions")
    await page.get_by_label("API key").fill(system.keys["auditor"])
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Sessions")).to_be_visible()


async def test_a_wrong_key_is_told_and_nobody_is_signed_in(
    sign_in: SignIn, complaints: list[str], axe: AxeCheck
) -> None:
    """In words that a screen reader speaks; the key is not in the page that comes back."""
    page = await sign_in(None)
    await page.get_by_label("API key").fill("hgk_wrong")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_contain_text("not known")
    assert await page.context.cookies() == []
    assert "hgk_wrong" not in await page.content()
    assert await axe(page) == []
    complaints.clear()  # the browser notes the 401


async def test_the_keyboard_alone_signs_in_and_goes_everywhere(sign_in: SignIn, system: ApiWorld) -> None:
    """Focus begins in the field; the skip link is first; `?` helps; `g` and a letter goes."""
    page = await sign_in(None)
    await expect(page.get_by_label("API key")).to_be_focused()
    await page.keyboard.type(system.keys["approver"])
    await page.keyboard.press("Enter")
    await page.wait_for_url(lambda url: "sign-in" not in url)
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("main")).to_be_focused()
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_be_hidden()
    await page.keyboard.press("g")
    await page.keyboard.press("s")
    await expect(page.get_by_role("heading", name="Status")).to_be_visible()


async def test_signing_out_is_a_button_and_the_way_back_is_closed(sign_in: SignIn) -> None:
    """Also for the browser's own back button: pages are not kept."""
    page = await sign_in("approver", "/sessions")
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    await page.go_back()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_a_session_that_is_ended_in_another_window_ends_here(sign_in: SignIn) -> None:
    """From the page of sessions, with the other's next click."""
    one = await sign_in("approver", "/sessions")
    two = await sign_in("approver", "/sessions")
    await two.locator("tr", has_not_text="this one").get_by_role("button").click()
    await expect(two.locator("#notices")).to_contain_text("The session was ended.")
    await one.goto("/status")
    await expect(one.get_by_role("heading", name="Sign in")).to_be_visible()
    await two.goto("/status")
    await expect(two.get_by_role("heading", name="Status")).to_be_visible()


async def test_a_revoked_key_ends_the_session(sign_in: SignIn, system: ApiWorld) -> None:
    """Within a second or so."""
    page = await sign_in("approver", "/status")
    path = system.settings.api_keys_file
    revoke_key(path, next(one.key_id for one in read_keys(path) if one.actor == "approver"))

    async def is_out() -> bool:
        await page.goto("/status")
        return "/sign-in" in page.url

    await eventually(is_out, 10, why="signed out")


async def test_the_cookie_is_out_of_reach(sign_in: SignIn) -> None:
    """Of scripts, and of other sites; on loopback without TLS it cannot be `Secure`, anywhere else it is."""
    page = await sign_in("approver")
    (cookie,) = await page.context.cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == ("holdgate", True, "Strict", "/")
    assert await page.evaluate("document.cookie") == ""


@pytest_asyncio.fixture(loop_scope="session")
async def elsewhere(tmp_path: Path, system: ApiWorld) -> AsyncIterator[str]:
    """URL of another site, whose pages post to the console and frame it."""
    target = system.url

    async def attack(_request: Any) -> HTMLResponse:
        return HTMLResponse(
            f'<form method="post" action="{target}/sign-out"><button>Win a prize</button></form>'
            f'<form method="post" action="{target}/sign-in"><input name="key" value="x"><button>Log in</button></form>'
            f'<iframe src="{target}/status"></iframe>'
        )

    # Another site and not only another port: cookies do not tell ports apart.
    listen = f"localhost:{free_port()}"
    settings = system.settings.model_copy(update={"api_listen": listen})
    assert isinstance(settings, ApiSettings)
    async with serving(Starlette(routes=[Route("/", attack)]), settings, Runtime("elsewhere"), on_leave=lambda: None):
        yield f"http://{listen}"


async def test_another_site_can_neither_act_nor_frame(
    sign_in: SignIn, system: ApiWorld, elsewhere: str, complaints: list[str]
) -> None:
    """Its form is refused though the person is signed in, and changes nothing; its frame stays empty."""
    page = await sign_in("approver")
    visiting = await page.context.new_page()
    for button in ("Win a prize", "Log in"):
        await visiting.goto(elsewhere)
        await visiting.get_by_role("button", name=button).click()
        assert await visiting.get_by_role("button", name="Sign out").count() == 0
    await visiting.goto(elsewhere)
    await eventually(lambda: visiting.frames[1].url.startswith("chrome-error:"), why="the frame was refused")
    await page.goto("/status")
    await expect(page.get_by_role("heading", name="Status")).to_be_visible()
    complaints.clear()


async def test_a_form_without_the_token_of_the_session_is_refused(sign_in: SignIn, complaints: list[str]) -> None:
    """Though it comes from here: a form that was injected has no token, one of an older session another."""
    page = await sign_in("approver", "/sessions")
    await page.locator('form[action="/sign-out"] input[name="csrf"]').evaluate("field => field.value = 'f'.repeat(32)")
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("heading", name="Not allowed")).to_be_visible()
    await page.goto("/sessions")
    await expect(page.get_by_role("heading", name="Sessions")).to_be_visible()
    complaints.clear()


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_pages_of_the_shell_are_for_everybody(
    sign_in: SignIn, axe: AxeCheck, complaints: list[str], theme: str
) -> None:
    """No serious finding of axe, light and dark, wide and on a phone; nothing is cut off there."""
    for viewport in ({"width": 1280, "height": 800}, PHONE):
        page = await sign_in(None, color_scheme=theme, viewport=viewport)
        assert await axe(page) == []
        page = await sign_in("admin", color_scheme=theme, viewport=viewport)
        for path in OWN:
            await page.goto(path)
            assert await axe(page) == [], path
            assert not await overflows(page), path
    assert all("404" in text for text in complaints), complaints
    complaints.clear()


async def test_on_a_phone_the_navigation_folds(sign_in: SignIn) -> None:
    """Closed at first; a touch opens it; every target is large enough for a finger."""
    page = await sign_in("operator", "/status", viewport=PHONE, has_touch=True)
    link = page.get_by_role("navigation", name="Pages").get_by_role("link", name="Status")
    await expect(link).to_be_hidden()
    await page.locator("summary", has_text="Menu").tap()
    await expect(link).to_be_visible()
    box = await link.bounding_box()
    assert box is not None
    assert box["height"] >= 24


async def test_the_colours_follow_the_system_until_somebody_chooses(sign_in: SignIn) -> None:
    """And the choice stays."""
    page = await sign_in("operator", "/status", color_scheme="dark")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    dark = await page.evaluate(ground)
    await page.get_by_role("button", name="Light").click()
    await expect(page.locator("html")).to_have_attribute("data-theme", "light")
    assert page.url.endswith("/status")
    light = await page.evaluate(ground)
    assert light != dark
    await page.goto("/sessions")
    assert await page.evaluate(ground) == light


async def test_times_are_those_of_the_reader_with_utc_beside(sign_in: SignIn) -> None:
    """In the zone of the browser, which is named; in one form whatever the language, and in that of the terminal."""
    for locale in ("en-GB", "en-US", "ar-EG"):
        page = await sign_in("operator", "/status", timezone_id="Asia/Tokyo", locale=locale)
        time = page.locator("caption time")
        assert "UTC" in (await time.get_attribute("title") or "")
        at = datetime.fromisoformat(await time.get_attribute("datetime") or "")
        await expect(time).to_have_text(f"{at.astimezone(ZoneInfo('Asia/Tokyo')):%Y-%m-%d %H:%M:%S} GMT+9")
    page = await sign_in("operator", "/status", java_script_enabled=False)
    time = page.locator("caption time")
    at = datetime.fromisoformat(await time.get_attribute("datetime") or "")
    await expect(time).to_have_text(f"{at:%Y-%m-%d %H:%M:%S} UTC")


@pytest.mark.parametrize("viewport", [{"width": 1280, "height": 800}, PHONE], ids=["wide", "phone"])
async def test_a_browser_without_script_does_as_well(sign_in: SignIn, viewport: dict[str, int]) -> None:
    """Signing in, the menu, a page, signing out: script only adds. Where there is room nothing must be opened first."""
    page = await sign_in("operator", "/sessions", java_script_enabled=False, viewport=viewport)
    link = page.get_by_role("navigation", name="Pages").get_by_role("link", name="Status")
    if viewport == PHONE:
        await page.locator("summary", has_text="Menu").click()
    await expect(link).to_be_visible()
    await link.click()
    await expect(page.get_by_role("heading", name="Status")).to_be_visible()
    if viewport == PHONE:
        await page.locator("summary", has_text="Menu").click()
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_shortcuts_are_listed_and_can_be_switched_off_and_stay_off(sign_in: SignIn, axe: AxeCheck) -> None:
    """WCAG 2.1.4: who speaks to the computer switches them off, on every page and in every window."""
    page = await sign_in("approver", "/status")
    await page.keyboard.press("?")
    dialog = page.get_by_role("dialog")
    keys = {text for row in await dialog.locator("tbody td:first-child").all_inner_texts() for text in row.split()}
    assert {"?", "g", "j", "k", "x", "/", "Enter"} <= keys
    assert await axe(page) == []
    await dialog.get_by_role("button", name="Switch shortcuts off").click()
    await page.wait_for_load_state()
    assert page.url.endswith("/status")
    for path in ("/status", "/approvals"):
        await page.goto(path)
        for key in ("?", "g", "p"):
            await page.keyboard.press(key)
        await expect(page.get_by_role("dialog")).to_be_hidden()
        assert page.url.endswith(path)
    await page.get_by_role("button", name="Keyboard shortcuts").click()
    await expect(dialog).to_contain_text("switched off")
    await dialog.get_by_role("button", name="Switch shortcuts on").click()
    await page.goto("/status")
    await page.keyboard.press("?")
    await expect(dialog).to_be_visible()


async def test_a_page_that_is_not_for_them_says_for_whom_it_is(sign_in: SignIn, complaints: list[str]) -> None:
    """And what they are, so that they can ask for the right thing."""
    page = await sign_in("agent", "/approvals")
    await expect(page.locator("main")).to_contain_text("one of the roles: approver, auditor, operator; yours: agent")
    complaints.clear()


async def test_a_person_signs_in_by_the_provider_of_their_organisation(
    nats_url: str, redis_url: str, tmp_path: Path, browser: Browser, axe: AxeCheck
) -> None:
    """There and back in the browser, to the page that was asked for, with the strict cookie."""
    async with running_both(nats_url, redis_url, tmp_path) as both:
        context = await browser.new_context(base_url=both.api.url)
        page = await context.new_page()
        await page.goto("/sessions")
        assert await axe(page) == []
        await page.get_by_role("link", name="Sign in with").click()
        await page.get_by_role("button", name="I am Alice").click()
        await expect(page.get_by_role("heading", name="Sessions")).to_be_visible()
        await expect(page.locator(".who .person")).to_have_text("alice@example.com")
        names = {cookie["name"]: cookie["sameSite"] for cookie in await context.cookies(both.api.url)}
        assert names == {"holdgate": "Strict"}
        await context.close()
