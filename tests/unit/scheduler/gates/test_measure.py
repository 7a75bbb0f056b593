"""What the submit gate measures: secrets, personal data, live credentials of the platform, whatever their disguise."""

from __future__ import annotations

import asyncio
import base64
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from holdgate.kernel.canonical import canonical_bytes
from holdgate.kernel.ids import Tenant
from holdgate.kernel.jobform import JobForm, parse_form, texts_of
from holdgate.scan import Present, ScanError, Scanner, ScanTimedOut, engine
from holdgate.scan.known import KnownDigests, KnownSecrets
from holdgate.scheduler.gates.measure import INLINE_CHARS_MAX, PACKED_CHARS_MAX, Measure
from holdgate.scheduler.identity.keys import KEY_REST, key_sha256
from support.secrets import ALNUM, URLSAFE, Secrets

MADE = Secrets(23)
TOKEN = MADE.github()
PASSWORD = MADE.chars(ALNUM, 24).encode()
LIVE = ("hgk_" + MADE.chars(URLSAFE, 43)).encode()
DEAD = ("hgk_" + MADE.chars(URLSAFE, 43)).encode()
NOTHING = Present()


def made(known: tuple[bytes, ...] = (PASSWORD,)) -> Measure:
    """A measure that knows a password and a live API key."""
    live = KnownDigests("api-key", b"hgk_", KEY_REST, key_sha256, lambda digest: digest == key_sha256(LIVE))
    return Measure(Scanner(known, known_digests=(live,)), (KnownSecrets(known), live))


def form(**fields: Any) -> JobForm:
    """A job's form."""
    return parse_form({"topic": "job.a.b", **fields}, now_ms=0)


FIELDS = {
    "prompt": form(prompt=f"use {TOKEN}"),
    "payload": form(payload={"a": [TOKEN]}),
    "label": form(labels={"note": TOKEN}),
    "topic": form(topic=f"job.{TOKEN}"),
    "capability": form(capability=TOKEN),
    "risk tag": form(risk_tags=[TOKEN]),
    "requirement": form(requires=[TOKEN]),
    "concurrency key": form(concurrency_key=TOKEN),
}


@pytest.mark.parametrize("job", FIELDS.values(), ids=FIELDS)
async def test_a_secret_is_measured_wherever_the_submitter_wrote_it(job: JobForm) -> None:
    assert (await made().present(*texts_of(job))).secrets


@pytest.mark.parametrize("field", ["secrets", "pool"])
async def test_a_password_of_the_platform_is_found_in_names(field: str) -> None:
    """One of hex digits is a name like any other."""
    password = MADE.random.randbytes(24).hex()
    job = form(**{field: [password] if field == "secrets" else password})
    assert (await made((password.encode(),)).present(*texts_of(job))).platform


async def test_an_ordinary_job_carries_nothing() -> None:
    job = form(prompt="status of the build", payload={"n": 1}, labels={"env": "prod"}, concurrency_key="build-7")
    assert await made().present(*texts_of(job)) == NOTHING


async def test_personal_data_is_told_apart_from_secrets() -> None:
    found = await made().present(canonical_bytes({"card": MADE.card(), "to": "alice.jones@customer.example"}))
    assert (found.secrets, found.pii, found.platform) == (False, True, False)


@pytest.mark.parametrize(
    "form_of", [bytes, base64.b64encode, lambda secret: secret.hex().encode()], ids=["plain", "base64", "hex"]
)
async def test_a_password_of_the_platform_is_found_in_its_forms(form_of: Any) -> None:
    found = await made().present(None, canonical_bytes({"note": form_of(PASSWORD).decode()}))
    assert found == Present(secrets=True, pii=False, platform=True)


async def test_an_api_key_counts_while_it_is_live() -> None:
    """By its form and its digest: one that was revoked, or never was, is a text of that form."""
    live = await made().present(None, canonical_bytes({"key": LIVE.decode()}))
    wrapped = await made().present(None, canonical_bytes({"note": base64.b64encode(b"see " + LIVE).decode()}))
    dead = await made().present(None, canonical_bytes({"key": DEAD.decode()}))
    assert (live.platform, wrapped.platform, dead.platform) == (True, True, False)


@pytest.mark.parametrize("error", [ScanTimedOut, ScanError])
async def test_what_could_not_be_searched_has_all_but_a_credential_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, error: type[ScanError]
) -> None:
    """A job is refused for what it holds, not for being hard to read; what stands in it plainly is found even so."""

    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(Scanner, "scan", fails)
    monkeypatch.setattr(Scanner, "present", lambda *_: Present(True, True, True))
    assert await made().present("hard to read") == Present(secrets=True, pii=True, platform=False)
    assert (await made().present(f"hard to read {PASSWORD.decode()}")).platform
    assert (await made().present(f"hard to read {LIVE.decode()}")).platform


async def test_a_long_text_is_searched_to_its_end() -> None:
    """In a thread, like a short one."""
    payload = canonical_bytes(["word " * INLINE_CHARS_MAX, LIVE.decode(), MADE.card(), TOKEN])
    assert await made().present(payload) == Present(secrets=True, pii=True, platform=True)


@pytest.mark.parametrize(
    ("text", "leaves"),
    [
        ("status of the build " * 100, False),
        ("word " * INLINE_CHARS_MAX, True),
        ("QUJD" * 64, True),
        (b"%1f%8b" * 50, True),
    ],
)
async def test_what_may_be_much_more_than_it_seems_leaves_the_event_loop(
    monkeypatch: pytest.MonkeyPatch, text: str | bytes, leaves: bool
) -> None:
    """A few hundred letters may unpack to a megabyte."""
    left: list[object] = []

    async def to_thread(work: Any, *given: Any) -> Any:
        left.append(work)
        return work(*given)

    monkeypatch.setattr(asyncio, "to_thread", to_thread)
    await made().present(text)
    assert bool(left) is leaves


async def test_long_texts_are_searched_tenant_by_tenant_and_short_ones_beside_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many long ones a tenant sends at once."""
    began: list[str] = []
    over = asyncio.Event()

    async def to_thread(work: Any, texts: tuple[str, ...]) -> Any:
        began.append(texts[0][:2])
        if texts[0].startswith("a1"):
            await over.wait()
        return work(texts)

    monkeypatch.setattr(asyncio, "to_thread", to_thread)
    measure = made()
    long = " word" * (PACKED_CHARS_MAX // 5)
    async with asyncio.TaskGroup() as group:
        for name in ("a1", "a2", "a3", "b1"):
            group.create_task(measure.present(name + long, tenant=Tenant(name[0])))
        await asyncio.sleep(0)
        await measure.present("b2" + " word" * INLINE_CHARS_MAX, tenant=Tenant("b"))
        over.set()
    assert began == ["a1", "b2", "a2", "b1", "a3"]


async def test_a_text_that_takes_long_is_given_up_and_not_searched_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sender's next one waits, too. What stands in it plainly is found."""
    ticks = count()
    monkeypatch.setattr(engine, "time", SimpleNamespace(monotonic=lambda: next(ticks) / 100))
    found = await made().present("word " * 400_000 + PASSWORD.decode())
    assert found == Present(secrets=True, pii=True, platform=True)
    assert next(ticks) < 250
