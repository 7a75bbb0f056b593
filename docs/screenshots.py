"""Pictures of the console for the docs: `python docs/screenshots.py` starts a system, fills it, writes `docs/images/`.

What always holds: every picture is of the real console over a real system; each is written with a palette, so that all
of them together stay far below a megabyte. Needs Chromium on the PATH. The hour before the system was started has no
events: its counters are made up, the same each time.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import redis
from palette import shrink
from playwright.async_api import Browser, Page, async_playwright

from holdgate.kernel.clock import SystemClock, rfc3339

IMAGES = Path(__file__).parent / "images"
SIZE = {"width": 1200, "height": 720}
READY_WITHIN_S = 60
DAY_MS = 86_400_000
HELD = {"topic": "job.deploy.apply", "capability": "infra.write"}
SERVICES = ("checkout", "search", "billing", "mail")
PAGES = {
    "overview": ("operator", "/overview"),
    "approvals": ("approver", "/approvals"),
    "approval": ("approver", "/approvals/{held}"),
    "quarantine": ("approver", "/quarantine"),
    "jobs": ("operator", "/jobs"),
    "job": ("operator", "/jobs/{released}"),
    "policy": ("author", "/policy"),
    "playground": ("author", "/policy/playground?topic=job.deploy.apply&labels=env%3Dprod&capability=infra.write"),
    "dead-letters": ("operator", "/dead"),
    "workers": ("operator", "/workers"),
}
ONE_THEME = {
    "bulk": ("approver", "/approvals?topic=job.deploy.canary"),
    "sealed": ("approver", "/quarantine/{sealed}"),
    "result": ("operator", "/jobs/{redacted}#result-title"),
    "grants": ("approver", "/grants"),
    "grant": ("approver", "/grants/{grant}"),
    "delegations": ("approver", "/delegations"),
    "sessions": ("approver", "/sessions"),
    "status": ("operator", "/status"),
    "audit": ("auditor", "/audit"),
    "bundle": ("author", "/policy/bundles/house?before=1&after=2"),
}
"""Pages of which one picture is enough: in the light."""
CANARY = "job.deploy.canary"
HOUSE = """
rules:
  - id: house.hold-canary
    decision: require_approval
    reason: "a canary takes a part of the traffic"
    severity: low
    match: {{topics: [job.deploy.canary]}}
    approvers: {{roles: [release-manager], quorum: 1, expires: {expires}, grants: true}}
"""
Ready = dict[str, Any]


def main() -> None:
    """Write all of them."""
    IMAGES.mkdir(exist_ok=True)
    with running() as (ready, folder):
        ids = fill(ready, folder)
        make_up_history(ready)
        asyncio.run(take(ready, ids))
    size = sum(image.stat().st_size for image in IMAGES.glob("*.png"))
    print(f"{size / 1000:.0f} kB in {IMAGES}")


@contextmanager
def running() -> Iterator[tuple[Ready, Path]]:
    """`holdgate up` in a directory of its own, on free ports."""
    with tempfile.TemporaryDirectory(prefix="holdgate-pictures-") as folder:
        ready_file = Path(folder) / "ready.json"
        options = ("--dir", f"{folder}/home", "--port", "0", "--metrics-port", "0", "--ready-file", str(ready_file))
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen(
                (sys.executable, "-m", "holdgate.scheduler.cli", "up", *options), stdout=log, stderr=log
            )
            try:
                until_s = time.monotonic() + READY_WITHIN_S
                while not ready_file.exists():
                    if process.poll() is not None or time.monotonic() > until_s:
                        sys.exit(f"the system did not start:\n{(Path(folder) / 'log').read_text()[-2000:]}")
                    time.sleep(0.05)
                yield json.loads(ready_file.read_text()), Path(folder)
            finally:
                process.terminate()
                process.wait(30)


def fill(ready: Ready, folder: Path) -> dict[str, str]:
    """Jobs that ended in each way, and ids for the pages of single ones."""
    agent, approver = _client(ready, "agent"), _client(ready, "approver")
    for version, expires in enumerate(("4h", "8h"), 1):
        _publish(ready, folder, version, HOUSE.format(expires=expires))
    for number in range(24):
        _submit(agent, topic="job.demo.read", prompt="status", labels={"team": "payments", "run": str(number)})
    _submit(agent, topic="job.exec.shell", prompt="look at the logs")
    redacted = _submit(agent, topic="job.demo.leak", prompt="look at the logs")
    sealed = _submit(agent, topic="job.demo.key", prompt="look at the logs")
    _submit(agent, topic="job.demo.fail", max_attempts=1)
    held = [_deployment(agent, service) for service in SERVICES]
    _vote(approver, held[0], "approve", "Read the change and the way back.")
    _vote(approver, held[1], "reject", "Not during the sale.")
    for job_id in (held[0], sealed, redacted):
        agent.get(f"/jobs/{job_id}", params={"wait": "20s"})
    return {
        "released": held[0],
        "held": held[2],
        "sealed": sealed,
        "redacted": redacted,
        "grant": _canaries(agent, approver),
    }


def _publish(ready: Ready, folder: Path, version: int, rules: str) -> None:
    """A version of the bundle `house`, once the kernel decides by it."""
    draft = folder / f"house-{version}"
    draft.mkdir()
    (draft / "rules.yaml").write_text(rules)
    (draft / "bundle.yaml").write_text(
        f'name: house\nversion: {version}\nexpires: "2040-01-01T00:00:00Z"\nrules: [rules.yaml]\n'
    )
    file, key, api_key = f"{draft}.bundle", f"{folder}/home/keys/author.key", folder / "author"
    api_key.touch(mode=0o600)
    api_key.write_text(ready["keys"]["author"])
    for arguments in (
        ("build", str(draft), "-o", file),
        ("sign", file, "--key", key),
        ("publish", file, "--api", ready["api"], "--api-key-file", str(api_key), "--accept-widening"),
    ):
        subprocess.run(
            (sys.executable, "-m", "holdgate.scheduler.cli", "bundle", *arguments),
            stdout=subprocess.DEVNULL,
            check=True,
        )
    until_s, operator = time.monotonic() + READY_WITHIN_S, _client(ready, "operator")
    while ("house", version) not in _decided_by(operator):
        if time.monotonic() > until_s:
            sys.exit("the kernel does not take the bundle")
        time.sleep(0.1)


def _decided_by(operator: httpx.Client) -> set[tuple[str, int]]:
    """Bundles and versions that every kernel decides by."""
    kernels = operator.get("/policy/snapshots").json()["items"]
    return set.intersection(*({(each["name"], each["version"]) for each in kernel["bundles"]} for kernel in kernels))


def _canaries(agent: httpx.Client, approver: httpx.Client) -> str:
    """Canaries that are held, a standing grant made of the first of them, and a delegation; the id of the grant."""
    jobs = [_submit(agent, topic=CANARY, labels={"service": service}, payload={"share": 5}) for service in SERVICES]
    shown = approver.get(f"/approvals/{jobs[0]}").json()
    until = rfc3339(SystemClock().now_ms() + 5 * DAY_MS)
    terms = {"labels": ["service"], "uses_max": 20, "expires_at": until, "reason": "Canaries are routine."}
    about = {name: shown[name] for name in ("job_id", "job_hash", "snapshot")}
    grant = approver.post("/grants", json={**about, **terms}).raise_for_status().json()
    _submit(agent, topic=CANARY, labels={"service": SERVICES[0]}, payload={"share": 10})
    lent = {"delegate": "approver2", "roles": ["release-manager"], "reason": "I am away until Thursday."}
    approver.post("/delegations", json={**lent, "until": until}).raise_for_status()
    return str(grant["grant_id"])


def _deployment(agent: httpx.Client, service: str) -> str:
    payload = {"image": f"registry.example/{service}:4.2", "replicas": 6, "token": "ghp_" + "a1B2c3D4e5F6" * 3}
    labels = {"env": "prod", "service": service}
    return _submit(agent, **HELD, labels=labels, payload=payload, prompt=f"Deploy {service} 4.2 to production")


def _submit(agent: httpx.Client, **form: Any) -> str:
    return str(agent.post("/jobs", json=form).json().get("job_id", ""))


def _vote(approver: httpx.Client, job_id: str, verdict: str, reason: str) -> None:
    shown = approver.get(f"/approvals/{job_id}").json()
    body = {"job_hash": shown["job_hash"], "snapshot": shown["snapshot"], "reason": reason}
    approver.post(f"/approvals/{job_id}/{verdict}", json=body).raise_for_status()


def _client(ready: Ready, who: str) -> httpx.Client:
    return httpx.Client(base_url=f"{ready['api']}/api/v1", headers={"X-API-Key": ready["keys"][who]}, timeout=60)


def make_up_history(ready: Ready) -> None:
    """Counters of the hour before."""
    with redis.Redis.from_url(ready["redis"]) as store:
        this_minute = int(store.time()[0]) // 60
        for back in range(1, 60):
            minute = this_minute - back
            busy = 20 + _wave(back, 41) if back % 17 else 90
            counts = {
                "decision:allow": busy,
                "decision:allow_with_constraints": busy // 4,
                "decision:require_approval": _wave(back, 7),
                "decision:deny": _wave(back, 5),
                "output:allow": busy,
                "output:redact": _wave(back + 3, 6),
                "output:quarantine": int(back % 23 == 0),
                f"wait:{(10, 30, 60, 300)[_wave(back, 4)]}": _wave(back, 3),
                "level:queued": _wave(back, 13),
                "level:running": 4 + _wave(back + 5, 13),
                "level:held": 2 + _wave(back // 3, 6),
            }
            store.hset(f"hg:{{{ready['tenant']}}}:stats:{minute}", mapping=counts)
            health = {"samples": 6, "replicas": 3, "down": int(back in {31, 32}), "disagreed": int(back == 30)}
            store.hset(f"hg:{{index}}:health:{minute}", mapping=health)


def _wave(back: int, below: int) -> int:
    """A number that looks as if it were drawn."""
    return back * back * 31 % 97 % below


async def take(ready: Ready, ids: dict[str, str]) -> None:
    """A picture of each page in each theme."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            pages = {**PAGES, **(ONE_THEME if scheme == "light" else {})}
            for who in sorted({who for who, _ in pages.values()}):
                mine = {name: path.format(**ids) for name, (as_whom, path) in pages.items() if as_whom == who}
                await _take_as(browser, ready, who, scheme, mine)
        await browser.close()


async def _take_as(browser: Browser, ready: Ready, who: str, scheme: Any, pages: dict[str, str]) -> None:
    context = await browser.new_context(
        base_url=ready["api"], viewport=SIZE, color_scheme=scheme, locale="en-GB", timezone_id="UTC"
    )
    page = await context.new_page()
    await page.goto("/sign-in")
    if who == "approver":
        (IMAGES / f"sign-in-{scheme}.png").write_bytes(shrink(await page.screenshot()))
    await page.get_by_label("API key").fill(ready["keys"][who])
    await page.get_by_role("button", name="Sign in").click()
    await page.locator("form[action='/sign-out']").wait_for(state="attached")
    for name, path in pages.items():
        await page.goto(path)
        if name == "bulk":
            await _select_two(page)
        (IMAGES / f"{name}-{scheme}.png").write_bytes(shrink(await page.screenshot()))
    await context.close()


async def _select_two(page: Page) -> None:
    """From the queue on to the page that decides many at once."""
    for box in (await page.locator("label.pick input").all())[:2]:
        await box.check()
    await page.get_by_role("button", name="Decide selected").click()
    await page.wait_for_url("**/approvals/selected")


if __name__ == "__main__":
    main()
