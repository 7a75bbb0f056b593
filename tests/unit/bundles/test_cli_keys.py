"""`holdgate keys`, and signing with keys that have a passphrase, by people and by programs."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from holdgate.bundles.cli.bundle import bundle_app
from holdgate.bundles.cli.keys import keys_app
from holdgate.bundles.keys import generate, load_public, load_quarantine, load_signer
from holdgate.bundles.passphrase import Cost
from support.trust import STARTER

RUN = CliRunner()
PASSPHRASE = "a long way to somewhere"
QUICK = Cost(operations=1, memory_bytes=8192)


def given(text: str) -> str:
    """The number of a descriptor that gives `text`."""
    reading, writing = os.pipe()
    os.write(writing, text.encode())
    os.close(writing)
    return str(reading)


def private(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    generate(tmp_path / "sealed.key", passphrase=PASSPHRASE.encode(), cost=QUICK)
    return tmp_path / "sealed.key"


@pytest.fixture
def built(tmp_path: Path) -> str:
    assert RUN.invoke(bundle_app, ["build", str(STARTER), "-o", str(tmp_path / "b.json")]).exit_code == 0
    return str(tmp_path / "b.json")


def test_a_program_makes_a_sealed_key_and_signs_with_it(tmp_path: Path, built: str) -> None:
    key = str(tmp_path / "a.key")
    made = RUN.invoke(keys_app, ["generate", key, "--passphrase-fd", given(PASSPHRASE), "--json"])
    assert made.exit_code == 0, made.stderr
    assert json.loads(made.stdout)["sealed"] is True
    signed = RUN.invoke(
        bundle_app,
        ["sign", built, "--key", key, "--passphrase-file", private(tmp_path / "p", PASSPHRASE + "\n"), "--json"],
    )
    assert signed.exit_code == 0, signed.stderr
    assert json.loads(signed.stdout)["signatures"] == [json.loads(made.stdout)["fingerprint"]]


def test_a_key_that_no_file_holds_signs_from_a_descriptor(sealed: Path, built: str) -> None:
    descriptors = ["--key-fd", given(sealed.read_text()), "--passphrase-fd", given(PASSPHRASE)]
    signed = RUN.invoke(bundle_app, ["sign", built, *descriptors, "--json"])
    assert signed.exit_code == 0, signed.stderr
    assert json.loads(signed.stdout)["signatures"] == [load_public(sealed).fingerprint]


def test_what_is_signed_without_the_right_passphrase_is_nothing(tmp_path: Path, sealed: Path, built: str) -> None:
    before = Path(built).read_bytes()
    shared = tmp_path / "shared"
    shared.write_text(PASSPHRASE)
    shared.chmod(0o644)
    cases = {
        "key_passphrase: the passphrase does not open the key": ["--passphrase-fd", given("another one")],
        "key_passphrase: the key has a passphrase and there is no terminal": [],
        "key_unsafe: others may read": ["--passphrase-file", str(shared)],
        "key_passphrase: the passphrase comes from": ["--passphrase-file", str(shared), "--passphrase-fd", "0"],
        "key_passphrase: the passphrase is empty": ["--passphrase-fd", given("")],
    }
    for start, options in cases.items():
        refused = RUN.invoke(bundle_app, ["sign", built, "--key", str(sealed), *options])
        assert (refused.exit_code, refused.stderr[: len(start)]) == (1, start)
        assert PASSPHRASE not in refused.output
    assert Path(built).read_bytes() == before


@pytest.mark.parametrize("options", [[], ["--key", "x", "--key-fd", "0"]])
def test_a_key_is_named_in_one_way(built: str, options: list[str]) -> None:
    refused = RUN.invoke(bundle_app, ["sign", built, *options])
    assert (refused.exit_code, refused.stderr.split(":")[0]) == (1, "key_unusable")
    assert "one of them" in refused.stderr


def test_a_quarantine_key_is_one_that_opens_what_is_sealed(tmp_path: Path) -> None:
    made = RUN.invoke(keys_app, ["generate", str(tmp_path / "q.key"), "--kind", "quarantine", "--json"])
    assert bytes(load_quarantine(tmp_path / "q.key").public_key).hex() == json.loads(made.stdout)["public_key"]
    options = ["--kind", "quarantine", "--passphrase-fd", given(PASSPHRASE)]
    refused = RUN.invoke(keys_app, ["generate", str(tmp_path / "p.key"), *options])
    assert (refused.exit_code, refused.stderr.split(":")[0]) == (1, "key_passphrase")
    assert not (tmp_path / "p.key").exists()


def test_a_shown_key_says_whether_it_is_sealed_and_nothing_secret(sealed: Path) -> None:
    shown = RUN.invoke(keys_app, ["show", str(sealed), "--json"])
    assert json.loads(shown.stdout)["sealed"] is True
    named = RUN.invoke(keys_app, ["show", str(sealed), "--fingerprint"])
    assert named.stdout == f"{load_public(sealed).fingerprint}\n"
    assert json.loads(sealed.read_text())["sealed"]["box"] not in shown.output


def typed(arguments: list[str], answers: list[str]) -> tuple[int, str]:
    """Exit code and what a person sees who runs `holdgate` on a terminal and types `answers`."""
    terminal, inside = pty.openpty()
    program = [sys.executable, "-c", "import sys; from holdgate.scheduler.cli import main; main(sys.argv[1:])"]
    child = subprocess.Popen([*program, *arguments], stdin=inside, stdout=inside, stderr=inside, start_new_session=True)
    os.close(inside)
    shown = b""
    try:
        for answer in answers:
            while not shown.rstrip().endswith(b":"):
                shown += os.read(terminal, 1024)
            os.write(terminal, answer.encode() + b"\n")
            shown += b"|"
        while data := os.read(terminal, 1024):
            shown += data
    except OSError:
        pass  # On Linux, reading what nobody writes to any more is this error.
    finally:
        os.close(terminal)
    return child.wait(timeout=30), shown.decode()


def test_a_person_types_a_new_passphrase_twice_and_sees_none_of_it(tmp_path: Path) -> None:
    code, shown = typed(["keys", "generate", str(tmp_path / "a.key"), "--passphrase"], [PASSPHRASE, PASSPHRASE])
    assert code == 0, shown
    assert PASSPHRASE not in shown
    assert load_signer(tmp_path / "a.key", PASSPHRASE.encode).name == load_public(tmp_path / "a.key.pub").fingerprint


def test_two_passphrases_that_differ_make_no_key(tmp_path: Path) -> None:
    code, shown = typed(["keys", "generate", str(tmp_path / "a.key"), "--passphrase"], [PASSPHRASE, PASSPHRASE + "!"])
    assert (code, "key_passphrase: the two are not the same" in shown) == (1, True)
    assert not (tmp_path / "a.key").exists()


def test_a_person_is_asked_for_the_passphrase_of_a_key(sealed: Path, built: str) -> None:
    code, shown = typed(["bundle", "sign", built, "--key", str(sealed)], [PASSPHRASE])
    assert code == 0, shown
    assert PASSPHRASE not in shown
