"""`holdgate scan`: what is told of files, to people and to programs, and how it ends; never a value."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner, Result

from holdgate.scan import ScanIncomplete, Scanner
from holdgate.scan.ruleset import Rule, builtin_rules
from holdgate.scheduler.cli.scan import commands, progress
from holdgate.scheduler.cli.scan.commands import app
from support.secrets import Secrets

TOKEN = Secrets(7).github()
CARD = Secrets(7).card()

_TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}}
_ARTIFACT = {
    "type": "object",
    "required": ["uri"],
    "properties": {"uri": {"type": "string", "format": "uri-reference"}},
}
_LINE = {"type": "integer", "minimum": 1}
_PLACE = {
    "type": "object",
    "required": ["physicalLocation"],
    "properties": {
        "physicalLocation": {
            "type": "object",
            "required": ["artifactLocation"],
            "properties": {
                "artifactLocation": _ARTIFACT,
                "region": {
                    "required": ["startLine"],
                    "properties": dict.fromkeys(("startLine", "startColumn", "endLine", "endColumn"), _LINE),
                },
            },
        }
    },
}
_LEVEL = {"enum": ["none", "note", "warning", "error"]}
SARIF: dict[str, Any] = {
    "type": "object",
    "required": ["version", "runs"],
    "properties": {
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["tool"],
                "additionalProperties": False,
                "properties": {
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "tool": {
                        "required": ["driver"],
                        "properties": {
                            "driver": {
                                "required": ["name"],
                                "properties": {
                                    "rules": {
                                        "uniqueItems": True,
                                        "items": {
                                            "required": ["id"],
                                            "properties": {
                                                "shortDescription": _TEXT,
                                                "help": _TEXT,
                                                "defaultConfiguration": {"properties": {"level": _LEVEL}},
                                            },
                                        },
                                    }
                                },
                            }
                        },
                    },
                    "invocations": {"items": {"required": ["executionSuccessful"]}},
                    "results": {
                        "items": {
                            "required": ["message"],
                            "properties": {
                                "ruleId": {"type": "string"},
                                "ruleIndex": {"type": "integer", "minimum": 0},
                                "level": _LEVEL,
                                "message": _TEXT,
                                "locations": {"items": _PLACE},
                            },
                        }
                    },
                },
            },
        },
    },
}
"""What section 3 of SARIF 2.1.0 requires of the parts that are written here."""


USUAL = Scanner()


@pytest.fixture(autouse=True)
def one_scanner(monkeypatch: pytest.MonkeyPatch) -> None:
    """To compile hundreds of rules for each call of a test would take seconds."""

    def made(rules: Sequence[Rule], **options: Any) -> Scanner:
        return USUAL if rules is builtin_rules() else Scanner(rules=rules, **options)

    monkeypatch.setattr(commands, "Scanner", made)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory to work in: a clean file, and one with a token in its second line."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clean.txt").write_text("nothing to see\n")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a b.py").write_text(f"# a comment\nTOKEN = '{TOKEN}'\n")
    return tmp_path


def scan(*arguments: str, given: bytes | None = None) -> Result:
    """One call of the command."""
    return CliRunner().invoke(app, list(arguments), input=given)


def lines(result: Result) -> list[dict[str, Any]]:
    """What `--json` printed."""
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_clean_file_prints_nothing_and_ends_with_0(files: Path) -> None:
    result = scan("clean.txt")
    assert (result.exit_code, result.output) == (0, "")


def test_a_finding_is_a_line_with_its_place_and_never_the_value(files: Path) -> None:
    result = scan("src")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[1].split() == ["src/a", "b.py:2:10", "github-token", "secret", "high", "raw"]
    for form in ("--json", "--sarif", "--raw"):
        assert TOKEN not in scan(form, ".").output
    assert TOKEN not in result.output


def test_json_says_where_to_the_character(files: Path) -> None:
    (found,) = lines(scan("--json", "."))
    assert found == {
        "file": "src/a b.py",
        "detector": "github-token",
        "category": "secret",
        "severity": found["severity"],
        "via": "raw",
        "path": "",
        "start": 21,
        "end": 21 + len(TOKEN),
        "line": 2,
        "column": 10,
        "end_line": 2,
        "end_column": 10 + len(TOKEN),
    }


def test_sarif_is_what_its_standard_requires(files: Path) -> None:
    (files / "c:d#e.txt").write_text(f"x {TOKEN}\n")
    (files / "large.txt").write_text("x" * 2000)
    result = scan("--sarif", "--max-bytes", "1000", ".")
    log = json.loads(result.stdout)
    jsonschema.Draft202012Validator(SARIF).validate(log)
    (run,) = log["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["github-token"]
    assert [found["ruleIndex"] for found in run["results"]] == [0, 0]
    uris = [found["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for found in run["results"]]
    assert uris == ["c%3Ad%23e.txt", "src/a%20b.py"]
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is False
    assert "large.txt" in json.dumps(invocation["toolExecutionNotifications"])
    assert result.exit_code == 3


def test_sarif_of_nothing_is_a_run_without_results(files: Path) -> None:
    result = scan("--sarif", "clean.txt")
    log = json.loads(result.stdout)
    jsonschema.Draft202012Validator(SARIF).validate(log)
    assert (result.exit_code, log["runs"][0]["results"]) == (0, [])
    assert log["runs"][0]["invocations"][0]["executionSuccessful"] is True


def test_standard_input_is_a_file_like_others() -> None:
    result = scan("-", "--json", given=f"a\n\n  {TOKEN}".encode())
    (found,) = lines(result)
    assert (result.exit_code, found["file"], found["line"], found["column"]) == (1, "<stdin>", 3, 3)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_text_that_says_its_encoding_is_read_in_it(files: Path, encoding: str) -> None:
    (files / "clean.txt").write_bytes(f"é\n{TOKEN}".encode(encoding))
    (found,) = lines(scan("--json", "clean.txt"))
    assert (found["detector"], found["line"], found["column"]) == ("github-token", 2, 1)


def test_bytes_that_are_no_text_are_searched_too(files: Path) -> None:
    (files / "clean.txt").write_bytes(b"\xff\xfe"[::-1] + b"\xe9\n" + TOKEN.encode())
    (files / "latin.txt").write_bytes(b"\xe9\n" + TOKEN.encode())
    (found,) = lines(scan("--json", "latin.txt"))
    assert (found["detector"], found["line"]) == ("github-token", 2)


def test_what_is_told_can_be_narrowed(files: Path) -> None:
    (files / "card.txt").write_text(f"pay with card {CARD}\n{TOKEN}\n")
    detectors = [found["category"] for found in lines(scan("--json", "card.txt"))]
    assert sorted(detectors) == ["pii", "secret"]
    assert [found["category"] for found in lines(scan("--json", "--category", "pii", "card.txt"))] == ["pii"]
    assert scan("--min-severity", "critical", "--category", "pii", "card.txt").exit_code == 0


def test_raw_decodes_nothing(files: Path) -> None:
    (files / "coded.txt").write_text("note: " + base64.b64encode(f"token {TOKEN} end".encode()).decode())
    assert scan("--raw", "coded.txt").exit_code == 0


def test_what_cannot_be_scanned_is_never_clean(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (files / "image.bin").write_bytes(b"\x89ABC\0\0\0" * 10)
    assert scan("clean.txt", "image.bin").exit_code == 3
    assert "image.bin: not scanned" in scan("image.bin").stderr
    assert scan("clean.txt", "--max-bytes", "3").exit_code == 3

    def incomplete(*_: object) -> list[object]:
        raise ScanIncomplete

    monkeypatch.setattr(Scanner, "scan", incomplete)
    result = scan("--json", "clean.txt")
    assert (result.exit_code, lines(result)[0]["skipped"]) == (3, False)


def test_what_nobody_named_and_is_no_text_is_passed_by_and_told(files: Path) -> None:
    (files / "image.bin").write_bytes(b"\x89ABC\0\0\0" * 10)
    (files / "src" / "a b.py").unlink()
    result = scan(".")
    assert result.exit_code == 0
    assert "archives that are read here: 1;" in result.stderr
    assert [each["file"] for each in lines(scan("--json", "."))] == ["image.bin"]


def test_names_of_files_are_shown_and_obeyed_by_nobody(files: Path) -> None:
    deep = files / "deep"
    for _ in range(200):
        deep = deep / "d"
    deep.mkdir(parents=True)
    (deep / "last.txt").write_text(TOKEN)
    (files / os.fsdecode(b"odd\xff\x1b[2J.txt")).write_text(TOKEN)
    result = scan(".")
    assert "\x1b" not in result.stdout
    assert "last.txt:1:1" in result.stdout
    assert len(lines(scan("--json", "."))) == 3
    assert "odd%FF%1B%5B2J.txt" in scan("--sarif", ".").stdout


def test_links_special_files_and_what_version_control_keeps_are_not_followed(files: Path) -> None:
    (files / "src" / "a b.py").unlink()
    (files / ".git").mkdir()
    (files / ".git" / "packed").write_text(TOKEN)
    (files.parent / "outside.txt").write_text(TOKEN)
    (files / "link.txt").symlink_to(files.parent / "outside.txt")
    (files / "loop").symlink_to(files)
    os.mkfifo(files / "pipe")
    assert scan(".").exit_code == 0
    assert scan("link.txt").exit_code == 1


def test_a_directory_that_cannot_be_listed_is_said(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = os.scandir

    def refused(path: Path) -> Any:
        if path.name == "src":
            raise PermissionError(13, "Permission denied")
        return listed(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refused)
        result = scan(".")
    assert (result.exit_code, result.stderr) == (3, "holdgate scan: src: not scanned: permission denied\n")


def test_a_name_that_leads_nowhere_is_a_slip_of_the_command_line(files: Path) -> None:
    for arguments in (["nowhere.txt"], ["--json", "--sarif", "."], ["--redact", "."], ["--category", "odd", "."]):
        assert scan(*arguments).exit_code == 2, arguments


def test_redact_writes_the_text_without_what_was_found(files: Path) -> None:
    text = f"\ufeffa={TOKEN}\r\nb={TOKEN}\né\n"
    (files / "clean.txt").write_bytes(text.encode())
    result = scan("--redact", "clean.txt")
    tag = result.stdout_bytes.decode().split("a=")[1].split("\r")[0]
    assert result.exit_code == 0
    assert tag.startswith("[redacted:secret:")
    assert result.stdout_bytes.decode() == text.replace(TOKEN, tag)


def test_redact_writes_nothing_where_something_would_be_left(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Scanner().scan(f"a={TOKEN}")
    monkeypatch.setattr(Scanner, "scan", lambda *_: found)
    result = scan("--redact", "-", given=f"a={TOKEN}".encode())
    assert (result.exit_code, result.stdout) == (3, "")
    assert scan("--redact", "-", given=b"\xff").exit_code == 3


RULE = """
family: ours
rules:
  - id: our-ticket
    category: secret
    severity: high
    regex: '\\bTKT-([0-9A-F]{16})\\b'
    max_len: 24
    entropy: 2.0
    examples:
      "true": ["see TKT-%{[0-9A-F]{16}}"]
      "false": ["TKT-%{[0-9A-F]{4}}"]
"""


def test_rules_of_ones_own_are_beside_those_of_holdgate(files: Path) -> None:
    (files / "ours.yaml").write_text(RULE)
    (files / "clean.txt").write_text("see TKT-" + Secrets(3).chars("0123456789ABCDEF", 16) + f" and {TOKEN}")
    found = {each["detector"] for each in lines(scan("--json", "--rules", "ours.yaml", "clean.txt"))}
    assert found == {"our-ticket", "github-token"}
    assert "our-ticket" in scan("rules", "--rules", "ours.yaml").stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rules: [", "not YAML"),
        (RULE.replace("severity: high", "severity: odd"), "odd"),
        (RULE.replace("our-ticket", "github-token"), "github-token"),
    ],
)
def test_rules_that_do_not_load_scan_nothing(files: Path, text: str, said: str) -> None:
    (files / "ours.yaml").write_text(text)
    result = scan("--rules", "ours.yaml", ".")
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_lint_says_what_is_wrong_with_a_file_of_rules(files: Path) -> None:
    (files / "ours.yaml").write_text(RULE)
    result = scan("lint", "ours.yaml")
    assert (result.exit_code, result.stdout) == (0, "1 rule, 0 errors\n"), result.output
    (files / "ours.yaml").write_text(RULE.replace("[0-9A-F]{16}}", "[0-9A-F]{12}}"))
    result = scan("lint", "ours.yaml")
    assert (result.exit_code, "error: our-ticket: `examples" in result.stdout) == (1, True), result.output
    refused = scan("--rules", "ours.yaml", "clean.txt")
    assert (refused.exit_code, "our-ticket" in refused.stderr) == (2, True), "nothing is scanned with such rules"
    (files / "ours.yaml").write_text(RULE.replace("regex: '", "regex: '("))
    result = scan("lint", "ours.yaml")
    assert (result.exit_code, "our-ticket" in result.stderr) == (2, True)
    assert scan("lint", "nowhere.yaml").exit_code == 2


def test_detectors_of_a_bundle_are_tried_before_they_are_published(files: Path) -> None:
    detector = RULE.split("rules:\n")[1].replace("our-ticket", "custom.ticket")
    (files / "rules.yaml").write_text(f"detectors:\n{detector}")
    (files / "clean.txt").write_text("see TKT-" + Secrets(3).chars("0123456789ABCDEF", 16))
    (found,) = lines(scan("--json", "--rules", "rules.yaml", "clean.txt"))
    assert found["detector"] == "custom.ticket"
    assert scan("lint", "rules.yaml").exit_code == 0
    (files / "rules.yaml").write_text("output_rules: []\n")
    assert scan("lint", "rules.yaml").exit_code == 2


def test_the_list_of_rules_is_for_people_and_programs() -> None:
    assert "github-token" in scan("rules").stdout
    listed = lines(scan("rules", "--json"))
    assert {"id", "category", "severity", "docs"} == set(listed[0])
    assert [each["id"] for each in listed] == sorted(each["id"] for each in listed)


def test_a_long_scan_says_how_far_it_is_where_somebody_watches() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    now = [0.0]
    for file, expected in ((Terminal(), "\r2 files, 3.0 MB scanned\r\x1b[K"), (io.StringIO(), "")):
        shown = progress.Progress(file, lambda: now[0])
        shown.note(1, 1)
        now[0] += progress.QUIET_S
        shown.note(2, 3_000_000)
        shown.note(3, 3_000_001)
        shown.end()
        assert file.getvalue() == expected


def test_archives_are_unpacked_and_name_the_member(files: Path) -> None:
    with zipfile.ZipFile(files / "backup.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("etc/app.env", f"TOKEN={TOKEN}\n")
    (files / "log.gz").write_bytes(gzip.compress(f"a {TOKEN}\n".encode()))
    found = lines(scan("--json", "backup.zip", "log.gz"))
    assert {each["file"] for each in found} == {"backup.zip", "log.gz"}
    (member,) = [each for each in found if each["file"] == "backup.zip"]
    assert (member["path"], "line" in member) == ("/etc~1app.env", False)
    assert "backup.zip!/etc/app.env:6-46" in scan("backup.zip").stdout
    assert scan("--raw", "backup.zip").exit_code == 3


def test_members_of_archives_in_archives_are_named_as_they_are_unpacked(files: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("etc/[x](a~b).json", json.dumps({"a/b": {"k": f"a {TOKEN}"}}))
    outer = io.BytesIO()
    with tarfile.open(fileobj=outer, mode="w") as tar:
        info = tarfile.TarInfo("z.zip")
        info.size = len(inner.getvalue())
        tar.addfile(info, io.BytesIO(inner.getvalue()))
    (files / "t.tar.gz").write_bytes(gzip.compress(outer.getvalue()))
    assert "t.tar.gz!/z.zip!/etc/[x](a~b).json#/a~1b/k:2-42" in "".join(scan("t.tar.gz").stdout.split())
    log = json.loads(scan("--sarif", "t.tar.gz").stdout)
    jsonschema.Draft202012Validator(SARIF).validate(log)
    (result,) = log["runs"][0]["results"]
    assert result["message"]["text"].endswith(r" in `z.zip!/etc/\[x\](a~b).json#/a~1b/k`")
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 1}


@pytest.mark.parametrize("arguments", [("rules",), ("rules", "--json"), ("files", "src")])
def test_a_name_that_is_a_command_too_is_scanned_or_refused(files: Path, arguments: tuple[str, ...]) -> None:
    name = arguments[0]
    (files / name).mkdir()
    (files / name / "a.env").write_text(f"TOKEN={TOKEN}\n")
    refused = scan(*arguments)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert f"./{name}" in refused.stderr
    assert scan(f"./{name}").exit_code == 1
    assert scan(name, "--help").exit_code == 0
