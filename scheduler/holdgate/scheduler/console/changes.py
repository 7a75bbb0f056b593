"""What is other about a job that was held before, in words: the API tells it as values, then and now."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NOTHING = "nothing"


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
            found.append(Change(change["what"].replace("_", " "), _words(change["before"]), _words(change["after"])))
    return found


def _requirements(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> Iterator[Change]:
    then = {str(need["rule"]): need for need in before}
    now = {str(need["rule"]): need for need in after}
    for rule in sorted({*then, *now}):
        if rule not in then or rule not in now:
            yield Change(f"approvers of {rule}", _who(then.get(rule)), _who(now.get(rule)))
            continue
        for name in then[rule]:
            if then[rule][name] == now[rule].get(name):
                continue
            if name == "definition":
                yield Change(f"text of {rule}", "as it was", "rewritten, see below")
            else:
                yield Change(f"{rule}: {name.replace('_', ' ')}", _words(then[rule][name]), _words(now[rule].get(name)))


def _who(need: Mapping[str, Any] | None) -> str:
    if need is None:
        return "not asked"
    return f"{need['quorum']} of {', '.join([*need['roles'], *need['names']]) or NOTHING}"


def _words(value: Any) -> str:
    match value:
        case str():
            return value or NOTHING
        case list() if value and all(isinstance(each, str) for each in value):
            return ", ".join(value)
        case None | [] | {}:
            return NOTHING
        case bool():
            return "yes" if value else "no"
        case _:
            return json.dumps(value, ensure_ascii=False, indent=1)  # noqa: TID251  for people to read
