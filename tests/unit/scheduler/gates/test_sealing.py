"""Boxes: what is in them is committed to when they are made, and whoever cannot open them learns nothing of it."""

from __future__ import annotations

import pytest
from nacl.public import PrivateKey

from holdgate.kernel import wire
from holdgate.kernel.canonical import digest_bytes
from holdgate.kernel.errors import Forged
from holdgate.scheduler.gates.sealing import Sealer, commitment_of, content_of, open_box

CONTENT = {"job_id": "job_1", "attempt": 1, "output": {"value": b"[1]"}}
KEY = PrivateKey(b"\x01" * 32)


def test_what_was_sealed_is_what_was_committed_to() -> None:
    sealed = Sealer(bytes(KEY.public_key)).seal(CONTENT)
    opened = open_box(sealed.data, KEY)
    assert commitment_of(opened) == sealed.commitment
    assert content_of(opened) == CONTENT
    assert digest_bytes(sealed.data) == sealed.digest


def test_a_guess_of_the_content_cannot_be_held_against_the_commitment() -> None:
    """Two boxes of one content have two commitments, since each has a salt of its own."""
    sealer = Sealer(bytes(KEY.public_key))
    assert sealer.seal(CONTENT).commitment != sealer.seal(CONTENT).commitment
    guess = wire.pack({**CONTENT, "salt": bytes(32)})
    assert commitment_of(guess) != sealer.seal(CONTENT).commitment
    fixed = Sealer(bytes(KEY.public_key), lambda n: bytes(n)).seal(CONTENT)
    assert commitment_of(guess) == fixed.commitment


def test_another_content_has_another_commitment() -> None:
    opened = open_box(Sealer(bytes(KEY.public_key)).seal(CONTENT).data, KEY)
    altered = opened.replace(b"job_1", b"job_2")
    assert content_of(altered)["job_id"] == "job_2"
    assert commitment_of(altered) != commitment_of(opened)


@pytest.mark.parametrize("data", [b"", b"x" * 47, b"x" * 200])
def test_what_is_no_box_does_not_open(data: bytes) -> None:
    with pytest.raises(Forged):
        open_box(data, KEY)


@pytest.mark.parametrize("opened", [b"", b"[]", wire.pack({})[:-1], b"\x81\xa1v\x02"])
def test_what_is_no_content_is_not_read(opened: bytes) -> None:
    with pytest.raises(Forged):
        content_of(opened)
