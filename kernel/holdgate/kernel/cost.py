"""What evaluating an expression costs at most, in nanoseconds of the machine on which the rates were measured.

It is estimated from the syntax tree and from the sizes of what a job has in the fields that are read, and never
measured: the same expression and job cost the same on every machine, each time. What always holds: the estimate grows
with every size; a walk over a list costs what its body does, times the items; a text in such a list costs its share of
all that the list holds. The estimate is a sum of products of sizes, made once when an expression is loaded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import re2

from holdgate.kernel.expression import (
    CALL,
    COMPREHENSION,
    CONST,
    IDENT,
    LIST,
    SELECT,
    STRUCT,
    fields_of,
    part_of,
    parts_of,
    text_of,
)

Key: TypeAlias = tuple[int, int, int, int, int]
"""The exponents of a product: walks inside each other, items beside them, longest text, bytes, values."""
Sum: TypeAlias = Mapping[Key, float]

STEPS_MAX = 10_000
"""The library stops an evaluation after so many steps of all its walks together."""
BASE_NS, NODE_NS, FUNCTION_NS, ENTRY_NS = 4_000.0, 40.0, 300.0, 250.0
BYTE_NS, VALUE_NS, APPEND_NS = 1.0, 30.0, 40.0
SEARCH_NS, SEARCH_PRODUCT_NS = 5.0, 1 / 64
"""Of a text in another: for a byte of both, and where both are of one letter, of their product."""
PATTERN_NS, PATTERN_CHAR_NS, INSTRUCTION_NS, CLASS_NS, CLASSES_FROM = 5_000.0, 200.0, 300.0, 1_200.0, 500
"""The library compiles a regular expression each time that it is asked; classes of Unicode cost the most."""
PLAIN_BYTE_NS = 15.0
_PLAIN = re.compile(r"""(?:\(\?i\)|\(\?:|[\w\s|()^$%@:;,/='"<>!#&~-]|\\\W)*\Z""")
"""Texts to choose from: as many states as letters. Classes and repetitions can make thousands of states of a dozen."""
UNWRITTEN_CHAR_NS, UNWRITTEN_MATCH_NS = 25_000.0, 100.0
"""Of a regular expression that is not written down, and so can be all of such classes."""

ONE: Key = (0, 0, 0, 0, 0)
_WALKED: Sum = {(0, 0, 0, 1, 0): BYTE_NS, (0, 0, 0, 0, 1): VALUE_NS}
_LONGEST: Sum = {(0, 0, 1, 0, 0): BYTE_NS}
_LOGICAL = frozenset(("_&&_", "_||_", "!_", "_?_:_", "@not_strictly_false"))
_COMPARED = frozenset(("_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "startsWith", "endsWith"))
_SHORT = frozenset(("_+_", "_-_", "_*_", "_/_", "_%_", "-_", "_[_]", "size", "@in", "contains", "matches"))
_SCALAR = _COMPARED | frozenset(("_&&_", "_||_", "!_", "@not_strictly_false", "@in", "contains", "matches", "size"))
"""What gives no more than a number."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The estimate of one expression. `items`: of the longest list that is written down in it."""

    terms: tuple[tuple[Key, float], ...]
    items: int

    def of(self, sizes: Sizes) -> int:
        """Units for a job with these sizes of the fields that are read."""
        return int(sum([coefficient * sizes[key] for key, coefficient in self.terms]))


class Sizes(dict[Key, float]):
    """The products of sizes of some fields of one job, each made on first use."""

    __slots__ = ("_items", "_others")

    def __init__(self, items: int, text_bytes: int, all_bytes: int, values: int) -> None:
        super().__init__()
        self._items = max(1, items)
        self._others = (text_bytes, all_bytes, values)

    def __missing__(self, key: Key) -> float:
        walks, beside, *exponents = key
        product: float = _steps(self._items, walks, beside)
        for size, exponent in zip(self._others, exponents, strict=True):
            product *= size**exponent
        self[key] = product
        return product


def _steps(items: int, walks: int, beside: int) -> float:
    """Steps of walks inside each other, times `beside` items; where negative, what a share of them has in all."""
    counted = min(items**walks, STEPS_MAX)
    if beside >= 0:
        return float(counted * items**beside)
    left = walks + beside
    return float(min(counted, items**left)) if left >= 0 else 1 / items**-left


@dataclass(frozen=True, slots=True)
class _Part:
    """A node: what it costs, what reading its value as one text costs, and what walking through all of it does."""

    cost: Sum
    text: Sum = field(default_factory=dict)
    whole: Sum = field(default_factory=dict)
    additions: int = 0
    is_field: bool = False
    """A field of the job, or something in one."""


_GATHERING: Key = (1, 1, 0, 0, 0)
_Names: TypeAlias = Mapping[str, _Part]
_NODE = _Part({ONE: NODE_NS}, {ONE: 8.0}, {ONE: VALUE_NS})
_FIELD = _Part({ONE: NODE_NS}, _LONGEST, _WALKED, is_field=True)
_GATHERED = _Part({ONE: NODE_NS})
"""What `map` and `filter` gather, and `all` and `exists` know so far."""


def cost_of(tree: bytes) -> Cost:
    """The estimate for a checked expression."""
    items = [1]
    part = _part(tree, {}, items)
    return Cost(tuple(sorted(_add({ONE: BASE_NS}, part.cost).items())), max(items))


def _part(node: bytes, names: _Names, items: list[int]) -> _Part:
    for kind, body in fields_of(node):
        if isinstance(body, bytes) and (measure := _KINDS.get(kind)) is not None:
            return measure(body, names, items)
    return _NODE


def _const(body: bytes, _names: _Names, _items: list[int]) -> _Part:
    size = {ONE: 8.0 + len(body)}
    return _Part({ONE: NODE_NS}, size, size)


def _ident(body: bytes, names: _Names, _items: list[int]) -> _Part:
    return names.get(text_of(body, 1), _FIELD)


def _select(body: bytes, names: _Names, items: list[int]) -> _Part:
    return _inside(_part(part_of(body, 1), names, items), {ONE: NODE_NS})


def _inside(of: _Part, cost: Sum) -> _Part:
    """A value in `of`."""
    if of.is_field:
        return _Part(_add(of.cost, cost), _LONGEST, _WALKED, of.additions, is_field=True)
    return _Part(_add(of.cost, cost), of.whole, of.whole, of.additions)


def _list(body: bytes, names: _Names, items: list[int]) -> _Part:
    parts = [_part(item, names, items) for item in parts_of(body, 1)]
    items.append(len(parts))
    return _gathered(parts, {ONE: NODE_NS + VALUE_NS * len(parts)})


def _struct(body: bytes, names: _Names, items: list[int]) -> _Part:
    entries = parts_of(body, 2)
    items.append(len(entries))
    nodes = [part for entry in entries for number in (3, 4) for part in parts_of(entry, number)]
    return _gathered([_part(item, names, items) for item in nodes], {ONE: NODE_NS + ENTRY_NS * len(nodes)})


def _gathered(parts: list[_Part], cost: Sum) -> _Part:
    whole = _add({ONE: VALUE_NS * len(parts)}, *(part.whole for part in parts))
    return _Part(_add(cost, *(part.cost for part in parts)), whole, whole, sum(part.additions for part in parts))


def _call(body: bytes, names: _Names, items: list[int]) -> _Part:
    function = text_of(body, 2)
    nodes = [*parts_of(body, 1), *parts_of(body, 3)]
    parts = [_part(node, names, items) for node in nodes]
    cost = _add(
        {ONE: NODE_NS if function in _SHORT | _COMPARED | _LOGICAL else FUNCTION_NS}, *(part.cost for part in parts)
    )
    additions = sum(part.additions for part in parts)
    if function == "_[_]":
        return _inside(parts[0], _add({ONE: NODE_NS}, parts[1].cost, parts[1].text))
    if function == "_+_" and parts[0] is _GATHERED:
        return _Part(_add(cost, {(0, 1, 0, 0, 0): APPEND_NS}), parts[1].text, parts[1].whole, additions)
    cost = _add(cost, _effort(function, nodes, parts))
    if function in _SCALAR:
        return _Part(cost, _NODE.text, _NODE.whole, additions)
    text, whole = _add(*(part.text for part in parts)), _add(*(part.whole for part in parts))
    return _Part(cost, text, whole, additions + (function == "_+_"))


def _effort(function: str, nodes: list[bytes], parts: list[_Part]) -> Sum:
    """What a function costs by the sizes of what it is given."""
    if function in _COMPARED:
        return next((part.whole for part in parts if part.whole.keys() == {ONE}), _add(*(part.whole for part in parts)))
    if function == "contains":
        text, wanted = parts[0].text, parts[1].text
        return _add(_times(_add(text, wanted), SEARCH_NS), _times(_product(text, wanted), SEARCH_PRODUCT_NS))
    if function == "matches":
        return _matching(nodes[-1], parts[0].text, parts[-1].text)
    if function in _LOGICAL:
        return {}
    # An addition, a list that is searched, a conversion: each goes through all that it is given.
    return _add(*((part.text if function == "size" else part.whole) for part in parts))


def _matching(pattern: bytes, text: Sum, unwritten: Sum) -> Sum:
    written = [raw.decode() for kind, body in fields_of(pattern) if kind == CONST for raw in _texts(body)]
    if not written:
        return _add(_times(unwritten, UNWRITTEN_CHAR_NS), _times(_product(text, unwritten), UNWRITTEN_MATCH_NS))
    instructions = re2.compile(written[0]).programsize
    classes = max(0, instructions - CLASSES_FROM)
    compiled = PATTERN_NS + PATTERN_CHAR_NS * len(written[0]) + INSTRUCTION_NS * instructions + CLASS_NS * classes
    if _PLAIN.match(written[0]):
        return _add({ONE: compiled + PATTERN_CHAR_NS * instructions}, _times(text, PLAIN_BYTE_NS))
    # Up to there states are made of instructions, byte by byte; beyond, the library simulates them.
    for_a_byte = min(200.0 + 14.0 * instructions, 2_500.0 + 2.0 * instructions)
    return _add({ONE: compiled}, _times(text, for_a_byte))


def _texts(body: int | bytes) -> list[bytes]:
    return parts_of(body, 6) if isinstance(body, bytes) else []


def _comprehension(body: bytes, names: _Names, items: list[int]) -> _Part:
    walked = _part(part_of(body, 2), names, items)
    share = _shift(walked.whole, beside=-1)
    item = _Part({ONE: NODE_NS}, share, share)
    inner = {**names, text_of(body, 1): item, text_of(body, 8): item, text_of(body, 3): _GATHERED}
    inner.pop("", None)
    steps = [_part(part_of(body, number), inner, items) for number in (5, 6)]
    ends = [_part(part_of(body, number), inner, items) for number in (4, 7)]
    longer = 1.0 + walked.additions
    once = _times(_shift(_add(*(step.cost for step in steps)), walks=1), longer)
    if (gathering := once.get(_GATHERING)) is not None:
        once = {**once, _GATHERING: gathering * longer}  # each item is copied with all that were gathered before it
    given = _times(_shift(steps[1].whole, beside=1), longer)
    additions = walked.additions + sum(part.additions for part in (*steps, *ends))
    return _Part(_add(walked.cost, *(end.cost for end in ends), once), given, given, additions)


def _add(*sums: Sum) -> dict[Key, float]:
    total: dict[Key, float] = {}
    for one in sums:
        for key, coefficient in one.items():
            total[key] = total.get(key, 0.0) + coefficient
    return total


def _times(one: Sum, factor: float) -> Sum:
    return {key: coefficient * factor for key, coefficient in one.items()}


def _shift(one: Sum, *, walks: int = 0, beside: int = 0) -> Sum:
    return {(key[0] + walks, key[1] + beside, *key[2:]): coefficient for key, coefficient in one.items()}


def _product(first: Sum, second: Sum) -> Sum:
    """Two shares of one list can be the same large item: then one of them counts whole."""
    total: dict[Key, float] = {}
    for one, by in first.items():
        for other, times in second.items():
            walks, beside, *sizes = (a + b for a, b in zip(one, other, strict=True))
            if one[1] < 0 and other[1] < 0:
                beside += 1
            key: Key = (walks, beside, sizes[0], sizes[1], sizes[2])
            total[key] = total.get(key, 0.0) + by * times
    return total


_KINDS: Mapping[int, Callable[[bytes, _Names, list[int]], _Part]] = {
    CONST: _const,
    IDENT: _ident,
    SELECT: _select,
    CALL: _call,
    LIST: _list,
    STRUCT: _struct,
    COMPREHENSION: _comprehension,
}
