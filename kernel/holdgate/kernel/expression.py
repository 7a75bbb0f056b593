"""What an expression of the Common Expression Language reads, and how much it can cost, from its checked syntax tree.

The library gives the tree as a serialised `cel.expr.CheckedExpr` (github.com/google/cel-spec, proto/cel/expr). Only the
parts that are needed are decoded here. What always holds: a field of the job that an expression can look at is in
`reads`; where that cannot be told from the tree, all fields are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

_ANY_VALUE, _CHECKED_EXPR = 2, 4
CONST, IDENT, SELECT, CALL, LIST, STRUCT, COMPREHENSION = range(3, 10)
CONST_STRING = 6
_ITER_RANGE = 2
_COMPREHENSION_PARTS = (4, 5, 6, 7)
"""The start value, condition, step and result of a comprehension; its range is apart, for it is walked once."""


@dataclass(slots=True)
class Shape:
    """The measures of one expression."""

    nodes: int = 0
    macros: int = 0
    nesting: int = 0
    """How many macros at most stand inside each other."""
    additions: int = 0
    variables: set[str] = field(default_factory=set)
    job_fields: set[str] = field(default_factory=set)
    whole_job: bool = False
    """The job is used other than by naming a field of it."""
    names: set[str] = field(default_factory=set)
    """Every key and text that the author wrote down: an error may show these."""
    patterns: list[str] = field(default_factory=list)
    """Regular expressions that are written down."""


def shape_of(serialized: bytes) -> Shape:
    """The measures of a checked expression as the library serialises it; ValueError when it is not one."""
    shape = Shape()
    pending = [(tree_of(serialized), 0)]
    while pending:
        node, nesting = pending.pop()
        shape.nodes += 1
        shape.nesting = max(shape.nesting, nesting)
        for kind, body in fields_of(node):
            if isinstance(body, bytes) and kind >= CONST:
                pending.extend(_children(shape, kind, body, nesting))
    return shape


def tree_of(serialized: bytes) -> bytes:
    """The topmost node of a checked expression as the library serialises it."""
    return part_of(part_of(serialized, _ANY_VALUE), _CHECKED_EXPR)


def _children(shape: Shape, kind: int, body: bytes, nesting: int) -> list[tuple[bytes, int]]:
    if kind == CONST:
        shape.names.update(_constant(body))
    elif kind == IDENT:
        name = text_of(body, 1)
        shape.variables.add(name)
        shape.whole_job = shape.whole_job or name == "job"
    elif kind == SELECT:
        return _select(shape, body, nesting)
    elif kind == CALL:
        return _call(shape, body, nesting)
    elif kind == LIST:
        return [(item, nesting) for item in parts_of(body, 1)]
    elif kind == STRUCT:
        entries = [part for entry in parts_of(body, 2) for number in (3, 4) for part in parts_of(entry, number)]
        return [(entry, nesting) for entry in entries]
    elif kind == COMPREHENSION:
        shape.macros += 1
        inner = [(part, nesting + 1) for number in _COMPREHENSION_PARTS for part in parts_of(body, number)]
        return [*inner, *((part, nesting) for part in parts_of(body, _ITER_RANGE))]
    return []


def _select(shape: Shape, body: bytes, nesting: int) -> list[tuple[bytes, int]]:
    operand, name = part_of(body, 1), text_of(body, 2)
    shape.names.add(name)
    if _is_job(operand):
        shape.variables.add("job")
        shape.job_fields.add(name)
        return []
    return [(operand, nesting)]


def _call(shape: Shape, body: bytes, nesting: int) -> list[tuple[bytes, int]]:
    function, arguments = text_of(body, 2), parts_of(body, 3)
    if function == "_+_":
        shape.additions += 1
    if function == "matches":
        shape.patterns.extend(_constant_of(arguments[-1]))
    if function == "_[_]" and _is_job(arguments[0]) and (key := _constant_of(arguments[1])):
        shape.variables.add("job")
        shape.job_fields.update(key)
        return []
    return [(part, nesting) for part in (*parts_of(body, 1), *arguments)]


def _is_job(node: bytes) -> bool:
    return any(
        kind == IDENT and isinstance(body, bytes) and text_of(body, 1) == "job" for kind, body in fields_of(node)
    )


def _constant_of(node: bytes) -> list[str]:
    return [
        text for kind, body in fields_of(node) if kind == CONST and isinstance(body, bytes) for text in _constant(body)
    ]


def _constant(body: bytes) -> list[str]:
    return [raw.decode() for raw in parts_of(body, CONST_STRING)]


def text_of(message: bytes, number: int) -> str:
    """The last field of this number of a message, as a name."""
    return part_of(message, number).decode().removeprefix(".")


def part_of(message: bytes, number: int) -> bytes:
    """The last field of this number of a message; nothing where there is none."""
    found = parts_of(message, number)
    return found[-1] if found else b""


def parts_of(message: bytes, number: int) -> list[bytes]:
    """Every field of this number of a message."""
    return [body for kind, body in fields_of(message) if kind == number and isinstance(body, bytes)]


def fields_of(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of each field of a protobuf message (protobuf.dev, encoding)."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, position = _varint(message, position)
            yield number, value
            continue
        if wire == 2:
            size, position = _varint(message, position)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            msg = f"protobuf wire type {wire}"
            raise ValueError(msg)
        if position + size > len(message):
            msg = "a protobuf message is cut off"
            raise ValueError(msg)
        yield number, message[position : position + size]
        position += size


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(message):
            msg = "a protobuf message is cut off"
            raise ValueError(msg)
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
