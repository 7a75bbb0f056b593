"""What the forms of documents have in common, and what is wrong with one in words that its author knows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict

Place: TypeAlias = tuple[str | int, ...]


class Form(BaseModel):
    """A mapping of known keys, read strictly."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, arbitrary_types_allowed=True)


def refuse_empty(form: Form) -> None:
    """ValueError where the form says nothing."""
    if not form.model_dump(exclude_none=True):
        msg = "empty"
        raise ValueError(msg)


def label_values(labels: dict[str, list[str]] | None) -> tuple[tuple[str, frozenset[str]], ...]:
    """The labels of a form as rules hold them."""
    return tuple((key, frozenset(wanted)) for key, wanted in (labels or {}).items())


def without_value(data: Any, where: Place) -> Iterator[tuple[Place, str]]:
    """A key with nothing behind it: most likely its lines were lost, and left out it would widen a rule."""
    items = data.items() if isinstance(data, Mapping) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        if value is None:
            yield (*where, key), "no value"
        else:
            yield from without_value(value, (*where, key))


def twice(ids: Iterable[tuple[Place, str]]) -> Iterator[tuple[Place, str]]:
    """Every id that was there before."""
    seen: set[str] = set()
    for place, name in ids:
        if name in seen:
            yield place, f"the id `{name}` is taken twice"
        seen.add(name)


def in_our_words(item: Any) -> tuple[Place, str]:
    """A problem of pydantic in our words."""
    where: Place = tuple(part for part in item["loc"] if part != "[key]")
    if item["type"] in _REASONS:
        return where, _REASONS[item["type"]]
    if item["type"] == "too_long":
        return where, f"more than {item['ctx']['max_length']} items"
    return where, item["msg"].removeprefix("Value error, ").replace("Input should be", "must be")


_REASONS = {
    "extra_forbidden": "an unknown key",
    "missing": "required",
    "string_type": "a text is expected; quote it",
    "list_type": "a list is expected",
    "dict_type": "a mapping is expected",
    "model_type": "a mapping is expected",
    "int_type": "a whole number is expected",
    "float_type": "a number is expected",
    "bool_type": "`true` or `false` is expected",
    "too_short": "empty",
}
