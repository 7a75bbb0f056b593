"""The forms in which a secret leaves a program. Needs no pattern engine: who only compares need not load one."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterator
from urllib.parse import quote

PLAIN = "plain"
FORMS = (PLAIN, "hex", "base64", "base64url", "percent", "json", "html")
SECRET_BYTES_MIN = 6
SECRET_BYTES_MAX = 16 * 1024


def forms_of(secret: bytes) -> Iterator[tuple[str, bytes]]:
    """Each form with its name; some are the same."""
    yield PLAIN, secret
    yield "hex", secret.hex().encode()
    yield "hex", secret.hex().upper().encode()
    for offset in range(3):
        yield "base64", _aligned(base64.b64encode(b"\0" * offset + secret), offset, len(secret))
        yield "base64url", _aligned(base64.urlsafe_b64encode(b"\0" * offset + secret), offset, len(secret))
    for safe in ("", "/", "-_.!~*'()", ";,/?:@&=+$-_.!~*'()#"):
        yield "percent", quote(secret, safe=safe).encode()
    every = "".join(f"%{byte:02x}" for byte in secret)
    yield "percent", every.encode()
    yield "percent", every.upper().encode()
    yield from _text_forms(secret)


def _text_forms(secret: bytes) -> Iterator[tuple[str, bytes]]:
    try:
        text = secret.decode("utf-8")
    except UnicodeDecodeError:
        return
    for ascii_only in (True, False):
        escaped = json.dumps(text, ensure_ascii=ascii_only)[1:-1]  # noqa: TID251  a form to look for; nothing is hashed
        yield "json", escaped.encode()
        yield "json", escaped.replace("/", "\\/").encode()
    yield "json", "".join(f"\\u{ord(c):04x}" for c in text if ord(c) < 0x10000).encode()
    yield "html", html.escape(text).encode()
    yield "html", html.escape(text, quote=False).encode()
    yield "html", "".join(f"&#{ord(c)};" for c in text).encode()
    yield "html", "".join(f"&#x{ord(c):x};" for c in text).encode()


def _aligned(encoded: bytes, offset: int, size: int) -> bytes:
    """The characters of `encoded` that depend on the secret alone: not on what stood before or behind it."""
    first = (offset * 8 + 5) // 6
    return encoded[first : (offset + size) * 8 // 6]
