"""Secrets in disguise: encoded, written in other letters, split, and all of these inside each other.

Each is found, by its rule and not by chance, and nothing is left of it after redaction: neither in what is stored nor
in what that decodes to.
"""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import lzma
import zipfile
import zlib
from collections.abc import Callable
from urllib.parse import quote

import pytest

from holdgate.kernel.canonical import Json
from holdgate.scan import Redactor, ScanError, ScanIncomplete, Scanner, Unscannable
from holdgate.scan.engine import Budget
from support.secrets import ALNUM, Secrets

MADE = Secrets(17)
SECRETS = {
    "github-token": MADE.github(),
    "stripe-key": MADE.stripe(),
    "aws-access-key-id": MADE.aws_key_id(),
    "jwt": MADE.jwt(),
}
SCANNER = Scanner()
REDACTOR = Redactor(b"k" * 32)

BLOB = MADE.chars(ALNUM, 40)
"""What the secret of an access key id looks like, or an id in a path."""

Disguise = Callable[[str], Json]


def b64(data: str | bytes) -> str:
    """Base64 of a text."""
    return base64.b64encode(data if isinstance(data, bytes) else data.encode()).decode()


def lines(text: str, size: int, end: str = "\n") -> str:
    """`text` in lines of `size`."""
    return end.join(text[at : at + size] for at in range(0, len(text), size))


def percent(text: str) -> str:
    """Every character percent-encoded."""
    return "".join(f"%{byte:02X}" for byte in text.encode())


def unicode_escapes(text: str) -> str:
    """Every character as `\\uXXXX`."""
    return "".join(f"\\u{ord(c):04x}" for c in text)


def wide(text: str) -> str:
    """Full-width forms."""
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def styled(text: str) -> str:
    """Mathematical letters and digits."""
    first = {**dict.fromkeys(range(48, 58), 0x1D7CE - 48)}
    first |= dict.fromkeys(range(65, 91), 0x1D400 - 65) | dict.fromkeys(range(97, 123), 0x1D41A - 97)
    return "".join(chr(ord(c) + first.get(ord(c), 0)) for c in text)


ALIKE = str.maketrans(
    "aeopcyxABEKMHOPCTX",
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425",
)
GREEK = str.maketrans(
    "oABEZHIKMNOPTXY", "\u03bf\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a7\u03a5"
)


def between(text: str, hidden: str) -> str:
    """`hidden` behind every third character."""
    return "".join(c + (hidden if at % 3 == 2 else "") for at, c in enumerate(text))


def dump(text: str, form: str, group: int = 1) -> str:
    """Lines of sixteen bytes: where they are, in hex, and as far as they can be read."""
    data, rows = text.encode(), []
    for at in range(0, len(data), 16):
        part = data[at : at + 16]
        rows.append(form.format(at, lines(part.hex(), 2 * group, " "), part.decode()))
    return "\n".join(rows)


def packed(text: str) -> bytes:
    """A gzip stream."""
    return gzip.compress(text.encode(), mtime=0)


def zipped(name: str, data: str | bytes) -> bytes:
    """A zip of one member."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def halves(text: str) -> tuple[str, str]:
    """Cut within the part that a vendor chose, where it hurts most."""
    return text[:2], text[2:]


def thirds(text: str) -> tuple[str, str, str]:
    """Three pieces, none of which is a whole."""
    size = len(text) // 3
    return text[:size], text[size : 2 * size], text[2 * size :]


def dumped(value: Json, times: int = 1) -> str:
    """JSON inside a JSON string inside a JSON string."""
    text = json.dumps(value)
    for _ in range(times - 1):
        text = json.dumps(text)
    return text


DISGUISES: dict[str, Disguise] = {
    "base64": b64,
    "base64 without padding": lambda s: b64(s + "!").rstrip("="),
    "base64url": lambda s: base64.urlsafe_b64encode(f"??>{s}~~".encode()).decode(),
    "base64 at another alignment": lambda s: b64("ab" + " " + s),
    "base64 behind a path": lambda s: "https://example.org/callback/x" + b64(f"key={s}"),
    "base64 in lines of 76": lambda s: lines(b64("a note ahead of it, long enough for two lines: " + s), 76),
    "base64 in short lines, as Windows ends them": lambda s: lines(b64(f"key {s} end"), 24, "\r\n"),
    "base64 in a data URL": lambda s: "data:text/plain;base64," + b64(f"the key is {s}"),
    "base64 among words": lambda s: f"auth header was {b64('user:' + s)} and nothing else",
    "base64 of UTF-16": lambda s: b64(f"key {s}".encode("utf-16-le")),
    "base64 of text that is not ASCII": lambda s: b64(f"clé privée — {s} — fin"),
    "base64 twice": lambda s: b64(b64(s)),
    "base64 three times": lambda s: b64(b64(b64(s))),
    "base64 among bytes": lambda s: b64(bytes(range(128, 188)) + b" " + s.encode() + b" " + bytes(range(160, 220))),
    "hex": lambda s: s.encode().hex(),
    "hex in capitals": lambda s: "0x" + s.encode().hex().upper(),
    "hex with colons": lambda s: s.encode().hex(":"),
    "hex with spaces": lambda s: s.encode().hex(" "),
    "hex bytes with \\x": lambda s: "".join(f"\\x{byte:02x}" for byte in s.encode()),
    "hex bytes with 0x": lambda s: ", ".join(f"0x{byte:02x}" for byte in s.encode()),
    "hex of base64": lambda s: b64(s).encode().hex(),
    "octal escapes": lambda s: "".join(f"\\{byte:03o}" for byte in s.encode()),
    "percent, all of it": percent,
    "percent, here and there": lambda s: s[:3] + percent(s[3]) + s[4:9] + percent(s[9]) + s[10:],
    "percent twice": lambda s: quote(percent(s)),
    "\\u escapes": unicode_escapes,
    "\\u escapes, here and there": lambda s: s[:3] + unicode_escapes(s[3:5]) + s[5:],
    "\\u{} escapes": lambda s: "".join(f"\\u{{{ord(c):x}}}" for c in s),
    "HTML references": lambda s: "".join(f"&#{ord(c)};" for c in s),
    "HTML references in hex": lambda s: "".join(f"&#x{ord(c):X};" for c in s),
    "HTML references by name": lambda s: s.replace("_", "&lowbar;").replace(".", "&period;").replace("A", "&#65;"),
    "gzip in base64": lambda s: b64(gzip.compress(f"the key is {s}".encode(), mtime=0)),
    "zlib in base64": lambda s: b64(zlib.compress(f"the key is {s}".encode())),
    "gzip in hex": lambda s: gzip.compress(f"the key is {s}".encode(), mtime=0).hex(),
    "full-width": wide,
    "full-width, here and there": lambda s: s[:2] + wide(s[2:6]) + s[6:],
    "mathematical letters": styled,
    "zero-width spaces": lambda s: between(s, "\u200b"),
    "zero-width joiners": lambda s: between(s, "\u200d"),
    "soft hyphens": lambda s: between(s, "\u00ad"),
    "bidi controls": lambda s: between(s, "\u202d"),
    "tags": lambda s: "".join(chr(0xE0000 + ord(c)) for c in s),
    "Cyrillic letters": lambda s: s.translate(ALIKE),
    "Greek letters": lambda s: s.translate(GREEK),
    "Cyrillic and full-width and zero-width": lambda s: between(wide(s[:9].translate(ALIKE)) + s[9:], "\u200b"),
    "two fields": lambda s: dict(zip(("first", "second"), halves(s), strict=True)),
    "three fields": lambda s: dict(zip(("a", "b", "c"), thirds(s), strict=True)),
    "items of a list": lambda s: [*thirds(s), "a word"],
    "objects of a list": lambda s: [{"part": part} for part in thirds(s)],
    "items of a list, empty ones between them": lambda s: [s[:6], "", s[6:12], "", "", s[12:]],
    "two lines": lambda s: "\n".join(halves(s)),
    "two log lines": lambda s: list(halves(s)),
    "a sum of strings": lambda s: 'key = "' + '" + "'.join(thirds(s)) + '"',
    "a sum of strings, in single quotes": lambda s: "key = '" + "' + '".join(halves(s)) + "'",
    "neighbouring strings": lambda s: 'key = ("' + '"\n       "'.join(thirds(s)) + '")',
    "a line that goes on": lambda s: "\\\n".join(halves(s)),
    "JSON in JSON": lambda s: dumped({"config": dumped({"key": s})}),
    "JSON in JSON in JSON, in \\u escapes": lambda s: dumped({"log": f'{{"key": "{unicode_escapes(s)}"}}'}, 3),
    "JSON with a split secret in base64": lambda s: b64(json.dumps({"note": "a longer text", "parts": thirds(s)})),
    "base64 in JSON in base64": lambda s: b64(json.dumps({"body": b64(f"token: {s}")})),
    "percent in base64": lambda s: b64("q=" + percent(s)),
    "base64 in percent": lambda s: quote(b64(f"a>b?{s}=="), safe=""),
    "gzip in base64 in JSON in hex": lambda s: dumped({"z": b64(gzip.compress(s.encode(), mtime=0))}).encode().hex(),
    "HTML in JSON in percent": lambda s: quote(json.dumps({"p": "".join(f"&#{ord(c)};" for c in s)})),
    "zero-width in base64": lambda s: b64(between(s, "\u200b")),
    "colours": lambda s: f"\x1b[36mkey\x1b[0m=\x1b[01;32m{s}\x1b[0m",
    "colours within, as grep has them": lambda s: f"\x1b[01;31m\x1b[K{s[:4]}\x1b[m\x1b[K{s[4:]}",
    "a link of a terminal": lambda s: f"\x1b]8;;https://example.org\x07{s[:6]}\x1b]8;;\x07{s[6:]}",
    "one control character": lambda s: f"{s[:9]}\x07{s[9:]}",
    "control characters": lambda s: "\x00".join(s),
    "a carriage return": lambda s: f"{s[:9]}\r{s[9:]}",
    "marks over the letters": lambda s: between(s, "\u0336"),
    "odd blanks": lambda s: between(s, "\u2009"),
    "a blank that does not break": lambda s: f"{s[:7]}\u00a0{s[7:]}",
    "empty braille": lambda s: between(s, "\u2800"),
    "bold": lambda s: f"**{s[:4]}**{s[4:]}",
    "bold in HTML": lambda s: f"<b>{s[:4]}</b>{s[4:]}",
    "where a line may break, in HTML": lambda s: f"{s[:8]}<wbr>{s[8:14]}<!-- here -->{s[14:]}",
    "behind a run of letters and a slash": lambda s: f"https://example.org/{BLOB}/{s}",
    "ahead of a slash and a run of letters": lambda s: f"{s}/{BLOB}",
    "a name and an underscore ahead": lambda s: f"my_{s}",
    "base64 in fours": lambda s: lines(b64(s), 4, " "),
    "base64 in eights": lambda s: lines(b64(f"key {s}"), 8, " "),
    "base64 in lines of eight": lambda s: lines(b64(f"key {s}"), 8),
    "base64 as items of a list": lambda s: lines(b64(f"key {s}"), 16, "\n").split("\n"),
    "a sum of base64": lambda s: '"' + lines(b64(f"key {s}"), 24, '" + "') + '"',
    "base64 in two padded parts": lambda s: b64(f"the key is {s[:9]}") + b64(s[9:]),
    "base32": lambda s: base64.b32encode(f"the key is {s}".encode()).decode(),
    "quoted-printable": lambda s: "".join(f"={byte:02X}" for byte in s.encode()),
    "quoted-printable, as mails have it": lambda s: f"key=3D{s[:12]}=\n{s[12:]}",
    "signs of markdown escaped": lambda s: s.replace("_", "\\_").replace("-", "\\-").replace(".", "\\."),
    "a patch": lambda s: f"+{s[:9]}\n+{s[9:]}",
    "hex bytes with 0x, a line each": lambda s: ",\n    ".join(f"0x{byte:02x}" for byte in s.encode()),
    "hex bytes with underscores": lambda s: s.encode().hex("_"),
    "hex bytes with bars": lambda s: s.encode().hex("|"),
    "hex bytes with two blanks": lambda s: "  ".join(f"{byte:02x}" for byte in s.encode()),
    "hex in fours": lambda s: lines(s.encode().hex(), 4, " "),
    "hex in eights": lambda s: lines(s.encode().hex(), 8, " "),
    "a dump, as hexdump has it": lambda s: dump(f"the key is {s}", "{:08x}  {:<49} |{}|"),
    "a dump, as xxd has it": lambda s: dump(f"the key is {s}", "{:08x}: {:<49} {}", 2),
    "a dump, as od has it": lambda s: dump(f"the key is {s}", "{:07x} {}"),
    "the lines of a dump as items": lambda s: dump(f"the key is {s}", "{:08x}: {:<49} {}", 2).split("\n"),
    "a buffer": lambda s: {"type": "Buffer", "data": list(s.encode())},
    "bytes in decimal": lambda s: f"bytes({list(s.encode())})",
    "bytes in decimal, a line each": lambda s: json.dumps(list(s.encode()), indent=4),
    "bytes in decimal with blanks": lambda s: " ".join(map(str, s.encode())),
    "a sum of characters": lambda s: " + ".join(f"chr({byte})" for byte in s.encode()),
    "bytes in octal": lambda s: " ".join(f"{byte:03o}" for byte in s.encode()),
    "bytes in binary": lambda s: " ".join(f"{byte:08b}" for byte in s.encode()),
    "the second member of a gzip file": lambda s: b64(packed("nothing here") + packed(f"the key is {s}")),
    "gzip behind what looks like it": lambda s: b64(b"\x1f\x8b\x08" + packed(f"the key is {s}")),
    "zip in base64": lambda s: b64(zipped("notes.txt", f"the key is {s}")),
    "zip in hex": lambda s: zipped("notes.txt", f"the key is {s}").hex(),
    "zip in zip in a data URL": lambda s: "data:application/zip;base64," + b64(zipped("in", zipped("notes", s))),
    "the name of a member": lambda s: b64(zipped(f"{s}.txt", "nothing here")),
    "bzip2 in base64": lambda s: b64(bz2.compress(f"the key is {s}".encode())),
    "xz in base64": lambda s: b64(lzma.compress(f"the key is {s}, again {s}".encode())),
    "colours in base64": lambda s: b64(f"\x1b[32m{s[:5]}\x1b[0m{s[5:]} is the key"),
}  # fmt: skip


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
