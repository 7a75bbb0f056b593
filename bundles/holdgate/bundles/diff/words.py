"""Changes of a rule in words: what it says now that it did not, and the other way round. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from enum import Enum, auto
from typing import Any

from holdgate.bundles.diff.strictness import CONSTRAINT_NAMES, is_approval_as_strict, is_constraint_as_tight
from holdgate.kernel.match import Match
from holdgate.kernel.records import ApprovalRequirement, Constraints
from holdgate.kernel.rules import OutputRule, Rule
from holdgate.kernel.ruletypes import duration_text

ITEMS_MAX = 5
"""Values of a list that a line shows."""
CHARS_MAX = 120
_OF_THE_RULE = frozenset({"rule", "reason", "definition"})
"""What a demand says of the rule that makes it, which is told of the rule itself."""
_SHOWN = ("decision", "when", "approval", "throttle", "remediations", "reason")


class Leaning(Enum):
    """Which part of a change is asked for, where a rule holds jobs less in one respect and more in another."""

    LOOSER = auto()
    TIGHTER = auto()


def change_of(old: Rule | None, new: Rule | None, leaning: Leaning | None = None) -> str:
    """What became of a rule, in a line; of what it demands of approvers and of a run only what `leaning` is about."""
    if old is None or new is None:
        return _whole(old, new)
    parts = list(_changes(old, new, leaning))
    return "; ".join(parts) or "the place among the rules of its bundle"


def output_change_of(old: OutputRule | None, new: OutputRule | None) -> str:
    """The same for an output rule."""
    if old is None or new is None:
        if new is None:
            return "" if old is None else f"output rule removed: {old.verdict}"
        return f"output rule added: {new.verdict}"
    names = [item.name for item in fields(OutputRule) if getattr(old, item.name) != getattr(new, item.name)]
    return "output rule: " + "; ".join(_change(name, getattr(old, name), getattr(new, name)) for name in names)


def _whole(old: Rule | None, new: Rule | None) -> str:
    if new is None:
        return "" if old is None else f"removed: {old.decision}"
    return f"added: {new.decision}"


def _changes(old: Rule, new: Rule, leaning: Leaning | None) -> Iterator[str]:
    if old.bundle != new.bundle:
        yield _change("bundle", old.bundle, new.bundle)
    yield from _fields(old.match, new.match, "match.", Match)
    if (old.unless is None) != (new.unless is None):
        yield "`not` added" if old.unless is None else "`not` removed"
    elif old.unless is not None:
        yield from _fields(old.unless, new.unless, "not.", Match)
    yield from _constraints(old.constraints, new.constraints, leaning)
    for name in _SHOWN:
        was, now = getattr(old, name), getattr(new, name)
        if was != now:
            yield from _approval(was, now, leaning) if name == "approval" and was and now else _part(name, was, now)


def _constraints(old: Constraints, new: Constraints, leaning: Leaning | None) -> Iterator[str]:
    for name in CONSTRAINT_NAMES:
        was, now = getattr(old, name), getattr(new, name)
        tighter, looser = is_constraint_as_tight(name, new, old), is_constraint_as_tight(name, old, new)
        if was != now and _is_of(leaning, tighter=tighter, looser=looser):
            yield _change(f"constraints.{name}", was, now)


def _approval(old: ApprovalRequirement, new: ApprovalRequirement, leaning: Leaning | None) -> Iterator[str]:
    for item in fields(ApprovalRequirement):
        was, now = getattr(old, item.name), getattr(new, item.name)
        if not item.compare or was == now or item.name in _OF_THE_RULE:
            continue
        changed = replace(old, **{item.name: now})
        tighter, looser = is_approval_as_strict(changed, old), is_approval_as_strict(old, changed)
        if _is_of(leaning, tighter=tighter, looser=looser):
            yield _change(f"approvers.{item.name}", was, now)


def _is_of(leaning: Leaning | None, *, tighter: bool, looser: bool) -> bool:
    """Whether a field that changed so belongs to `leaning`; one that leads nowhere by itself belongs to both."""
    if leaning is None or tighter == looser:
        return True
    return tighter if leaning is Leaning.TIGHTER else looser


def _part(name: str, was: Any, now: Any) -> Iterator[str]:
    if name == "throttle" and was is not None and now is not None:
        yield from _fields(was, now, "throttle.", type(was))
    elif name in ("approval", "throttle", "remediations"):
        title = "approvers" if name == "approval" else name
        yield f"`{title}` added" if not was else f"`{title}` removed" if not now else f"`{title}` changed"
    else:
        yield _change(name, was, now)


def _fields(old: Any, new: Any, prefix: str, kind: type[Any]) -> Iterator[str]:
    for item in fields(kind):
        was, now = getattr(old, item.name), getattr(new, item.name)
        if item.compare and was != now:
            yield _change(prefix + item.name, was, now)


def _change(name: str, was: Any, now: Any) -> str:
    in_seconds = name.endswith("_s")
    return f"`{name}` {_value(was, in_seconds=in_seconds)} → {_value(now, in_seconds=in_seconds)}"


def _value(value: Any, *, in_seconds: bool = False) -> str:
    if value is None or (isinstance(value, (frozenset, tuple)) and not value):
        return "none"
    if hasattr(value, "source"):
        return _cut(f"`{value.source}`")
    if isinstance(value, (frozenset, tuple)):
        items = [_item(item) for item in (sorted(value) if isinstance(value, frozenset) else value)]
        more = f", {len(items) - ITEMS_MAX} more" if len(items) > ITEMS_MAX else ""
        return _cut(f"[{', '.join(items[:ITEMS_MAX])}{more}]")
    return duration_text(value) if in_seconds else _cut(str(value))


def _item(item: Any) -> str:
    if isinstance(item, tuple) and len(item) == 2:
        name, values = item
        return f"{name}={'|'.join(sorted(values))}"
    return str(item)


def _cut(text: str) -> str:
    return text if len(text) <= CHARS_MAX else text[: CHARS_MAX - 1] + "…"
