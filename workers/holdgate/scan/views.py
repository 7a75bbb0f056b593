"""Views: the texts in which a value is looked at. A JSON document is looked at as its unescaped keys and values.

All leaves of a document make one text of lines `key: value`, so that one pass of the engine covers them, a rule that
needs the name of a value sees it, and each hit is carried back to the leaf that holds it. Control characters mark where
a key and a value end, so that the rules for named values take a value whole, whatever is in it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from holdgate.kernel.canonical import Json, canonical_bytes
from holdgate.scan.findings import Via

KEY_END = "\x1f: "
VALUE_END = "\x1e\n"
_SECRET_NAME = re.compile(r"(?i)pass|pwd|secret|token|key|credential|auth")


@dataclass(frozen=True, slots=True)
class Segment:
    """A key or a value, and where it stands in the view's text."""

    path: str
    via: Via
    start: int
    end: int


class JsonView:
    """The text of a JSON value and the way back from its offsets."""

    def __init__(self, value: Json) -> None:
        self._parts: list[str] = []
        self._segments: list[Segment] = []
        self._length = 0
        self._walk(value)
        self.text = "".join(self._parts)
        self._starts = [segment.start for segment in self._segments]

    def locate(self, start: int, end: int) -> Iterator[tuple[Segment, int, int]]:
        """The segments that `start` to `end` touches, with offsets inside each."""
        index = max(0, bisect_right(self._starts, start) - 1)
        while index < len(self._segments) and self._segments[index].start < end:
            segment = self._segments[index]
            first, last = max(start, segment.start), min(end, segment.end)
            if first < last:
                yield segment, first - segment.start, last - segment.start
            index += 1

    def _walk(self, root: Json) -> None:
        pending: list[tuple[str, str | None, str, Json]] = [("", None, "", root)]
        while pending:
            path, key, label, value = pending.pop()
            if key is not None:
                self._segment(path, Via.KEY, key)
                self._raw(KEY_END)
                label = key
            elif label:
                self._raw(label + KEY_END)
            if isinstance(value, dict):
                self._raw(VALUE_END)
                pending.extend((f"{path}/{escape(name)}", name, "", value[name]) for name in reversed(value))
            elif isinstance(value, list):
                self._raw(VALUE_END)
                named = label if _SECRET_NAME.search(label) else ""
                pending.extend(
                    (f"{path}/{index}", None, named, value[index]) for index in range(len(value) - 1, -1, -1)
                )
            else:
                text = scalar_text(value)
                if text is not None:
                    self._segment(path, Via.VALUE, text)
                self._raw(VALUE_END)

    def _segment(self, path: str, via: Via, text: str) -> None:
        self._segments.append(Segment(path, via, self._length, self._length + len(text)))
        self._raw(text)

    def _raw(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)


def scalar_text(value: Json) -> str | None:
    """How a scalar is looked at; None for what cannot hide anything."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool):
        return None
    return canonical_bytes(value).decode("ascii")


def escape(token: str) -> str:
    """A key as a token of a JSON pointer (RFC 6901)."""
    return token.replace("~", "~0").replace("/", "~1")


def unescape(token: str) -> str:
    """The key of a pointer's token."""
    return token.replace("~1", "/").replace("~0", "~")
