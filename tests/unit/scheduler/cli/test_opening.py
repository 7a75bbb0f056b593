"""Opening sealed outputs offline: what is shown and written, to whom, and what is refused."""

from __future__ import annotations

import base64
import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from nacl.public import PrivateKey
from typer.testing import CliRunner, Result

from holdgate.bundles.keys import generate_quarantine
from holdgate.client.models import Quarantined, SealedReplacement
from holdgate.kernel.canonical import digest_bytes
from holdgate.kernel.errors import InvalidInput
from holdgate.scan.output import Artifact, Output
from holdgate.scheduler.cli.people import quarantine
from holdgate.scheduler.cli.people.output import Out
from holdgate.scheduler.cli.people.quarantine import app
from holdgate.scheduler.cli.people.sealedfiles import opened_text, plain_name, write_new
from holdgate.scheduler.gates.sealing import Sealer, commitment_of

SEED = b"\x07" * 32
KEY = PrivateKey(SEED)
OUTPUT = Output(
    b'{"name":"\\u001b[31mred"}',
    ("one", "two\x1b[2J"),
    {"type": "Odd", "message": "went wrong"},
    artifacts=(Artifact("../../etc/passwd", "text/plain", b"root"), Artifact(".profile", None, b"")),
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the key and an export."""
    monkeypatch.chdir(tmp_path)
    generate_quarantine(tmp_path / "quarantine.key", entropy=lambda _: SEED)
    write_export(tmp_path / "export.json")
    return tmp_path


def write_export(file: Path, **changes: Any) -> dict[str, Any]:
    """An export as the API gives it, `changes` to the content of the box or, with a capital, to the export."""
    content = {"tenant": "acme", "job_id": "job_1", "attempt": 2, "output": OUTPUT.as_dict()}
    own = {name: value for name, value in changes.items() if name.islower()}
    sealed = Sealer(bytes(KEY.public_key)).seal({**content, **own})
    export = {
        "job_id": "job_1",
        "attempt": 2,
        "digest": sealed.digest,
        "commitment": sealed.commitment,
        "sealed": base64.b64encode(sealed.data).decode(),
    }
    export |= {name.lower(): value for name, value in changes.items() if name.isupper()}
    file.write_text(json.dumps(export))
    return export


def run(*arguments: str) -> Result:
    """`holdgate quarantine open …`."""
    return CliRunner().invoke(app, ["open", *arguments, "--key", "quarantine.key"])


def test_what_was_sealed_is_shown_and_the_terminal_obeys_none_of_it(here: Path) -> None:
    result = run("export.json")
    assert result.exit_code == 0, result.stderr
    assert "\x1b" not in result.stdout
    assert result.stdout.splitlines()[4:6] == ["", "value"]
    for text in ("red", "one", "went wrong", "passwd: 4 bytes", "job_1"):
        assert text in result.stdout
    shown = json.loads(run("export.json", "--json").stdout)
    assert (shown["value"], shown["logs"]) == ({"name": "\x1b[31mred"}, ["one", "two\x1b[2J"])


def test_what_is_written_is_its_owners_only_and_stays_in_a_new_directory(here: Path) -> None:
    assert run("export.json", "-o", "out").exit_code == 0
    files = {str(path.relative_to(here / "out")): path for path in (here / "out").rglob("*") if path.is_file()}
    assert sorted(files) == [
        "artifacts/01-etc_passwd",
        "artifacts/02-profile",
        "error.json",
        "logs.txt",
        "opened.json",
        "replacement.json",
        "value.json",
    ]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files.values()} == {0o600}
    assert stat.S_IMODE((here / "out").stat().st_mode) == 0o700
    assert files["value.json"].read_bytes() == OUTPUT.value
    again = run("export.json", "-o", "out")
    assert (again.exit_code, "is there already" in again.stderr) == (2, True)
    opened = base64.b64decode(json.loads(files["opened.json"].read_text())["opened"])
    assert commitment_of(opened) == json.loads((here / "export.json").read_text())["commitment"]


def test_a_release_takes_the_directory_and_only_for_the_output_that_is_sealed_now(here: Path) -> None:
    export = json.loads((here / "export.json").read_text())
    run("export.json", "-o", "out")
    text = opened_text(Path("out"), "job_1", export["digest"])
    assert opened_text(Path("out/opened.json"), "job_1", export["digest"]) == text
    for job_id, digest in (("job_2", export["digest"]), ("job_1", "sha256:x"), ("job_1", None)):
        with pytest.raises(InvalidInput, match="another output"):
            opened_text(Path("out"), job_id, digest)


def test_an_altered_export_does_not_open(here: Path) -> None:
    export = write_export(here / "export.json")
    sealed = base64.b64decode(export["sealed"])
    turned = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for changes in (
        {"SEALED": base64.b64encode(turned).decode()},
        {"SEALED": base64.b64encode(turned).decode(), "DIGEST": digest_bytes(turned)},
        {"SEALED": "no base64!"},
        {"DIGEST": "sha256:" + "0" * 64},
        {"COMMITMENT": "sha256:" + "0" * 64},
        {"JOB_ID": "job_2"},
        {"job_id": "job_2"},
        {"output": {}},
    ):
        write_export(here / "export.json", **changes)
        result = run("export.json", "-o", "out")
        assert (result.exit_code, result.stdout) in ((1, ""), (2, "")), changes
        assert not (here / "out").exists()
    (here / "export.json").write_text("[]")
    assert run("export.json").exit_code == 2
    assert run("nowhere.json").exit_code == 2


def test_only_the_key_opens_it_and_only_what_was_named(here: Path) -> None:
    digest = json.loads((here / "export.json").read_text())["digest"]
    assert run("export.json", "--digest", digest).exit_code == 0
    assert run("export.json", "--digest", "sha256:x").exit_code == 2
    (here / "quarantine.key").chmod(0o644)
    assert "key_unsafe" in run("export.json").stderr
    (here / "quarantine.key").unlink()
    generate_quarantine(here / "quarantine.key")
    result = run("export.json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "not sealed to this key" in result.stderr


def test_a_file_never_takes_the_place_of_another(here: Path) -> None:
    (here / "link").symlink_to(here / "elsewhere")
    for name in ("export.json", "link"):
        with pytest.raises(FileExistsError):
            write_new(here / name, b"")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("../../x", "x"),
        ("a b\n.txt", "a_b_.txt"),
        ("", "file"),
        ("...", "file"),
        ("-rf", "rf"),
        ("x" * 500, "x" * 80),
        ("ü.txt", "txt"),
    ],
)
def test_names_of_a_workers_files_are_made_plain(name: str, expected: str) -> None:
    assert plain_name(name) == expected


class Shown:
    """A session whose API has one replacement, and a terminal that is a text."""

    def __init__(self) -> None:
        self.out = Out(as_json=False)
        self.client = self
        self.quarantine = self

    def show_replacement(self, job_id: str) -> SealedReplacement:
        """What is proposed."""
        return SealedReplacement(
            job_id=job_id, digest="sha256:1", proposed_by="ada", value={"note": "by\x1b[2J hand"}, logs=("a line",)
        )


def test_who_votes_for_what_is_proposed_is_shown_it_first(capsys: pytest.CaptureFixture[str]) -> None:
    """And a script says the digest of what it has looked at."""
    session: Any = Shown()
    assert quarantine._proposed(session, "job_1", False, None) == "sha256:1"
    shown = capsys.readouterr().out
    for text in ("ada", "by\\u001b[2J hand", "a line"):
        assert text in shown
    assert quarantine._proposed(session, "job_1", True, "sha256:2") == "sha256:2"
    with pytest.raises(InvalidInput, match="--replacement"):
        quarantine._proposed(session, "job_1", True, None)


@pytest.mark.parametrize(("left", "expected"), [(timedelta(days=9, hours=1), "9 d"), (timedelta(hours=5), "(!)")])
def test_the_last_days_of_a_sealed_output_stand_out(left: timedelta, expected: str) -> None:
    item = Quarantined(job_id="job_1", status="sealed", expires_at=datetime.now(UTC) + left)
    assert expected in str(quarantine._left(item))
