"""Key files: made once, read by their owner only, never printed."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from holdgate.bundles.errors import KeyUnsafe, KeyUnusable
from holdgate.bundles.keys import generate, generate_quarantine, load_public, load_quarantine, load_signer


def test_a_key_comes_back_as_it_was_made(tmp_path: Path) -> None:
    made = generate(tmp_path / "a.key", "author")
    assert load_signer(tmp_path / "a.key").name == made.name
    assert load_public(tmp_path / "a.key.pub").raw == made.public_key
    assert load_public(tmp_path / "a.key.pub").fingerprint == made.name
    assert "seed" not in json.loads((tmp_path / "a.key.pub").read_text())


def test_a_private_key_is_its_owners_only(tmp_path: Path) -> None:
    generate(tmp_path / "a.key")
    assert stat.S_IMODE((tmp_path / "a.key").stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610])
def test_a_private_key_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    generate(tmp_path / "a.key")
    (tmp_path / "a.key").chmod(mode)
    for load in (load_signer, load_public):
        with pytest.raises(KeyUnsafe, match="chmod 600"):
            load(tmp_path / "a.key")


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    first = generate(tmp_path / "a.key")
    with pytest.raises(KeyUnusable, match="never overwritten"):
        generate(tmp_path / "a.key")
    assert load_signer(tmp_path / "a.key").name == first.name


def test_a_link_is_not_followed_when_a_key_is_made(tmp_path: Path) -> None:
    (tmp_path / "a.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyUnusable):
        generate(tmp_path / "a.key")
    assert not (tmp_path / "elsewhere").exists()


def test_a_signer_does_not_print_its_seed(tmp_path: Path) -> None:
    made = generate(tmp_path / "a.key", entropy=lambda n: b"\x07" * n)
    assert "07" * 4 not in repr(made)
    assert "\\x07" not in repr(made)


UNUSABLE = {
    "nothing": b"",
    "not JSON": b"seed",
    "another format": b'{"format": "x"}',
    "no seed": b'{"format": "holdgate-key/1"}',
    "a short seed": b'{"format": "holdgate-key/1", "seed": "00"}',
    "a seed that is no hex": b'{"format": "holdgate-key/1", "seed": "zz"}',
    "another fingerprint": b'{"format": "holdgate-key/1", "fingerprint": "ed25519:0", "seed": "' + b"00" * 32 + b'"}',
}


@pytest.mark.parametrize("data", UNUSABLE.values(), ids=UNUSABLE)
def test_what_is_not_a_key(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.key"
    path.write_bytes(data)
    path.chmod(0o600)
    with pytest.raises(KeyUnusable):
        load_signer(path)
    with pytest.raises(KeyUnusable):
        load_public(path)


def test_a_key_that_is_not_there(tmp_path: Path) -> None:
    for load in (load_signer, load_public, load_quarantine):
        with pytest.raises(KeyUnusable, match="cannot read"):
            load(tmp_path / "none")


def test_a_quarantine_key_opens_what_its_public_half_sealed(tmp_path: Path) -> None:
    public = generate_quarantine(tmp_path / "q.key")
    assert bytes(load_quarantine(tmp_path / "q.key").public_key) == public
    generate(tmp_path / "a.key")
    with pytest.raises(KeyUnusable):
        load_quarantine(tmp_path / "a.key")
