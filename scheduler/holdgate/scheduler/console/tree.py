"""A JSON value as lines that a person can read, without running away with the page.

What always holds: the number of lines, their indentation and the characters of all of them together are bounded,
whatever was sent; no more of the value is looked at than is shown; that something was left out is told, not how much of
it. Nothing here makes HTML of anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

LINES_MAX = 400
DEPTH_SHOWN_MAX = 12
"""Deeper lines stand where the deepest indentation is, and say how deep they are."""
LEAF_CHARS_MAX = 10_000
"""Of one text; a page shows each character that cannot be seen as eight."""
TREE_CHARS_MAX = 50_000
"""Of all texts and names together."""
Child = tuple[int, str | None, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """One value. `name` is its key or index, None at the top; `size` is how many values an object or list holds; `cut`
    is how many characters of the name or the text are not here."""

    depth: int
    name: str | None
    kind: str
    text: str = ""
    size: int = 0
    cut: int = 0

    @property
    def indent(self) -> int:
        """How far in it stands."""
        return min(self.depth, DEPTH_SHOWN_MAX)


@dataclass(frozen=True, slots=True)
class Tree:
    """The first lines of a value; `is_cut`: there are more, or one of them is longer."""

    lines: tuple[Line, ...]
    is_cut: bool = False


def tree_of(value: Any, lines_max: int = LINES_MAX, chars_max: int = TREE_CHARS_MAX) -> Tree:
    """`value`, as parsed JSON, from the top."""
    lines: list[Line] = []
    left = chars_max
    for depth, name, item in _walk(value):
        if len(lines) == lines_max or left <= 0:
            return Tree(tuple(lines), is_cut=True)
        line = _line(depth, name, item, min(left, LEAF_CHARS_MAX))
        left -= len(line.name or "") + len(line.text)
        lines.append(line)
    return Tree(tuple(lines), is_cut=any(line.cut for line in lines))


def _walk(value: Any) -> Iterator[Child]:
    """Depth first; the children of an object or list are taken one at a time, as they are asked for."""
    waiting: list[Iterator[Child]] = [iter([(0, None, value)])]
    while waiting:
        found = next(waiting[-1], None)
        if found is None:
            waiting.pop()
            continue
        yield found
        waiting.append(_children(found[0] + 1, found[2]))


def _children(depth: int, item: Any) -> Iterator[Child]:
    if isinstance(item, dict):
        return ((depth, str(key), value) for key, value in item.items())
    if isinstance(item, list):
        return ((depth, str(index), value) for index, value in enumerate(item))
    return iter(())


def _line(depth: int, name: str | None, item: Any, chars_max: int) -> Line:
    kind, text, size = _content(item)
    short = None if name is None else name[:chars_max]
    shown = text[: max(0, chars_max - len(short or ""))]
    cut = len(name or "") - len(short or "") + len(text) - len(shown)
    return Line(depth, short, kind, shown, size, cut)


def _content(item: Any) -> tuple[str, str, int]:
    """The kind of a value, its text, and how many values it holds."""
    match item:
        case dict():
            return "object", "", len(item)
        case list():
            return "list", "", len(item)
        case str():
            return "text", item, 0
        case None:
            return "nothing", "null", 0
        case bool():
            return "truth", "true" if item else "false", 0
        case _:
            return "number", str(item), 0
