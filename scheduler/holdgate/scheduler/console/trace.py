"""An explained decision in words: what each rule looked for, which ones count, and what would happen next. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from holdgate.scheduler.words.durations import duration

NEXT: Mapping[str, str] = {
    "allow": "It would be let in and wait for a worker. At hand-off the kernel decides once more.",
    "allow_with_constraints": (
        "It would be let in, and its run held to the limits below. At hand-off the kernel decides once more."
    ),
    "deny": "Submitting it would be answered with 403 and the reason. Nothing would run.",
    "throttle": (
        "Within the limit the strictest of the other rules holds; over it the job is turned away, held or put off."
    ),
}
WHY_NOT: Mapping[str, str] = {
    "not": "the rule spares such jobs",
    "when": "its condition does not hold",
    "first-applicable": "an earlier rule of its bundle counts",
}


@dataclass(frozen=True, slots=True)
class Looked:
    """One field that a rule looks at: what it wants and what the job has."""

    field: str
    wanted: str
    given: str


@dataclass(frozen=True, slots=True)
class Step:
    """One rule. `failed` is in words why it does not count, empty where it does."""

    id: str
    bundle: str
    decision: str
    counts: bool
    fields: tuple[Looked, ...] = ()
    held: tuple[str, ...] = ()
    failed: str = ""
    field: Looked | None = None
    when: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Explained:
    """A decision with its trace."""

    next: str
    counting: tuple[Step, ...]
    others: tuple[Step, ...]
    left_out: int
    why: str
    won: tuple[str, ...]
    over: tuple[str, ...]
    void: tuple[str, ...]
    default: str
    limits: tuple[tuple[str, str, str], ...]


def explained(decision: Mapping[str, Any]) -> Explained:
    """Of a decision that `explain` gave."""
    trace, combined = decision.get("trace") or [], decision.get("combined") or {}
    steps = [_step(step) for step in trace if "id" in step]
    return Explained(
        next=_next(decision),
        counting=tuple(step for step in steps if step.counts),
        others=tuple(step for step in steps if not step.counts),
        left_out=sum(int(step.get("left_out", 0)) for step in trace),
        why=str(combined.get("why", "")),
        won=_names(combined.get("won")),
        over=_names(combined.get("over")),
        void=_names(combined.get("void")),
        default=str(combined.get("default", "deny")),
        limits=tuple(
            (str(name), _text(limit.get("value")), ", ".join(map(str, limit.get("rules", ()))))
            for name, limit in (combined.get("constraints") or {}).items()
        ),
    )


def _step(step: Mapping[str, Any]) -> Step:
    failed = str(step.get("failed", ""))
    when = step.get("when") or {}
    fields = step.get("spared") if failed == "not" else step.get("fields")
    return Step(
        id=str(step["id"]),
        bundle=str(step.get("bundle", "")),
        decision=str(step.get("decision", "")),
        counts=bool(step.get("matched")),
        fields=tuple(_looked(item) for item in fields or ()),
        held=tuple(map(str, step.get("held", ()))),
        failed=WHY_NOT.get(failed, f"{failed} does not fit") if failed else "",
        field=_looked({"field": failed, **step}) if "wanted" in step else None,
        when=str(when.get("text", "")),
        error=str(step.get("error", "")),
    )


def _looked(item: Mapping[str, Any]) -> Looked:
    return Looked(str(item.get("field", "")), _text(item.get("wanted")), _text(item.get("given")))


def _text(value: Any) -> str:
    match value:
        case None | [] | "":
            return "nothing"
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(map(str, value))
        case _:
            return str(value)


def _names(items: Sequence[Mapping[str, Any]] | None) -> tuple[str, ...]:
    return tuple(f"{item['id']} ({str(item['decision']).replace('_', ' ')})" for item in items or ())


def _next(decision: Mapping[str, Any]) -> str:
    verdict = str(decision["verdict"])
    if verdict != "require_approval":
        return NEXT.get(verdict, "")
    asked = [_asked(item) for item in decision.get("approvals") or ()]
    who = "; and ".join(asked) or "by an approver"
    return f"It would be held until released: {who}. At hand-off the kernel decides once more."


def _asked(item: Mapping[str, Any]) -> str:
    people = [*(f"role {role}" for role in item.get("roles", ())), *map(str, item.get("names", ()))]
    signed = ", signed with their own keys" if item.get("signed") else ""
    within = duration(int(item.get("expires_s") or 0))
    return f"{item.get('quorum', 1)} of {' or '.join(people) or 'any approver'}{signed}, within {within}"
