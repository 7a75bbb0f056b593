"""Comparisons of one field with constants that no value of it meets together. Pure.

What always holds: where a field is named, no value makes all the parts true, whatever its type. Numbers that a floating
point number does not hold exactly are not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import ge, gt, le, lt
from typing import Any

from holdgate.bundles.lint.expressions import (
    EQUAL,
    IN,
    NOT,
    ORDERED,
    UNEQUAL,
    Call,
    Constant,
    Listed,
    Named,
    Node,
    Path,
    Present,
    Value,
)

EXACT_MAX = 2**53
_ORDER = {"_<_": lt, "_<=_": le, "_>_": gt, "_>=_": ge}
_TURNED = {"_<_": "_>_", "_<=_": "_>=_", "_>_": "_<_", "_>=_": "_<=_"}


@dataclass(slots=True)
class _Asked:
    """What is asked of one field: one of each of `among`, and every comparison of `compared`."""

    among: list[list[Value]] = field(default_factory=list)
    compared: list[tuple[str, Value]] = field(default_factory=list)

    @property
    def is_impossible(self) -> bool:
        """Whether certainly no value is what is asked."""
        if self.among:
            first, *others = self.among
            return not any(self._is_met_by(value) and all(_is_in(value, other) for other in others) for value in first)
        return self._are_bounds_apart()

    def _is_met_by(self, value: Value) -> bool:
        return all(_can_be_true(value, function, constant) for function, constant in self.compared)

    def _are_bounds_apart(self) -> bool:
        bounds = [(function, constant) for function, constant in self.compared if function in ORDERED]
        if len({_kind(constant) for _, constant in bounds}) > 1:
            return True  # of two types, of which a value has one
        # Where any value at all is between the bounds, one is that is itself a bound, or one strictly between two.
        lows: list[Any] = [constant for function, constant in bounds if function in ("_>_", "_>=_")]
        highs: list[Any] = [constant for function, constant in bounds if function in ("_<_", "_<=_")]
        if not lows or not highs or max(lows) < min(highs):
            return False
        return max(lows) > min(highs) or not self._is_met_by(max(lows))


def field_never_met(parts: Sequence[Node]) -> Path | None:
    """A field of which `parts`, all of which must be true, ask what no value is; None where none is known."""
    asked: dict[Path, _Asked] = {}
    present: set[Path] = set()
    absent: set[Path] = set()
    for part in parts:
        if isinstance(part, Present):
            present.add(part.path)
        elif isinstance(part, Call):
            if part.function == NOT and isinstance(part.arguments[0], Present):
                absent.add(part.arguments[0].path)
            for path, function, constants in _comparisons(part):
                of_field = asked.setdefault(path, _Asked())
                if function in (EQUAL, IN):
                    of_field.among.append(constants)
                else:
                    of_field.compared.append((function, constants[0]))
    impossible = {path for path, of_field in asked.items() if of_field.is_impossible}
    return min(impossible | (present & absent), default=None)


def _comparisons(part: Call) -> Iterator[tuple[Path, str, list[Value]]]:
    """The field, the operator as if the field stood left, and the constants; nothing where it is no such comparison."""
    if len(part.arguments) != 2 or part.function not in {EQUAL, UNEQUAL, IN, *ORDERED}:
        return
    left, right = part.arguments
    function = part.function
    if isinstance(right, Named) and function != IN:
        left, right, function = right, left, _TURNED.get(function, function)
    if not isinstance(left, Named):
        return
    found = right.items if isinstance(right, Listed) and function == IN else (right,)
    constants = [item.value for item in found if isinstance(item, Constant)]
    is_known = len(constants) == len(found) and (function == IN) == isinstance(right, Listed)
    if is_known and all(map(_is_exact, constants)) and (function not in ORDERED or _is_ordered(constants[0])):
        yield left.path, function, constants


def _can_be_true(value: Value, function: str, constant: Value) -> bool:
    if function == UNEQUAL:
        return not _is_same(value, constant)
    both: tuple[Any, Any] = (value, constant)
    return _kind(value) == _kind(constant) and _kind(value) in ("number", "text") and _ORDER[function](*both)


def _is_in(value: Value, constants: Sequence[Value]) -> bool:
    return any(_is_same(value, constant) for constant in constants)


def _is_same(one: Value, other: Value) -> bool:
    return _kind(one) == _kind(other) and one == other


def _is_exact(value: Value) -> bool:
    return _kind(value) != "number" or abs(float(value or 0)) < EXACT_MAX


def _is_ordered(value: Value) -> bool:
    """Whether everybody puts such values into one order."""
    return _kind(value) == "number" or (isinstance(value, str) and value.isascii())


def _kind(value: Value) -> str:
    if value is None:
        return "null"
    return "truth" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"
