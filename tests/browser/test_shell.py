"""Signing in, and what is around every page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

SignIn = Callable[..., Awaitable[Any]]


async def test_who_signs_in_sees_the_console(sign_in: SignIn, axe: Any) -> None:
    """By key: the start page in the shell, with the person and the tenant, and nothing in the way of anybody."""
    page = await sign_in("operator")
    assert await page.locator("h1").count() == 1
    assert await page.locator(".who .person").inner_text() == "operator"
    assert await axe(page) == []


async def test_without_a_session_every_page_is_the_sign_in_page(sign_in: SignIn, axe: Any) -> None:
    """And leads back to what was asked for."""
    page = await sign_in(None)
    await page.goto("/status")
    assert "/sign-in?next=/status" in page.url
    assert await axe(page) == []
