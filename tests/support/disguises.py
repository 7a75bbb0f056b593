"""Ways in which a secret may be written so that it does not look like one; the secrets are made at run time."""

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

from holdgate.kernel.canonical import Json
from support.secrets import ALNUM, Secrets

MADE = Secrets(17)
SECRETS = {
    "github-token": MADE.github(),
    "stripe-key": MADE.stripe(),
    "aws-access-key-id": MADE.aws_key_id(),
    "jwt": MADE.jwt(),
}

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
