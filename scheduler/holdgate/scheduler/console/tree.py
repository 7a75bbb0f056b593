"""A JSON value as lines that a person can read, without running away with the page.

What always holds: the number of lines and their indentation are bounded, whatever was sent, and what was left out is
counted; nothing here makes HTML of anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

LINES_MAX = 400
DEPTH_SHOWN_MAX = 12
"""Deeper lines stand where the deepest indentation is, and say how deep they are."""


@dataclass(frozen=True, slots=True)
class Line:
    """One value. `name` is its key or index, None at the top; `size` is how many values an object or list holds."""

    depth: int
    name: str | None
    kind: str
    text: str = ""
    size: int = 0

    @property
    def indent(self) -> int:
        """How far in it stands."""
        return min(self.depth, DEPTH_SHOWN_MAX)


@dataclass(frozen=True, slots=True)
class Tree:
    """The first lines of a value, and how many there are beyond them."""

    lines: tuple[Line, ...]
    left_out: int = 0


def tree_of(value: Any, lines_max: int = LINES_MAX) -> Tree:
    """`value`, as parsed JSON, from the top."""
    lines: list[Line] = []
    left_out = 0
    for line in _walk(value):
        if len(lines) < lines_max:
            lines.append(line)
        else:
            left_out += 1
    return Tree(tuple(lines), left_out)


def _walk(value: Any) -> Iterator[Line]:
    waiting: list[tuple[int, str | None, Any]] = [(0, None, value)]
    while waiting:
        depth, name, item = waiting.pop()
        yield _line(depth, name, item)
        waiting.extend((depth + 1, *child) for child in reversed(_children(item)))


def _children(item: Any) -> list[tuple[str, Any]]:
    if isinstance(item, dict):
        return [(str(key), value) for key, value in item.items()]
    if isinstance(item, list):
        return [(str(index), value) for index, value in enumerate(item)]
    return []


def _line(depth: int, name: str | None, item: Any) -> Line:
    match item:
        case dict():
            return Line(depth, name, "object", size=len(item))
        case list():
            return Line(depth, name, "list", size=len(item))
        case str():
            return Line(depth, name, "text", item)
        case None:
            return Line(depth, name, "nothing", "null")
        case bool():
            return Line(depth, name, "truth", "true" if item else "false")
        case _:
            return Line(depth, name, "number", str(item))
