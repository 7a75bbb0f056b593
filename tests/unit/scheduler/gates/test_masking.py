"""What a person looks at first of a held job: secrets masked, personal data not, nothing that could not be searched."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import pytest

from holdgate.kernel.canonical import canonical_bytes
from holdgate.kernel.ids import Tenant
from holdgate.scan import ScanError, Scanner, ScanTimedOut
from holdgate.scheduler.gates.masking import INLINE_BYTES_MAX, Masked, Masking
from support.secrets import Secrets

TOKEN = Secrets().github()


async def test_the_same_secret_has_the_same_tag_wherever_it_stands() -> None:
    masked = await Masking(Scanner(), os.urandom).mask(canonical_bytes({"a": TOKEN}), f"use {TOKEN}", {"label": TOKEN})
    assert masked.data is not None
    shown = json.loads(masked.data)
    tag = shown["payload"]["a"]
    assert tag.startswith("[redacted:secret:")
    assert (shown["prompt"], shown["labels"]["label"]) == (f"use {tag}", tag)
    assert masked.count == 3


async def test_tags_of_another_start_are_others() -> None:
    payload = canonical_bytes(TOKEN)
    first, second = [await Masking(Scanner(), os.urandom).mask(payload, None, {}) for _ in range(2)]
    assert first.data != second.data


async def test_personal_data_stays() -> None:
    masked = await Masking(Scanner(), os.urandom).mask(
        canonical_bytes({"to": "alice.jones@customer.example"}), None, {}
    )
    assert masked.data is not None
    assert b"alice.jones@customer.example" in masked.data


async def test_a_large_payload_is_masked_like_a_small_one() -> None:
    filler = "word " * INLINE_BYTES_MAX
    masked = await Masking(Scanner(), os.urandom).mask(canonical_bytes([filler, TOKEN]), None, {})
    assert masked.data is not None
    assert TOKEN.encode() not in masked.data


@pytest.mark.parametrize("error", [ScanTimedOut, ScanError])
async def test_what_could_not_be_searched_is_not_shown(monkeypatch: pytest.MonkeyPatch, error: type[ScanError]) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(Scanner, "scan_value", fails)
    masked = await Masking(Scanner(), os.urandom).mask(canonical_bytes({"a": "b"}), "prompt", {})
    assert (masked.data, masked.scanned) == (None, False)


async def test_the_short_texts_around_are_masked_too() -> None:
    """A topic, a tag, a requirement and a key are the submitter's words like the prompt."""
    masked = await Masking(Scanner(), os.urandom).mask(
        None,
        None,
        {},
        {
            "topic": f"job.{TOKEN}",
            "capability": TOKEN,
            "risk_tags": [TOKEN],
            "requires": [TOKEN],
            "concurrency_key": TOKEN,
        },
    )
    assert masked.data is not None
    assert TOKEN.encode() not in masked.data
    assert masked.count == 5


@pytest.mark.parametrize("sent", ["QUJD" * 64, "word " * INLINE_BYTES_MAX], ids=["packed", "long"])
async def test_jobs_that_take_long_are_masked_in_turn_by_tenants(monkeypatch: pytest.MonkeyPatch, sent: str) -> None:
    """And what may be packed takes long, however short it is."""
    began: list[str] = []

    async def to_thread(_: Any, payload: bytes | None, prompt: str, *__: Any) -> Masked:
        began.append(prompt[:2])
        await asyncio.sleep(0)
        return Masked(payload)

    monkeypatch.setattr(asyncio, "to_thread", to_thread)
    masking = Masking(Scanner(), os.urandom)
    await asyncio.gather(
        *(masking.mask(None, f"{name} {sent}", {}, tenant=Tenant(name[0])) for name in ("a1", "a2", "a3", "b1"))
    )
    assert began == ["a1", "a2", "b1", "a3"]
