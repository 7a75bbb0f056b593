"""Views: the texts in which a value is looked at. A JSON document is looked at as its unescaped keys and values.

All leaves of a document make one text of lines `key: value`, so that one pass of the engine covers them, a rule that
needs the name of a value sees it, and each hit is carried back to the leaf that holds it. Control characters mark where
a key and a value end, so that the rules for named values take a value whole, whatever is in it. Most documents hold
nothing, so the way back is made only when it is asked for.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeAlias

from holdgate.kernel.canonical import Json
from holdgate.scan.findings import View

KEY_END = "\x1f: "
VALUE_END = "\x1e\n"
_SECRET_NAME = re.compile(r"(?i)pass|pwd|secret|token|key|credential|auth")

_Origin: TypeAlias = tuple["_Origin | None", "str | int"] | None
"""The origin of the parent, and the key or index in it; None for the root."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A key or a value, and where it stands in the view's text."""

    path: str
    via: str
    start: int
    end: int


class JsonView:
    """The text of a JSON value and the way back from its offsets."""

    def __init__(self, value: Json) -> None:
        self._parts: list[str] = []
        self._origins: list[tuple[_Origin] | None] = []
        self._starts: list[int] = []
        if isinstance(value, dict):
            self._members(value, None)
        elif isinstance(value, list):
            self._items(value, None, "")
        elif (text := scalar_text(value)) is not None:
            self._add((text, VALUE_END), ((None,), None))
        self.text = "".join(self._parts)

    def locate(self, start: int, end: int) -> Iterator[tuple[Segment, int, int]]:
        """The segments that `start` to `end` touches, with offsets inside each."""
        if not self._starts:
            self._starts = [0, *accumulate(map(len, self._parts))]
        index = bisect_right(self._starts, start) - 1
        while index < len(self._parts) and self._starts[index] < end:
            first, last = max(start, self._starts[index]), min(end, self._starts[index + 1])
            origin = self._origins[index]
            if origin is not None and first < last:
                segment = self._segment(index, origin[0])
                yield segment, first - segment.start, last - segment.start
            index += 1

    def _segment(self, index: int, origin: _Origin) -> Segment:
        is_key = index + 1 < len(self._parts) and self._parts[index + 1] is KEY_END
        return Segment(_path(origin), View.KEY if is_key else View.VALUE, self._starts[index], self._starts[index + 1])

    def _add(self, parts: tuple[str, ...], origins: tuple[tuple[_Origin] | None, ...]) -> None:
        self._parts += parts
        self._origins += origins

    def _members(self, members: dict[str, Json], parent: _Origin) -> None:
        for name, item in members.items():
            origin = (parent, name)
            text = item if type(item) is str else scalar_text(item)
            if text is not None:
                self._parts += (name, KEY_END, text, VALUE_END)
                self._origins += ((origin,), None, (origin,), None)
                continue
            self._parts += (name, KEY_END, VALUE_END)
            self._origins += ((origin,), None, None)
            if isinstance(item, dict):
                self._members(item, origin)
            elif isinstance(item, list):
                self._items(item, origin, name if _SECRET_NAME.search(name) else "")

    def _items(self, items: list[Json], parent: _Origin, label: str) -> None:
        """`label`: the name of the list where that says that its items are secret; stands before each."""
        for index, item in enumerate(items):
            origin = (parent, index)
            text = item if type(item) is str else scalar_text(item)
            if text is not None and label:
                self._add((label, KEY_END, text, VALUE_END), (None, None, (origin,), None))
            elif text is not None:
                self._add((text, VALUE_END), ((origin,), None))
            elif isinstance(item, dict):
                self._members(item, origin)
            elif isinstance(item, list):
                self._items(item, origin, label)


def scalar_text(value: Json) -> str | None:
    """How a scalar is looked at; None for what cannot hide anything, and for containers."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return str(value)


def escape(token: str) -> str:
    """A key as a token of a JSON pointer (RFC 6901)."""
    return token.replace("~", "~0").replace("/", "~1")


def unescape(token: str) -> str:
    """The key of a pointer's token."""
    return token.replace("~1", "/").replace("~0", "~")


def _path(origin: _Origin) -> str:
    tokens: list[str] = []
    while origin is not None:
        origin, token = origin
        tokens.append("/" + (escape(token) if isinstance(token, str) else str(token)))
    return "".join(reversed(tokens))
