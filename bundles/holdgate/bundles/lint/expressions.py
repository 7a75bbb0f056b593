"""What can be said of a `when` without a job: its constant answer, what it compares, what it demands.

Read from the checked syntax tree as the library serialises it (github.com/google/cel-spec, proto/cel/expr). Pure.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from holdgate.kernel.conditions import PAYLOAD, Condition, Context
from holdgate.kernel.expression import fields_of
from holdgate.kernel.ids import ActorId, Digest, JobId, Tenant
from holdgate.kernel.records import Job

Value: TypeAlias = str | int | float | bool | None
Path: TypeAlias = tuple[str, ...]
"""What names a value: `("job", "labels", "env")`, `("actor",)`."""
AND, OR, NOT, EQUAL, UNEQUAL, IN = "_&&_", "_||_", "!_", "_==_", "_!=_", "@in"
ORDERED = frozenset({"_<_", "_<=_", "_>_", "_>=_"})
_CONST, _IDENT, _SELECT, _CALL, _LIST, _STRUCT, _COMPREHENSION = range(3, 10)
_BOOL, _INT, _UINT, _DOUBLE, _STRING, _BYTES = range(2, 8)
_NOBODY = Job(
    job_id=JobId(""),
    created_ms=0,
    trace_id="",
    tenant=Tenant(""),
    topic="",
    payload=b"{}",
    payload_digest=Digest(""),
    actor=ActorId(""),
    actor_type="",
    pool="",
    max_attempts=1,
)


@dataclass(frozen=True, slots=True)
class Constant:
    """A value that the author wrote down."""

    value: Value


@dataclass(frozen=True, slots=True)
class Named:
    """A value of the job, or a variable."""

    path: Path


@dataclass(frozen=True, slots=True)
class Present:
    """`has(…)`."""

    path: Path


@dataclass(frozen=True, slots=True)
class Call:
    """A function or operator; the target of a method is the first argument."""

    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Listed:
    """A list that the author wrote down."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Other:
    """Anything else: a macro that walks a list, a map, a value of something computed."""

    parts: tuple[Node, ...]


Node: TypeAlias = Constant | Named | Present | Call | Listed | Other


def tree_of(condition: Condition) -> Node:
    """The syntax tree of a condition."""
    return _node(_last(_last(condition.program.serialize(), 2), 4))


def constant_answer(condition: Condition) -> bool | str | None:
    """What it gives for every job, an error text where it fails for every job; None where that depends."""
    if condition.reads or condition.reads_now:
        return None
    return Context(_NOBODY, 0).test(condition)


def nodes(node: Node) -> Iterator[Node]:
    """`node` and everything in it."""
    pending = [node]
    while pending:
        current = pending.pop()
        yield current
        pending.extend(_parts(current))


def conjuncts(node: Node) -> list[Node]:
    """The parts that must all be true for `node` to be true."""
    if isinstance(node, Call) and node.function == AND:
        return [part for argument in node.arguments for part in conjuncts(argument)]
    return [node]


def can_fail_as_a_whole(condition: Condition, tree: Node) -> bool:
    """Whether it can give an error although a part of it is false: what it looks through may be too much."""
    walks = any(isinstance(node, Other) for node in nodes(tree))
    return condition.nested or walks or PAYLOAD in condition.reads


def label_of(path: Path) -> str | None:
    """The label that `path` names."""
    return path[2] if len(path) == 3 and path[:2] == ("job", "labels") else None


def labels_read(tree: Node) -> set[str]:
    """Labels that a condition names."""
    found = (label_of(node.path) for node in nodes(tree) if isinstance(node, Named | Present))
    return {label for label in found if label is not None}


def patterns_required(node: Node) -> Iterator[str]:
    """Regular expressions that have to match for `node` to be true, or one of which has to; not those under a `!`."""
    if not isinstance(node, Call) or node.function == NOT:
        return
    if node.function == "matches":
        last = node.arguments[-1]
        if isinstance(last, Constant) and isinstance(last.value, str):
            yield last.value
    if node.function in (AND, OR):
        for argument in node.arguments:
            yield from patterns_required(argument)


def _parts(node: Node) -> tuple[Node, ...]:
    match node:
        case Call(arguments=parts) | Listed(items=parts) | Other(parts=parts):
            return parts
        case Constant() | Named() | Present():
            return ()


def _node(message: bytes) -> Node:
    kind, body = next(((k, b) for k, b in fields_of(message) if k >= _CONST and isinstance(b, bytes)), (0, b""))
    if kind == _CONST:
        return _constant(body)
    if kind == _IDENT:
        return Named((_text(body, 1),))
    if kind == _SELECT:
        return _select(body)
    if kind == _CALL:
        return _call(body)
    if kind == _LIST:
        return Listed(tuple(map(_node, _all(body, 1))))
    if kind == _STRUCT:
        entries = [part for entry in _all(body, 2) for number in (3, 4) for part in _all(entry, number)]
        return Other(tuple(map(_node, entries)))
    parts = [part for number in (2, 4, 5, 6, 7) for part in _all(body, number)] if kind == _COMPREHENSION else []
    return Other(tuple(map(_node, parts)))


def _select(body: bytes) -> Node:
    operand, name = _node(_last(body, 1)), _text(body, 2)
    if not isinstance(operand, Named):
        return Other((operand,))
    path = (*operand.path, name)
    return Present(path) if any(number == 3 and value for number, value in fields_of(body)) else Named(path)


def _call(body: bytes) -> Node:
    function = _text(body, 2)
    arguments = tuple(map(_node, (*_all(body, 1), *_all(body, 3))))
    if function == "_[_]" and isinstance(arguments[0], Named) and isinstance(arguments[1], Constant):
        key = arguments[1].value
        return Named((*arguments[0].path, key)) if isinstance(key, str) else Call(function, arguments)
    return Call(function, arguments)


def _constant(body: bytes) -> Node:
    number, value = next(iter(fields_of(body)), (0, 0))
    if isinstance(value, bytes):
        if number == _STRING:
            return Constant(value.decode())
        return Constant(struct.unpack("<d", value)[0]) if number == _DOUBLE else Other(())
    if number in (_INT, _UINT):
        return Constant(value - (1 << 64) if number == _INT and value >= 1 << 63 else value)
    return Constant(bool(value)) if number == _BOOL else Constant(None)


def _text(message: bytes, number: int) -> str:
    return _last(message, number).decode().removeprefix(".")


def _last(message: bytes, number: int) -> bytes:
    found = _all(message, number)
    return found[-1] if found else b""


def _all(message: bytes, number: int) -> list[bytes]:
    return [body for kind, body in fields_of(message) if kind == number and isinstance(body, bytes)]
