"""Records as plain values and back: what msgpack and JSON carry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from enum import StrEnum
from typing import Any

from holdgate.kernel.errors import InvalidInput

_ATOMS = frozenset({str, int, bool, bytes, float, type(None)})
_FIELDS: dict[type[Any], dict[str, None]] = {}


def field_names(record: type[Any]) -> dict[str, None]:
    """Names of the fields, in order; `fields` itself costs more than all that is done with them."""
    found = _FIELDS.get(record)
    if found is None:
        found = _FIELDS[record] = dict.fromkeys(item.name for item in fields(record))
    return found


def as_plain(value: Any) -> Any:
    """The value of a field as messages hold it."""
    # Most values are of these types; the checks below are an order of magnitude slower, and this runs for every field.
    if type(value) in _ATOMS:
        return value
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, StrEnum):
        return str(value)
    if isinstance(value, dict):
        return dict(value)
    if isinstance(value, Mapping):
        return dict(value)
    return value


def as_record(record: type[Any], value: Any) -> dict[str, Any]:
    """A mapping with fields of `record` and no others; InvalidInput otherwise."""
    if not isinstance(value, dict) or not value.keys() <= field_names(record).keys():
        raise InvalidInput(f"not a {record.__name__.lower()} record")
    return dict(value)


def as_text(value: Any) -> str:
    """The text itself; InvalidInput when it is none."""
    if not isinstance(value, str):
        raise InvalidInput("a text was expected")
    return value


def as_texts(values: Any) -> tuple[str, ...]:
    """Likewise several."""
    return tuple([as_text(value) for value in values])
