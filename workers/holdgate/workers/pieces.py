"""Parts of a secret that are as good as the whole: lines of a key block, values in a file of credentials. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

PIECES_MAX = 128
"""Of one secret; a key of 16 KiB has no more lines."""
_LINE = re.compile(rb"[A-Za-z0-9+/=_-]{20,}\Z")
_VALUE_CHARS_MIN = 8
_NAMED = re.compile(r"(?i)pass|pwd|secret|token|key|credential|auth")


def pieces_of(secret: bytes) -> list[bytes]:
    """What else to look for where `secret` was handed out, without `secret` itself."""
    found = (*_values(secret), *_lines(secret))
    return [piece for piece in dict.fromkeys(found) if piece != secret][:PIECES_MAX]


def _lines(text: bytes) -> Iterator[bytes]:
    """Lines that are made of nothing but encoded bytes: those of key blocks, not their frames."""
    lines = text.split()
    if len(lines) > 1:
        yield from (line for line in lines if _LINE.match(line))


def _values(text: bytes) -> Iterator[bytes]:
    """In a document the values that are secret by their names; each whole, and its lines."""
    if not text.lstrip().startswith(b"{"):
        return
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return
    for value in _named(document):
        yield value.encode("utf-8", "replace")
        yield from _lines(value.encode("utf-8", "replace"))


def _named(value: Any) -> Iterator[str]:
    if not isinstance(value, dict):
        return
    for name, item in value.items():
        if isinstance(item, dict):
            yield from _named(item)
        elif isinstance(item, str) and len(item) >= _VALUE_CHARS_MIN and _NAMED.search(name):
            yield item
