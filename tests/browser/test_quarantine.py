"""Sealed outputs in a real browser: findings without the secret, and the votes that release or destroy."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import expect

from holdgate.scan.output import Output
from holdgate.scheduler.gates.sealing import Sealer
from holdgate.scheduler.state.transitions import State
from support.api import ApiWorld, running_api
from support.holding import job_state
from support.running import TENANT, Runner
from support.sealing import Sealed

SignIn = Callable[..., Awaitable[Any]]
SECRET = "-----BEGIN PRIVATE KEY-----"
HOSTILE = "/value/<img src=x onerror=alert(1)>"
FINDING = {
    "detector": "private-key",
    "category": "private_key",
    "severity": "critical",
    "path": HOSTILE,
    "via": "value",
    "start": 0,
    "end": 27,
    "fingerprint": "0123456789abcdef",
    "verdict": "quarantine",
}


@pytest_asyncio.fixture(loop_scope="session")
async def system(nats_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[ApiWorld]:
    """An API that holds the key which opens what is sealed."""
    home = tmp_path / "home"
    settings = {"quarantine_key_file": home / "keys" / "quarantine.key"}
    async with running_api(nats_url, redis_url, home, settings) as world:
        yield world


async def seal(system: ApiWorld, severity: str = "critical") -> str:
    """The id of a job whose output is sealed."""
    job_id = str((await system.submit()).json()["job_id"])
    runner = Runner(system)
    await runner.start(job_id)
    trust = system.deps.trust()
    assert trust is not None
    assert trust.quarantine_key is not None
    output = Output(b'{"pem":"' + SECRET.encode() + b'"}', ("a line",))
    content = {"tenant": TENANT, "job_id": job_id, "attempt": runner.attempt, "output": output.as_dict()}
    sealed = Sealer(trust.quarantine_key).seal(content)
    verdict = {
        "verdict": "quarantine",
        "reason": "private keys are always quarantined",
        "rules": [],
        "findings": [{**FINDING, "severity": severity}],
        "sealed": True,
        "sealed_digest": sealed.digest,
        "commitment": sealed.commitment,
        "data_class": "restricted",
        "marks": ["untrusted_instructions"],
    }
    await runner.finish(job_id, State.QUARANTINED, verdict=verdict, sealed=sealed.data)
    return job_id


async def test_findings_are_shown_and_the_secret_never(system: ApiWorld, sign_in: SignIn) -> None:
    job_id = await seal(system)
    page = await sign_in("approver", path="/quarantine")
    await page.locator(".row-open").click()
    await page.wait_for_url(f"**/quarantine/{job_id}")
    for text in ("private-key", "critical", HOSTILE, "0–27", "0123456789abcdef"):
        await expect(page.locator("main")).to_contain_text(text)
    assert SECRET not in await page.content()
    assert await page.locator("main img").count() == 0


async def test_a_grave_one_is_released_by_two(system: ApiWorld, sign_in: SignIn) -> None:
    job_id = await seal(system)
    for name, told in (("approver", "1 more is needed"), ("approver2", "Released")):
        page = await sign_in(name, path=f"/quarantine/{job_id}")
        await page.locator("#reason").fill("a key for tests, rotated")
        await page.get_by_role("button", name="Release").click()
        await expect(page.locator("#notices")).to_contain_text(told)
    assert await job_state(system, job_id) == "succeeded"


async def test_one_person_destroys_it_with_a_reason(system: ApiWorld, sign_in: SignIn, complaints: list[str]) -> None:
    job_id = await seal(system)
    page = await sign_in("approver", path=f"/quarantine/{job_id}")
    await page.get_by_role("button", name="Destroy").click()
    await expect(page.get_by_role("alert")).to_contain_text("A reason is needed")
    complaints.clear()
    await page.locator("#reason").fill("nobody needs it")
    await page.get_by_role("button", name="Destroy").click()
    await expect(page.locator("#notices")).to_contain_text("Destroyed")
    await page.goto(f"/quarantine/{job_id}")
    await expect(page.get_by_role("button", name="Release")).to_have_count(0)


async def test_somebody_else_destroyed_it_meanwhile(system: ApiWorld, sign_in: SignIn, complaints: list[str]) -> None:
    job_id = await seal(system)
    page = await sign_in("approver", path=f"/quarantine/{job_id}")
    other = system.client("approver2")
    digest = (await other.get(f"/api/v1/quarantine/{job_id}")).json()["digest"]
    await other.post(f"/api/v1/quarantine/{job_id}/destroy", json={"digest": digest, "reason": "gone"})
    await page.locator("#reason").fill("fine")
    await page.get_by_role("button", name="Release").click()
    await expect(page.get_by_role("alert")).to_contain_text("Somebody was faster")
    complaints.clear()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_nothing_serious_is_in_the_way_of_anybody(
    system: ApiWorld, sign_in: SignIn, axe: Any, scheme: str
) -> None:
    job_id = await seal(system)
    page = await sign_in("approver", color_scheme=scheme, viewport={"width": 360, "height": 760})
    for path in ("/quarantine", f"/quarantine/{job_id}"):
        await page.goto(path)
        assert await axe(page) == [], path
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


async def test_what_was_opened_elsewhere_is_pasted_and_released(
    system: ApiWorld, sign_in: SignIn, complaints: list[str]
) -> None:
    """Without script, and only where it is what was sealed."""
    job_id = await seal(system, "low")
    opened = (await Sealed(system).open(job_id))["opened"]
    page = await sign_in("approver", path=f"/quarantine/{job_id}", java_script_enabled=False)
    for text in ("29 d", "restricted", "untrusted instructions"):
        await expect(page.locator("main")).to_contain_text(text)
    for pasted, told in ((opened[:-8] + "AAAAAAA=", "cannot be opened"), (json.dumps({"opened": opened}), "Released")):
        if not await page.locator("#opened").is_visible():
            await page.get_by_text("It was opened where the key is").click()
        await page.locator("#reason").fill("opened and read")
        await page.locator("#opened").fill(pasted)
        await page.get_by_role("button", name="Release what was opened").click()
        await expect(page.locator("body")).to_contain_text(told)
    complaints.clear()
    assert await job_state(system, job_id) == "succeeded"


async def test_what_is_to_be_read_instead_is_shown_to_the_second_one(
    system: ApiWorld, sign_in: SignIn, complaints: list[str]
) -> None:
    job_id = await seal(system)
    page = await sign_in("approver", path=f"/quarantine/{job_id}")
    for text, told in (("{", "Not JSON"), ('{"value": {"pem": "taken <b>out</b>"}}', "1 more is needed")):
        if not await page.locator("#replacement").is_visible():
            await page.get_by_text("Something else is to be read instead").click()
        await page.locator("#reason").fill("the key is out of it")
        await page.locator("#replacement").fill(text)
        await page.get_by_role("button", name="Propose this").click()
        await expect(page.locator("body")).to_contain_text(told)
    page = await sign_in("approver2", path=f"/quarantine/{job_id}")
    await expect(page.locator("#proposed ~ *").first).to_contain_text("approver")
    await expect(page.locator("main")).to_contain_text("taken <b>out</b>")
    await page.locator("#reason").fill("nothing secret in it")
    await page.get_by_role("button", name="Release what is proposed").click()
    await expect(page.locator("#notices")).to_contain_text("Released")
    result = (await system.client("agent").get(f"/api/v1/jobs/{job_id}/result")).json()
    assert result["value"] == {"pem": "taken <b>out</b>"}
    assert all("422" in complaint for complaint in complaints), "the browser tells of the one that was refused"
    complaints.clear()
