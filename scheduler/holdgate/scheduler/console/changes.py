"""What is other about a job that was held before, in words: the API tells it as values, then and now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from holdgate.scheduler.console.timeleft import time_left

NOTHING = "nothing"
_NAMES = {"expires_s": "expires after", "escalate_after_s": "escalates after", "reading_s": "time to read"}
"""Members that hold seconds, in words."""
_TOLD_ELSEWHERE = frozenset({"definition", "reason"})


@dataclass(frozen=True, slots=True)
class Change:
    """One thing, as it was shown then and as it is now."""

    what: str
    before: str
    after: str


def changes_of(item: Mapping[str, Any]) -> list[Change]:
    """The changes of an approval, what a rule demands of approvers one by one."""
    found: list[Change] = []
    for change in item.get("changes") or ():
        if change["what"] == "requirements":
            found += _requirements(change["before"], change["after"])
        else:
            found.append(
                Change(change["what"].replace("_", " "), words_of(change["before"]), words_of(change["after"]))
            )
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
                yield Change(
                    f"{rule}: {_NAMES.get(name, name.replace('_', ' '))}", _told(name, was), _told(name, becomes)
                )
        if then[rule].get("definition") != now[rule].get("definition"):
            yield Change(f"text of {rule}", "as it was", "rewritten, see below")


def _who(need: Mapping[str, Any] | None) -> str:
    if need is None:
        return "not asked"
    return f"{need['quorum']} of {', '.join([*need['roles'], *need['names']]) or NOTHING}"


def _told(name: str, value: Any) -> str:
    return time_left(value) if name in _NAMES and isinstance(value, int) else words_of(value)


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
    if isinstance(value, list):
        return ", ".join(map(words_of, value))
    return str(value)
