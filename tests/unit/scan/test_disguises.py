"""Secrets in disguise: encoded, written in other letters, split, and all of these inside each other.

Each is found, by its rule and not by chance, and nothing is left of it after redaction: neither in what is stored nor
in what that decodes to.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable

import pytest

from holdgate.kernel.canonical import Json
from holdgate.scan import Redactor, ScanError, ScanIncomplete, Scanner, Unscannable
from holdgate.scan.engine import Budget
from support.disguises import DISGUISES, SECRETS, b64, between, lines, percent, unicode_escapes, wide, zipped
from support.secrets import Secrets

SCANNER = Scanner()
REDACTOR = Redactor(b"k" * 32)


@pytest.mark.parametrize("name", DISGUISES)
def test_a_secret_in_disguise_is_found_and_nothing_is_left_of_it(name: str) -> None:
    """In a document, as one of its fields, among others; every secret of the four."""
    for rule, secret in SECRETS.items():
        value: Json = {"id": 7, "message": "request done", "data": DISGUISES[name](secret), "ok": True}
        findings = SCANNER.scan_value(value)
        assert rule in {finding.detector for finding in findings}, (rule, name)
        redacted = REDACTOR.redact_value(value, findings)
        assert SCANNER.scan_value(redacted) == []
        text = json.dumps(value, ensure_ascii=False).encode()
        kept = REDACTOR.redact_json(text, SCANNER.scan_json(text))
        assert json.loads(kept) == redacted
        assert_gone(redacted, secret)


@pytest.mark.parametrize("name", DISGUISES)
def test_a_secret_in_disguise_is_found_in_text(name: str) -> None:
    """As text, in characters and in bytes."""
    for rule, secret in SECRETS.items():
        value = DISGUISES[name](secret)
        plain = value if isinstance(value, str) else json.dumps(value)
        text = f"before – {plain} after"
        findings = SCANNER.scan(text)
        assert rule in {finding.detector for finding in findings}, (rule, name)
        assert rule in {finding.detector for finding in SCANNER.scan(text.encode())}, (rule, name)
        redacted = REDACTOR.redact_text(text, findings)
        assert SCANNER.scan(redacted) == []
        assert redacted.startswith("before – ")
        assert redacted.endswith(" after")


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("rule", ["github-token", "stripe-key", "aws-access-key-id"])
def test_a_list_of_letters_is_read(rule: str, size: int) -> None:
    """As `list` makes of a text, and as pairs."""
    letters: Json = [SECRETS[rule][at : at + size] for at in range(0, len(SECRETS[rule]), size)]
    value: Json = {"id": "a", "letters": letters, "ok": "yes"}
    findings = SCANNER.scan_value(value)
    assert {finding.detector for finding in findings} == {rule}
    assert len(findings) == len(SECRETS[rule]) // size
    assert SCANNER.scan_value(REDACTOR.redact_value(value, findings)) == []


@pytest.mark.parametrize("ahead", ["TOKEN", "x", "7", "%s", "=3D", "ghp_", "ghp_ghp_", "ghp_" * 600])
@pytest.mark.parametrize("rule", ["github-token", "stripe-key"])
def test_a_prefix_with_a_sign_of_its_own_begins_a_word(rule: str, ahead: str) -> None:
    """Whatever is glued to it."""
    text = f"{ahead}{SECRETS[rule]} and {'-' * 5000} {ahead}{SECRETS[rule]}"
    found = [text[each.start : each.end] for each in SCANNER.scan(text) if each.detector == rule]
    assert found == [SECRETS[rule]] * 2


def assert_gone(value: Json, secret: str) -> None:
    """No run of ten characters of `secret` is left in any text of `value`, nor in its base64 or hex."""
    text = json.dumps(value, ensure_ascii=False)
    parts = {secret[at : at + 10] for at in range(4, len(secret) - 9)}
    for part in parts:
        assert part not in text
        assert part.encode().hex() not in text.lower()


def test_what_is_encoded_more_often_than_the_bound_is_not_called_clean() -> None:
    """Ten times base64: an error of the scan, which the gate quarantines."""
    text = SECRETS["github-token"]
    for _ in range(10):
        text = b64(text)
    with pytest.raises(ScanIncomplete):
        SCANNER.scan(text)
    with pytest.raises(ScanIncomplete):
        SCANNER.scan_value({"data": [text]})
    assert SCANNER.present(text).platform


def test_what_is_escaped_more_often_than_the_bound_is_not_called_clean() -> None:
    """A percent sign that stands for one that stands for one."""
    with pytest.raises(ScanIncomplete):
        SCANNER.scan("%" + "25" * 12 + "41" + SECRETS["github-token"])


@pytest.mark.parametrize("wrap", [b64, lambda data: data.hex(), lambda data: data])
def test_a_bomb_ends_at_the_budget(wrap: Callable[[bytes], str | bytes]) -> None:
    """Twenty megabytes of nothing in twenty kilobytes."""
    bomb = gzip.compress(b"\0" * 20_000_000, mtime=0)
    with pytest.raises(ScanIncomplete, match="decodes to more"):
        SCANNER.scan(wrap(bomb))


@pytest.mark.parametrize(
    "data",
    [b"%PDF-1.7\n" + bytes(range(256)), zipped("notes.txt", "nothing " * 40)[:80], b"Rar!\x1a\x07" + bytes(99)],
    ids=["pdf", "half a zip", "rar"],
)
def test_a_container_that_is_not_read_is_not_called_clean(data: bytes) -> None:
    """Of another kind, or cut off."""
    for text in (b64(data), data.hex()):
        with pytest.raises(Unscannable):
            SCANNER.scan(f"see {text}")


def test_what_looks_like_gzip_everywhere_ends_at_the_budget() -> None:
    """Each sign is tried, which is counted."""
    scanner = Scanner(budget=Budget(work_base=1 << 20, work_per_byte=1))
    with pytest.raises(ScanIncomplete, match="work"):
        scanner.scan(b"\x1f\x8b\x08" * 20_000)


def test_a_compressed_text_that_holds_itself_ends_at_the_bound() -> None:
    """Layer by layer, each small."""
    data = SECRETS["github-token"].encode()
    for _ in range(6):
        data = gzip.compress(data, mtime=0)
    with pytest.raises(ScanIncomplete):
        SCANNER.scan(data)


@pytest.mark.parametrize("unit", ["A", "QUJD", "41", "%41", "\\u0041", '\\"', "&#65;", "ghp_", '"gh"+', "\uff21", "\n"])
def test_a_line_without_an_end_is_scanned_or_given_up(unit: str) -> None:
    """A hundred megabytes, in proportion: within a small budget it ends, and what is found in time is found."""
    scanner = Scanner(budget=Budget(seconds=1.0, work_base=1 << 20, text_chars_max=1 << 20))
    text = unit * (300_000 // len(unit)) + " " + SECRETS["github-token"]
    try:
        assert "github-token" in {finding.detector for finding in scanner.scan(text)}
    except ScanError:
        assert scanner.present(text).secrets
    with pytest.raises(ScanIncomplete):
        scanner.scan("x" * (1 << 20) + " ")


def test_nested_json_is_unscannable() -> None:
    """Deeper than JSON is read here."""
    with pytest.raises(Unscannable):
        SCANNER.scan_json(b"[" * 5000 + b"]" * 5000)


def test_one_secret_has_one_tag_in_every_disguise_that_can_be_undone() -> None:
    """So that a reader sees that it is the same one."""
    secret = SECRETS["github-token"]
    forms = [secret, b64(secret), secret.encode().hex(), wide(secret), between(secret, "\u200b"), percent(secret)]
    forms += [unicode_escapes(secret), b64(b64(secret)), b64(gzip.compress(secret.encode(), mtime=0))]
    findings = SCANNER.scan_value(list(forms))
    tags = REDACTOR.redact_value(list(forms), findings)
    assert isinstance(tags, list)
    assert set(map(str, tags)) == {f"[redacted:secret:{REDACTOR.fingerprint(secret)}]"}
    vias = {finding.via for finding in findings}
    assert {"value", "value>base64", "value>hex", "value>normal", "value>percent", "value>base64>gzip"} <= vias


def test_a_split_secret_is_found_wherever_it_stands_in_a_long_text() -> None:
    """Also where the parts meet in which a text is put together; told once for each piece."""
    secret = SECRETS["github-token"]
    for before in (0, *(16 * 1024 + more for more in range(-60, 13, 3)), 32 * 1024 - 130, 256 * 1024 - 3):
        text = "-" * before + f' "{secret[:2]}" + "{secret[2:19]}" + "{secret[19:]}" ' + "=" * 30_000
        found = SCANNER.scan(text)
        assert [text[f.start : f.end] for f in found] == [secret[:2], secret[2:19], secret[19:]], before


def test_a_long_known_secret_is_found_in_pieces_wherever_they_stand() -> None:
    """It is longer than what is looked at at once for where a token begins."""
    secret = Secrets(29).chars("abcdefghijklmnopqrstuvwxyz0123456789", 6000)
    scanner = Scanner([secret.encode()], rules=())
    for before in (0, 12 * 1024, 16 * 1024 - 20, 16 * 1024 - 3000):
        text = "-" * before + "".join(f'\n"{secret[at : at + 60]}",' for at in range(0, len(secret), 60)) + "=" * 20_000
        found = scanner.scan(text)
        assert "".join(text[f.start : f.end] for f in found) == secret, before


@pytest.mark.parametrize("offset", [0, 1, 2, 9000, 9001, 9002])
def test_what_a_long_run_of_bytes_hides_is_found(offset: int) -> None:
    """A text in what is none, at each alignment, and one that goes on to the end."""
    made = Secrets(31)
    secret = SECRETS["github-token"]
    note = "password: '" + "é".join(made.chars("abcdefghjk23456789", 30) for _ in range(8)) + "'\n"
    for hidden, behind, size in ((secret, 9000, 76), (secret, 9000, 20_000), (note + "a café, \n" * 900, 0, 20_000)):
        data = made.random.randbytes(offset) + f" {hidden} ".encode() + made.random.randbytes(behind)
        text = lines(b64(data), size)
        found = SCANNER.scan(text)
        assert {finding.via for finding in found} == {"raw>base64"}
        assert SCANNER.scan(REDACTOR.redact_text(text, found)) == []
    packed = made.random.randbytes(offset // 3 * 3) + zlib.compress(f"{secret} {made.chars('abcdef', 20000)}".encode())
    assert SCANNER.scan(("+" if offset else "") + b64(packed)[offset // 3 * 4 :]) != []


def test_a_picture_in_a_document_is_scanned_to_its_end() -> None:
    """Chance has something like text in it at many places; decoding all of it for each took more than the budget."""
    picture = b64(Secrets(37).random.randbytes(1_000_000))
    assert SCANNER.scan_json(json.dumps({"image": picture}).encode()) == []


def test_chance_does_not_decode() -> None:
    """Identifiers, hashes, images, compressed bytes, prose in other scripts: nothing is found in what they are not."""
    made = Secrets(23)
    lines = [f"{made.random.randbytes(16).hex()} {made.random.randbytes(32).hex()}" for _ in range(200)]
    lines += [b64(made.random.randbytes(300)) for _ in range(100)]
    lines += [b64(gzip.compress(made.random.randbytes(200), mtime=0)) for _ in range(20)]
    lines += [
        "съешь же ещё этих мягких французских булок, да выпей чаю",
        "価格は１２３４円（税込）です。",
        "%d%% of %s&amp;",
    ]
    lines += [f"{made.chars('abcdefghij', 8)}-{made.random.getrandbits(64)}.png" for _ in range(100)]
    assert SCANNER.scan("\n".join(lines)) == []
    assert SCANNER.scan_value(list(lines)) == []


@pytest.mark.parametrize("ahead", ["\x1b", "\x1b[", "\x1b[0", "\x9b", "\x9b ", "\x1b ", "\x1b]", "\x1b[3 "])
def test_half_a_sequence_ahead_of_a_tag_takes_nothing_from_it(ahead: str) -> None:
    """What is left of a tag would be a name and a value."""
    text = f"{ahead}{SECRETS['github-token']} {ahead}secret: {SECRETS['stripe-key']}"
    assert SCANNER.scan(REDACTOR.redact_text(text, SCANNER.scan(text))) == []
