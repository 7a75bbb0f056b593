"""Key files: made once, read by their owner only, never printed."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from holdgate.bundles.errors import KeyPassphrase, KeyUnsafe, KeyUnusable
from holdgate.bundles.keys import (
    KEY_FILE_BYTES_MAX,
    generate,
    generate_quarantine,
    load_public,
    load_quarantine,
    load_signer,
    load_signer_fd,
    read_passphrase,
)
from holdgate.bundles.passphrase import BYTES_MAX, Cost, parse_passphrase

PASSPHRASE = b"a long way to somewhere"
QUICK = Cost(operations=1, memory_bytes=8192)


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
    generate(tmp_path / "sealed.key", passphrase=PASSPHRASE, cost=QUICK)
    for name in ("a.key", "sealed.key"):
        (tmp_path / name).chmod(mode)
        for load in (load_signer, load_public):
            with pytest.raises(KeyUnsafe, match="chmod 600"):
                load(tmp_path / name)


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


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """A key with a passphrase, made at little cost."""
    generate(tmp_path / "sealed.key", passphrase=PASSPHRASE, cost=QUICK)
    return tmp_path / "sealed.key"


def test_a_sealed_key_opens_with_its_passphrase_and_shows_its_public_half_without(sealed: Path) -> None:
    public = load_public(sealed)
    assert (public.sealed, public.fingerprint) == (True, load_signer(sealed, lambda: PASSPHRASE).name)
    assert load_public(sealed.with_name("sealed.key.pub")).fingerprint == public.fingerprint


def test_the_seed_of_a_sealed_key_is_nowhere_in_its_files(tmp_path: Path) -> None:
    seed = bytes(range(32))
    generate(tmp_path / "a.key", passphrase=PASSPHRASE, cost=QUICK, entropy=lambda count: seed[:count])
    for file in tmp_path.iterdir():
        assert seed.hex() not in file.read_text()
        assert PASSPHRASE.decode() not in file.read_text()


@pytest.mark.parametrize("passphrase", [b"another long passphrase", PASSPHRASE + b" ", b"x"])
def test_a_wrong_passphrase_opens_nothing(sealed: Path, passphrase: bytes) -> None:
    with pytest.raises(KeyPassphrase, match="does not open") as caught:
        load_signer(sealed, lambda: passphrase)
    assert caught.value.code == "key_passphrase"
    assert passphrase.decode() not in str(caught.value).split()


def test_a_sealed_key_where_nobody_can_be_asked(sealed: Path) -> None:
    """A process, for one: its key is plain."""
    with pytest.raises(KeyPassphrase, match="nothing here can give one"):
        load_signer(sealed)


def test_nobody_is_asked_for_the_passphrase_of_a_plain_key(tmp_path: Path) -> None:
    def ask() -> bytes:
        raise AssertionError

    made = generate(tmp_path / "a.key")
    assert load_signer(tmp_path / "a.key", ask).name == made.name


@pytest.mark.parametrize("passphrase", [b"", b"eleven char", "élève élève".encode()])
def test_a_new_key_with_a_short_passphrase_is_not_made(tmp_path: Path, passphrase: bytes) -> None:
    with pytest.raises(KeyPassphrase, match="12 characters"):
        generate(tmp_path / "a.key", passphrase=passphrase, cost=QUICK)
    assert list(tmp_path.iterdir()) == []


HOSTILE: dict[str, dict[str, Any]] = {
    "memory without end": {"memory_bytes": 2**40},
    "a byte of memory too many": {"memory_bytes": 2**30 + 1},
    "time without end": {"operations": 2**31},
    "one operation too many": {"operations": 11},
    "no operations": {"operations": 0},
    "too little memory": {"memory_bytes": 1},
    "a number as text": {"operations": "1"},
    "another function": {"kdf": "none"},
    "a short salt": {"salt": "00"},
    "a short box": {"box": "00"},
    "a box that is no hex": {"box": "z" * 144},
    "more members": {"hint": "x"},
}


@pytest.mark.parametrize("changes", HOSTILE.values(), ids=HOSTILE)
def test_a_sealed_key_that_asks_for_too_much_or_is_none(sealed: Path, changes: dict[str, Any]) -> None:
    """Its bounds are looked at before any work is done."""
    document = json.loads(sealed.read_text())
    sealed.write_text(json.dumps({**document, "sealed": {**document["sealed"], **changes}}))
    with pytest.raises(KeyUnusable, match="out of bounds"):
        load_signer(sealed, lambda: PASSPHRASE)


def test_any_changed_digit_of_a_sealed_key_is_refused(sealed: Path) -> None:
    document = json.loads(sealed.read_text())
    for name in ("salt", "box"):
        for place, digit in enumerate(document["sealed"][name]):
            other = "0" if digit != "0" else "1"
            value = document["sealed"][name][:place] + other + document["sealed"][name][place + 1 :]
            sealed.write_text(json.dumps({**document, "sealed": {**document["sealed"], name: value}}))
            with pytest.raises(KeyPassphrase):
                load_signer(sealed, lambda: PASSPHRASE)


def test_the_sealed_seed_of_another_key_is_refused(tmp_path: Path, sealed: Path) -> None:
    generate(tmp_path / "b.key", passphrase=PASSPHRASE, cost=QUICK)
    document = json.loads(sealed.read_text())
    other = json.loads((tmp_path / "b.key").read_text())
    sealed.write_text(json.dumps({**document, "sealed": other["sealed"]}))
    with pytest.raises(KeyUnusable, match="not that of its seed"):
        load_signer(sealed, lambda: PASSPHRASE)


PRIVATE: dict[str, Callable[[Path], object]] = {
    "a signing key": load_signer,
    "a quarantine key": load_quarantine,
    "a passphrase": read_passphrase,
}


@pytest.mark.parametrize("load", PRIVATE.values(), ids=PRIVATE)
def test_a_link_to_a_private_file_is_refused(tmp_path: Path, load: Callable[[Path], object]) -> None:
    """What it leads to could be another file a moment later."""
    generate(tmp_path / "a.key")
    (tmp_path / "link").symlink_to(tmp_path / "a.key")
    with pytest.raises(KeyUnsafe, match="is a link"):
        load(tmp_path / "link")


@pytest.mark.parametrize("load", [*PRIVATE.values(), load_public], ids=[*PRIVATE, "a public half"])
def test_a_private_file_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load: Callable[[Path], object]
) -> None:
    """Its owner reads it whatever its mode, and may replace it. Who is not the superuser cannot give files away, and so
    becomes somebody else."""
    generate(tmp_path / "a.key")
    owner = os.geteuid() or 65_534
    os.chown(tmp_path / "a.key", owner, -1)
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(KeyUnsafe, match=f"belongs to user {owner}"):
        load(tmp_path / "a.key")


def test_what_is_checked_is_what_was_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that leads elsewhere right after it was opened changes nothing."""
    generate(tmp_path / "shared.key")
    (tmp_path / "shared.key").chmod(0o644)
    good = tmp_path / "good.key"
    generate(good)
    opened = os.open

    def swapped(path: Any, *arguments: Any, **options: Any) -> int:
        descriptor = opened(path, *arguments, **options)
        good.replace(path)
        return descriptor

    monkeypatch.setattr(os, "open", swapped)
    with pytest.raises(KeyUnsafe):
        load_signer(tmp_path / "shared.key")


def test_a_pipe_or_a_directory_in_place_of_a_key_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "directory").mkdir(mode=0o700)
    for name in ("pipe", "directory"):
        for load in (load_signer, load_public):
            with pytest.raises(KeyUnusable, match="not a plain file"):
                load(tmp_path / name)


def test_a_file_larger_than_a_key_is_none(tmp_path: Path) -> None:
    generate(tmp_path / "a.key")
    data = (tmp_path / "a.key").read_bytes()
    (tmp_path / "a.key").write_bytes(data.ljust(KEY_FILE_BYTES_MAX))
    assert load_signer(tmp_path / "a.key")
    (tmp_path / "a.key").write_bytes(data.ljust(KEY_FILE_BYTES_MAX + 1))
    with pytest.raises(KeyUnusable, match="larger than"):
        load_signer(tmp_path / "a.key")


def given(data: bytes) -> int:
    """A descriptor that gives `data`."""
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    return reading


def test_a_key_from_a_descriptor(tmp_path: Path, sealed: Path) -> None:
    plain = generate(tmp_path / "a.key")
    assert load_signer_fd(given((tmp_path / "a.key").read_bytes())).name == plain.name
    assert load_signer_fd(given(sealed.read_bytes()), lambda: PASSPHRASE).name == load_public(sealed).fingerprint
    with pytest.raises(KeyUnusable):
        load_signer_fd(given(b"{}"))
    with pytest.raises(KeyUnusable, match="cannot read descriptor"):
        load_signer_fd(1_000_000)


def test_a_file_behind_a_descriptor_is_its_owners_only(tmp_path: Path) -> None:
    generate(tmp_path / "a.key")
    with (tmp_path / "a.key").open("rb") as file:
        assert load_signer_fd(file.fileno())
    (tmp_path / "a.key").chmod(0o640)
    with (tmp_path / "a.key").open("rb") as file, pytest.raises(KeyUnsafe):
        load_signer_fd(file.fileno())


PASSPHRASES = {
    "without the end of its line": (b"open sesame now\n", b"open sesame now"),
    "with the end of a line of elsewhere": (b"open sesame now\r\n", b"open sesame now"),
    "with spaces that are meant": (b" open sesame \n", b" open sesame "),
    "composed in another way": ("e\u0301le\u0300ve".encode(), "\u00e9l\u00e8ve".encode()),
}


@pytest.mark.parametrize(("typed", "meant"), PASSPHRASES.values(), ids=PASSPHRASES)
def test_a_passphrase_as_it_is_read(typed: bytes, meant: bytes) -> None:
    assert parse_passphrase(typed) == meant


@pytest.mark.parametrize("typed", [b"", b"\n", b"\xff\xfe", b"x" * (BYTES_MAX + 1)])
def test_what_is_no_passphrase(typed: bytes) -> None:
    with pytest.raises(KeyPassphrase):
        parse_passphrase(typed)
