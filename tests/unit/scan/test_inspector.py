"""The search of a whole output: own names stay, names of files are the worker's words, the unreadable is a finding."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from holdgate.kernel.canonical import canonical_bytes
from holdgate.scan import Category, Finding, RedactionIncomplete, Scanner, Severity, engine, files
from holdgate.scan.engine import Budget
from holdgate.scan.errors import ScanTimedOut
from holdgate.scan.inspector import OutputInspector
from holdgate.scan.output import UNSCANNABLE, Artifact, Inspection, Keep, Output, kind_of
from holdgate.scan.ruleset import Rule
from support.secrets import ALNUM, Secrets

MADE = Secrets(53)
KEY = b"k" * 32
SCANNER = Scanner()


def inspector() -> OutputInspector:
    return OutputInspector(SCANNER, KEY)


class Finds(Scanner):
    """Finds what a test says, once: after that the text is clean."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__(rules=())
        self.left = list(findings)

    def scan_value(self, value: Any) -> list[Finding]:
        found, self.left = self.left, []
        return found


def secret_at(path: str, via: str, end: int) -> Finding:
    return Finding("split", Category.SECRET, Severity.HIGH, 0, end, path, via)


@pytest.mark.parametrize("path", ["/value", "/logs", "/error", "/error/message", "/code"])
def test_names_of_ours_are_no_piece_of_a_secret(path: str) -> None:
    """A scanner that joins pieces may take the name of a field for one: the field is there all the same."""
    findings = [secret_at(path, "key>joined", 4), secret_at("/value", "value>joined", 3)]
    output = Output(b'"abc def"', ("line",), {"type": "E", "message": "m", "trace": "t"}, "code")
    redacted = OutputInspector(Finds(findings), KEY).redact(output)
    assert (redacted.logs, redacted.error, redacted.code) == (output.logs, output.error, "code")
    assert redacted.value is not None
    assert redacted.value.startswith(b'"[redacted:secret:')
    assert redacted.value.endswith(b' def"')


def test_a_secret_in_the_name_of_a_file_is_in_no_place_that_is_shown() -> None:
    """The file keeps a name that a file may have."""
    secret = MADE.github()
    output = Output(artifacts=(Artifact(f"{secret}.txt", "text/plain", f"see {secret}".encode()),))
    found = inspector().inspect(output)
    assert secret not in json.dumps(found.as_dict())
    (file,) = inspector().redact(output).artifacts
    assert file.name.startswith("redacted-secret-")
    assert secret.encode() not in file.data


def zipped(*names: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in names:
            archive.writestr(name, f"see {MADE.github()}")
    return made.getvalue()


def test_names_in_a_file_are_searched_as_they_are_read() -> None:
    """A pointer writes `/` as `~1`; who reads it undoes that."""
    known = f"{MADE.chars(ALNUM, 9)}/{MADE.chars(ALNUM, 9)}/{MADE.chars(ALNUM, 9)}~"
    files = (
        Artifact("a.zip", None, zipped(f"x-{known}-y")),
        Artifact("b.json", None, json.dumps({f"x-{known}-y": {"token": MADE.github()}}).encode()),
        Artifact("c.zip", None, zipped("plain/name.txt")),
    )
    found = OutputInspector(Scanner([known.encode()]), KEY).inspect(Output(artifacts=files))
    shown = json.dumps(found.as_dict())
    assert known.partition("/")[0] not in shown
    assert known not in shown.replace("~1", "/").replace("~0", "~")
    assert "/artifacts/c.zip/plain~1name.txt" in shown


def test_a_secret_in_pieces_is_in_no_names_that_are_shown() -> None:
    """In those of two files, and in those of two members: none is a secret by itself."""
    secret = MADE.github()
    names = (secret[:20], secret[20:])

    class Joins(Scanner):
        def scan_value(self, value: Any) -> list[Finding]:
            return [secret_at(f"/artifacts/{place}/0", "value>joined", 20) for place in (0, 1)]

        def scan(self, text: str | bytes) -> list[Finding]:
            joined = [secret_at("", "raw>joined", 41)] if text == "\n".join(names) else []
            return joined + super().scan(text)

    text = b"see " + MADE.github().encode()
    files = (*(Artifact(name, None, text) for name in names), Artifact("a.zip", None, zipped(*names)))
    found = OutputInspector(Joins(), KEY).inspect(Output(artifacts=files))
    shown = json.dumps([each for each in found.described if each["detector"] == "github-token"])
    assert shown.count("/artifacts/a.zip/[redacted]") == 2
    assert not [name for name in names if name in shown]


def test_a_path_is_shown_as_far_as_anybody_reads_it() -> None:
    """A name may have a megabyte, and each finding below it would repeat that."""
    key = "k" * 100_000
    document = json.dumps({key: [MADE.github() for _ in range(50)]}).encode()
    files = (Artifact("a.json", None, document),)
    assert len(json.dumps(inspector().inspect(Output(document, artifacts=files)).as_dict())) < 150_000


def test_two_files_whose_names_become_one_stay_two() -> None:
    secret = MADE.github()
    output = Output(artifacts=tuple(Artifact(f"{secret}{end}", None, b"x") for end in ("-", ".")))
    names = [file.name for file in inspector().redact(output).artifacts]
    assert len(set(names)) == 2


def test_json_in_a_file_stays_json_and_every_other_byte_as_it_was() -> None:
    secret = MADE.github()
    data = b'{ "b" : 1.50,\n  "a": "%b" }\n' % secret.encode()
    (file,) = inspector().redact(Output(artifacts=(Artifact("a.json", None, data),))).artifacts
    assert json.loads(file.data)["a"].startswith("[redacted:secret:")
    assert file.data.startswith(b'{ "b" : 1.50,\n  "a": "')


def test_a_file_that_cannot_be_read_is_a_finding_that_says_which() -> None:
    """The others are looked at; so is one that unpacks to more than may be."""
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("zeros", b" " * 30_000_000)
    files = (Artifact("noise", None, bytes(range(256)) * 8), Artifact("bomb.zip", None, bomb.getvalue()))
    found = inspector().inspect(Output(artifacts=(*files, Artifact("a.txt", None, MADE.github().encode()))))
    assert set(found.kinds) == {UNSCANNABLE, ("github-token", "secret", "high")}
    places = [each["path"] for each in found.described if each["category"] == "unscannable"]
    assert places == ["/artifacts/noise", "/artifacts/bomb.zip"]
    assert found.unscannable == ("unscannable", "scan_incomplete")


def test_files_of_one_output_share_what_they_may_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else each more of them would keep a scanner for as long again."""
    monkeypatch.setattr(files, "FILE_BUDGET", replace(files.FILE_BUDGET, decoded_base=64 * 1024))
    packed = gzip.compress(b"line\n" * 8_000)
    one = (Artifact("a.gz", None, packed),)
    assert inspector().inspect(Output(artifacts=one)).kinds == ()
    both = (*one, Artifact("b.gz", None, packed))
    assert inspector().inspect(Output(artifacts=both)).unscannable == ("scan_incomplete",)


def test_value_files_and_custom_detectors_share_the_time_of_a_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock on which each of them takes a third of it."""
    ticks = count()
    monkeypatch.setattr(engine, "time", SimpleNamespace(monotonic=lambda: next(ticks) / 10))
    files = tuple(Artifact(f"{number}", None, b"text") for number in range(3))
    made = OutputInspector(Scanner(rules=(), budget=Budget(seconds=1.0)), KEY, Scanner(rules=()))
    assert made.inspect(Output(b"1")).kinds == ()
    with pytest.raises(ScanTimedOut):
        made.inspect(Output(b"1", artifacts=files))


def test_what_is_kept_by_its_value_stays_and_the_rest_of_its_kind_goes() -> None:
    one, other = MADE.github(), MADE.github()
    output = Output(json.dumps([one, other]).encode())
    found = inspector().inspect(output)
    kept = next(each for each in found.described if each["path"] == "/value/0")
    redacted = inspector().redact(output, Keep(values=frozenset({(found.kinds[0], kept["fingerprint"])})))
    assert redacted.value is not None
    assert one.encode() in redacted.value
    assert other.encode() not in redacted.value


def test_what_no_redaction_can_clean_is_not_given_out() -> None:
    """Found again after it was replaced."""

    class Sees(Finds):
        def scan_value(self, value: Any) -> list[Finding]:
            return list(self.left)

    with pytest.raises(RedactionIncomplete):
        OutputInspector(Sees([secret_at("/value", "value", 3)]), KEY).redact(Output(b'"abc"'))


def test_a_file_that_no_redaction_can_clean_is_not_given_out() -> None:
    """What replaces its text is found, too."""
    rule = Rule("any-word", Category.SECRET, Severity.HIGH, r"(?:words|redacted:secret:[0-9a-f]{16})", 40)
    with pytest.raises(RedactionIncomplete):
        OutputInspector(Scanner(rules=[rule]), KEY).redact(Output(artifacts=(Artifact("1", None, b"see words"),)))


def test_shapes_travel_between_processes_as_they_are() -> None:
    output = Output(b"1", ("l",), None, "c", (Artifact("a", None, b"\0"),), (("d", "secret", "low"),))
    assert Output.from_dict(output.as_dict()) == output
    found = Inspection((kind_of(secret_at("", "raw", 1)),), ({"a": 1},), 2, ("unscannable",))
    assert Inspection.from_dict(found.as_dict()) == found
    keep = Keep(frozenset({("d", "secret", "low")}), frozenset({(("d", "pii", "low"), "f")}))
    assert Keep.from_dict(keep.as_dict()) == keep


def test_a_redaction_leaves_every_other_byte_of_what_a_worker_sent() -> None:
    """Numbers, escapes, other scripts and the order of names, in the canonical form that workers send."""
    rest = {
        "a": [1e21, 0.1, -0.0, 2**53 - 1, None, True],
        "b": '\u00e9\u2028\U0001f600\\"\n/',
        "\ufb33": "",
        "\U0001f600": [[]],
    }
    token = MADE.github()
    value = canonical_bytes({**rest, "token": token})
    redacted = OutputInspector(SCANNER, b"k" * 32).redact(Output(value=value)).value
    assert redacted is not None
    before, behind = value.split(token.encode())
    assert redacted.startswith(before + b"[redacted:secret:")
    assert redacted.endswith(b"]" + behind)
    assert len(redacted) - len(value) == len("[redacted:secret:]") + 16 - len(token)
