"""What is other about a job that was held before, in words: the API tells it as values, then and now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from holdgate.scheduler.words.bounds import bounds_of
from holdgate.scheduler.words.durations import duration

NOTHING = "nothing"
NOT_ASKED = "not asked"
_TOLD_ELSEWHERE = frozenset({"definition", "reason"})


@dataclass(frozen=True, slots=True)
class Change:
    """One thing, as it was shown then and as it is now."""

    what: str
    before: str
    after: str


def changes_of(changes: Sequence[Mapping[str, Any]] | None) -> list[Change]:
    """The `changes` of an approval, what a rule demands of approvers one by one."""
    found: list[Change] = []
    for change in changes or ():
        what, before, after = str(change["what"]), change["before"], change["after"]
        if what == "requirements":
            found += _requirements(before, after)
        elif what == "constraints":
            found.append(Change("what it will be held to", _bounds(before), _bounds(after)))
        else:
            found.append(Change(what.replace("_", " "), words_of(before), words_of(after)))
    return found


def _requirements(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> Iterator[Change]:
    then = {str(need["rule"]): need for need in before}
    now = {str(need["rule"]): need for need in after}
    for rule in sorted({*then, *now}):
        if rule not in then or rule not in now:
            yield Change(f"approvers of {rule}", _who(then.get(rule)), _who(now.get(rule)))
            continue
        for name, was in then[rule].items():
            if was != (becomes := now[rule].get(name)) and name not in _TOLD_ELSEWHERE:
                yield Change(f"{rule}: {member_name(name)}", member_value(name, was), member_value(name, becomes))
        if then[rule].get("definition") != now[rule].get("definition"):
            yield Change(f"text of {rule}", "as it was", "rewritten, see below")


def member_name(name: str) -> str:
    """What a rule demands of approvers, by the name of the member."""
    known = _MEMBERS.get(name)
    return known.name if known else name.replace("_", " ")


def member_value(name: str, value: Any) -> str:
    """How much of it."""
    known = _MEMBERS.get(name)
    if known is None:
        return words_of(value)
    return known.none if value in (None, 0, "", [], ()) and known.none else known.told(value)


def words_of(value: Any) -> str:
    """A plain value as a person reads it."""
    if value is None or value in ("", [], {}):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        if "title" in value:
            return str(value["title"])
        return "; ".join(f"{name.replace('_', ' ')}: {words_of(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(words_of, value))
    return str(value)


@dataclass(frozen=True, slots=True)
class _Member:
    """`none`: what stands for no value."""

    name: str
    none: str = ""
    told: Callable[[Any], str] = words_of


_MEMBERS: Mapping[str, _Member] = {
    "quorum": _Member("votes needed"),
    "names": _Member("people named", "nobody"),
    "expires_s": _Member("expires after", told=lambda value: duration(int(value))),
    "escalate_after_s": _Member("escalates after", "never", lambda value: duration(int(value))),
    "escalate_roles": _Member("escalates to roles", "none named"),
    "escalate_names": _Member("escalates to people", "nobody named"),
    "excluded": _Member("never by", "nobody"),
    "not_author": _Member("kept from its authors"),
    "signed": _Member("signed with own keys"),
    "bulk": _Member("may be decided together with others"),
    "grants": _Member("standing grants allowed"),
    "break_glass": _Member("the glass may be broken"),
    "reading_s": _Member("time to read", NOT_ASKED, lambda value: duration(int(value))),
    "confirm": _Member("text to type", NOT_ASKED),
}


def _who(need: Mapping[str, Any] | None) -> str:
    if need is None:
        return NOT_ASKED
    return f"{need['quorum']} of {', '.join([*need['roles'], *need['names']]) or NOTHING}"


def _bounds(constraints: Mapping[str, Any] | None) -> str:
    return "; ".join(f"{name} {much}" for name, much in bounds_of(constraints or {})) or NOTHING
