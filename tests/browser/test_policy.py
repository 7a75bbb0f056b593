"""Policy: what is in force, bundles and their rules, replay, and the playground."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import expect

from support.api import ApiWorld

SignIn = Callable[..., Awaitable[Any]]
ATTACK = "<img src=x onerror=\"document.title='hit'\">{{7*7}}"


@pytest.mark.parametrize("who", ["author", "operator", "auditor"])
async def test_what_is_in_force_is_shown_with_its_rules(sign_in: SignIn, axe: Any, who: str) -> None:
    """That kernels agree, and each bundle with who signed it and its text."""
    page = await sign_in(who, "/policy", color_scheme="light")
    await expect(page.get_by_role("status").filter(has_text="agreed")).to_be_visible()
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        assert await axe(page) == []
    await page.get_by_role("link", name="demo", exact=True).click()
    await expect(page.locator("main")).to_contain_text("id: require-approval-prod-write")
    assert await axe(page) == []


async def test_who_sees_no_bundles_sees_the_kernels(sign_in: SignIn) -> None:
    """An agent may know under which snapshot it is decided about, and not the rules."""
    page = await sign_in("agent", "/policy")
    await expect(page.get_by_role("heading", name="Kernels")).to_be_visible()
    await expect(page.get_by_role("heading", name="Bundles")).to_have_count(0)
    assert (await page.request.get("/policy/bundles/demo")).status == 403


async def test_the_playground_explains_a_hold(sign_in: SignIn, axe: Any) -> None:
    """Which rule counts, which field of the others fails, and what would happen next."""
    page = await sign_in("agent", "/policy/playground", color_scheme="light")
    await page.get_by_label("Topic").fill("job.deploy.apply")
    await page.get_by_label("Labels").fill("env=prod")
    await page.get_by_label("Capability").fill("infra.write")
    await page.get_by_label("Payload").fill('{"secret-of-the-payload": 1}')
    await page.get_by_role("button", name="Explain").click()
    answer = page.locator(".answer")
    await expect(answer).to_contain_text("It would be held until released: 1 of role release-manager")
    await expect(answer.get_by_role("heading", name="1 rule counts")).to_be_visible()
    await expect(answer).to_contain_text("labels.env wants dev, staging, test; the job has prod")
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        assert await axe(page) == []
    shared = await answer.get_by_role("link", name="Address of this, without payload").get_attribute("href")
    assert shared is not None
    assert "secret" not in shared
    await page.goto(shared)
    await expect(page.locator(".answer")).to_contain_text("It would be held until released")
    await expect(page.get_by_label("Payload")).to_have_value("")


async def test_the_playground_explains_a_denial(sign_in: SignIn) -> None:
    """With the safer versions that it names; without any script."""
    page = await sign_in("operator", "/policy/playground?topic=job.exec.shell", java_script_enabled=False)
    answer = page.locator(".answer")
    await expect(answer).to_contain_text("Submitting it would be answered with 403")
    await expect(answer.get_by_role("heading", name="Safer versions")).to_be_visible()
    await page.goto("/policy/playground?topic=no.rule.knows.this")
    await expect(answer).to_contain_text("No rule matches, so the default decides: deny")


async def test_what_cannot_be_read_is_named_and_what_was_typed_stays(sign_in: SignIn, complaints: list[str]) -> None:
    """And it stays text."""
    page = await sign_in("agent", "/policy/playground")
    await page.get_by_label("Topic").fill("job.demo.read")
    await page.get_by_label("Labels").fill(f"x={ATTACK}")
    await page.get_by_label("Payload").fill(f"{{{ATTACK}")
    await page.get_by_role("button", name="Explain").click()
    await expect(page.get_by_role("alert")).to_contain_text("is not JSON")
    await expect(page.get_by_label("Payload")).to_have_value(f"{{{ATTACK}")
    await page.get_by_label("Payload").fill("[]")
    await page.get_by_role("button", name="Explain").click()
    await expect(page.get_by_role("heading", name="1 rule counts")).to_be_visible()
    await page.goto(f"/policy/playground?topic={ATTACK}")
    await expect(page.get_by_role("alert")).to_contain_text("topic")
    assert await page.locator("main img").count() == 0
    assert await page.title() != "hit"
    complaints[:] = [text for text in complaints if "422" not in text]


async def test_an_author_tries_a_version_on_what_was_decided(system: ApiWorld, sign_in: SignIn, axe: Any) -> None:
    """And nobody else is offered it."""
    for form in ({}, {"topic": "job.exec.shell"}):
        await system.submit(**form)
    page = await sign_in("author", "/policy/bundles/demo")
    await page.get_by_role("button", name="Replay 1").click()
    await expect(page.locator("main")).to_contain_text("No decision would be another.")
    assert await axe(page) == []
    other = await sign_in("operator", "/policy/bundles/demo")
    await expect(other.get_by_role("button", name="Replay 1")).to_have_count(0)


async def test_policy_fits_a_phone(sign_in: SignIn) -> None:
    """At 360 pixels, texts of rules scroll in themselves."""
    page = await sign_in("author", "/policy", viewport={"width": 360, "height": 700})
    for path in ("/policy", "/policy/bundles/demo", "/policy/playground?topic=job.deploy.apply"):
        await page.goto(path)
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360, path
