"""A JSON document as text: its strings and numbers where they stand, their names, and the way back to JSON pointers.

What always holds: the text is looked at as it is, so most documents cost nothing more; the walk that finds pointers is
made only for what was found. It asks nothing but that the text is JSON.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import re2

from holdgate.kernel.canonical import Json
from holdgate.scan.findings import View
from holdgate.scan.ruleset import latin1_options
from holdgate.scan.views.escapes import copy_undone
from holdgate.scan.views.layer import COPY, Builder, Layer, Span

KEY_END = b"\x1f: "
VALUE_END = b"\x1e\n"
NAMED_BYTES_MAX = 256
"""Longer values than this are longer than what the rules for assignments take."""
_TOKEN = re.compile(rb'"[^"]*"|[\[\]{},:]|[^\s\[\]{},:"]+')
_SECRET_NAME = (
    rb'(?i)"([^"]{0,200}(?:pass|pwd|secret|token|key|credential|auth)[^"]{0,200})"[ \t\r\n]{0,8}:[ \t\r\n]{0,8}["\[]'
)
_NUMBER = b"-0123456789"
_ESCAPED = re.compile(rb"(?:\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u....|\\.)|[^\\]+", re.DOTALL)

_Path: TypeAlias = "tuple[_Path, Span | int] | None"
"""The path of the parent, and the key (where it stands) or index in it; None for the root."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A key, a string or a number: where its raw text begins and ends, within the quotes, and its pointer."""

    start: int
    end: int
    view: View
    path: str
    text: LeafText
    quoted: bool

    @property
    def parent(self) -> str:
        """The pointer of what it is in."""
        return self.path.rpartition("/")[0]


class LeafText:
    """The characters of a leaf, and the way between them and the raw bytes."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._raw_starts: list[int] = []
        self._starts: list[int] = []
        self._parts: list[str] = []
        size = 0
        for match in _ESCAPED.finditer(raw):
            part = match.group()
            text = json.loads(b'"' + part + b'"') if part[:1] == b"\\" else part.decode("utf-8", "surrogatepass")
            self._raw_starts.append(match.start())
            self._starts.append(size)
            self._parts.append(text)
            size += len(text)
        self.text = "".join(self._parts)

    def span(self, start: int, end: int) -> Span:
        """The characters that the raw bytes `start` to `end` are a part of."""
        return self._character(start), self._character(end - 1) + 1

    def raw_span(self, start: int, end: int) -> Span:
        """The raw bytes of the characters `start` to `end`."""
        return self._byte(start), self._byte(end)

    def _character(self, byte: int) -> int:
        index = bisect_right(self._raw_starts, byte) - 1
        first = self._raw_starts[index]
        if self._raw[first : first + 1] == b"\\":
            return self._starts[index]
        return self._starts[index] + len(self._raw[first:byte].decode("utf-8", "ignore"))

    def _byte(self, character: int) -> int:
        if character >= len(self.text):
            return len(self._raw)
        index = bisect_right(self._starts, character) - 1
        return self._raw_starts[index] + len(
            self._parts[index][: character - self._starts[index]].encode("utf-8", "surrogatepass")
        )


def leaves(data: bytes, touching: Sequence[Span]) -> Iterator[Leaf]:
    """The leaves of the JSON text `data` that any of `touching` (sorted by start) touches, in order; no empty ones."""
    index, reach = 0, 0
    last = max((end for _, end in touching), default=0)
    for start, end, view, parent, name in _tokens(data):
        if start >= last:
            return
        while index < len(touching) and touching[index][0] < end:
            reach = max(reach, touching[index][1])
            index += 1
        if reach > start and end > start:
            yield _leaf(data, start, end, view, (parent, name))


def leaves_at(data: bytes, paths: Collection[str]) -> Iterator[Leaf]:
    """The leaves of the JSON text `data` whose pointer is in `paths`, in order."""
    if not paths:
        return
    for start, end, view, parent, name in _tokens(data):
        if _pointer(data, (parent, name)) in paths:
            yield _leaf(data, start, end, view, (parent, name))


def keys_below(data: bytes, paths: Collection[str]) -> dict[str, set[str]]:
    """The keys of each object in `data` whose pointer is in `paths`."""
    found: dict[str, set[str]] = {path: set() for path in paths}
    for start, end, view, parent, _ in _tokens(data) if paths else ():
        if view is View.KEY and (path := _pointer(data, parent)) in found:
            found[path].add(LeafText(data[start:end]).text)
    return found


def named(layer: Layer) -> Layer | None:
    """The values in `layer` that are secret by their name and that no rule for assignments takes whole, a line each."""
    data = _blanked(layer.data)
    builder = Builder()
    for match in _secret_names().finditer(data):
        key, at = match.span(1), match.end()
        if data[at - 1 : at] == b'"':
            end = data.find(b'"', at)
            end = len(data) if end < 0 else end  # a part that was cut out of a text may end in a string
            if end - at > NAMED_BYTES_MAX or b"\\" in layer.data[at:end]:
                _add_named(builder, layer.data, key, (at, end))
        else:
            for item in _items(data, at):
                _add_named(builder, layer.data, key, item)
    return builder.layer(layer) if builder.size else None


def _add_named(builder: Builder, data: bytes, key: Span, value: Span) -> None:
    start, end = value
    builder.copy(data, *key)
    builder.add(KEY_END, key[1], key[1], COPY)
    copy_undone(builder, data, start, end)
    builder.add(VALUE_END, end, end, COPY)


def _items(blanked: bytes, start: int) -> Iterator[Span]:
    """Strings and numbers of the list that begins before `start`, and of lists in it."""
    depth = 1
    for match in _TOKEN.finditer(blanked, start):
        first = blanked[match.start()]
        if first in b"{:":
            return  # what has names of its own goes by those
        depth += (first in b"[") - (first in b"]}")
        if depth == 0:
            return
        if first in b'"':
            yield match.start() + 1, match.end() - 1
        elif first in _NUMBER:
            yield match.span()


def _tokens(data: bytes) -> Iterator[tuple[int, int, View, _Path, Span | int]]:
    """Every key, string and number: start, end, what it is, the path of its parent, its name there."""
    stack: list[tuple[_Path, Span | int, bool]] = []
    parent: _Path = None
    name: Span | int = -1
    in_object = is_key = False
    for match in _TOKEN.finditer(_blanked(data)):
        start, end = match.span()
        first = data[start]
        if first == 0x22:
            if is_key:
                name, is_key = (start + 1, end - 1), False
                yield start + 1, end - 1, View.KEY, parent, name
            else:
                yield start + 1, end - 1, View.VALUE, parent, name
        elif first in b"{[":
            stack.append((parent, name, in_object))
            parent = (parent, name) if len(stack) > 1 else None
            in_object = is_key = first == 0x7B
            name = 0
        elif first in b"]}":
            parent, name, in_object = stack.pop() if stack else (None, -1, False)
            is_key = False
        elif first == 0x2C:
            is_key = in_object
            name = name + 1 if not in_object and isinstance(name, int) else name
        elif first in _NUMBER:
            yield start, end, View.VALUE, parent, name


def _leaf(data: bytes, start: int, end: int, view: View, path: tuple[_Path, Span | int]) -> Leaf:
    quoted = data[start - 1 : start] == b'"' and data[end : end + 1] == b'"'
    return Leaf(start, end, view, _pointer(data, path), LeafText(data[start:end]), quoted)


def _pointer(data: bytes, path: _Path) -> str:
    tokens: list[str] = []
    while path is not None:
        path, name = path
        if isinstance(name, int):
            tokens.append("" if name < 0 else f"/{name}")
        else:
            key = data[name[0] : name[1]]
            text = json.loads(b'"' + key + b'"') if b"\\" in key else key.decode("utf-8", "surrogatepass")
            tokens.append("/" + escape(text))
    return "".join(reversed(tokens))


def _blanked(data: bytes) -> bytes:
    """`data` with what a backslash begins blanked, so that every quote that is left begins or ends a string."""
    return data.replace(b"\\\\", b"..").replace(b'\\"', b"..") if b"\\" in data else data


@cache
def _secret_names() -> Any:
    return re2.compile(_SECRET_NAME, latin1_options())


def escape(token: str) -> str:
    """A key as a token of a JSON pointer (RFC 6901)."""
    return token.replace("~", "~0").replace("/", "~1")


def unescape(token: str) -> str:
    """The key of a pointer's token."""
    return token.replace("~1", "/").replace("~0", "~")


def scalar_text(value: Json) -> str | None:
    """How a scalar is looked at; None for what cannot hide anything, and for containers."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return json.dumps(value)  # noqa: TID251  as the document that is looked at writes it; nothing is hashed
