"""A decision and its trace as lines that a person can read.

First the verdict, why it is that, and what comes with it; then the rules that count, field by field; then the near
misses, those of which most fields held first; all others are only counted. What always holds: a line holds no control
character, whatever rules and jobs say. No IO.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from holdgate.kernel.records import ApprovalRequirement, Decision, Throttle, Verdict
from holdgate.kernel.standing import escalation_roles
from holdgate.kernel.trace import FIRST_APPLICABLE, NOT, WHEN

NEAR_MAX = 10
"""Near misses that are told of one by one."""
COUNTING_MAX = 50
"""Rules that count, and are told of one by one."""
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_COLOURS = {
    Verdict.DENY: "bold red",
    Verdict.REQUIRE_APPROVAL: "bold yellow",
    Verdict.THROTTLE: "bold yellow",
    Verdict.ALLOW_WITH_CONSTRAINTS: "bold green",
    Verdict.ALLOW: "bold green",
}
Step: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """One line, and how a terminal may show it (a style of Rich)."""

    text: str
    style: str = ""


def explain_lines(decision: Decision, *, near_max: int = NEAR_MAX) -> list[Line]:
    """The lines about a decision that was made with a trace."""
    return [Line(_CONTROL.sub("?", line.text), line.style) for line in _lines(decision, near_max)]


def _lines(decision: Decision, near_max: int) -> Iterator[Line]:
    combined = decision.combined or {}
    steps = [step for step in decision.trace or () if "id" in step]
    counting = [step for step in steps if step["matched"]]
    void = [step for step in steps if step.get("failed") == FIRST_APPLICABLE]
    missed = [step for step in steps if not step["matched"] and step.get("failed") != FIRST_APPLICABLE]
    left_out = sum(step["left_out"] for step in decision.trace or () if "left_out" in step)
    yield Line(f"{decision.verdict}: {decision.reason}", _COLOURS[decision.verdict])
    yield from (Line(f"  {text}") for text in _summary(decision, combined))
    yield from _counting(counting, set(decision.deciding))
    yield from _void(void, combined.get("void", ()))
    yield from _near(missed, near_max, left_out)


def _summary(decision: Decision, combined: Mapping[str, Any]) -> Iterator[str]:
    """Why, and what comes with the verdict."""
    yield combined.get("why", "")
    yield from (_approval(item) for item in decision.approvals)
    yield from (_throttle(item) for item in decision.throttles)
    for name, given in combined.get("constraints", {}).items():
        yield f"{name} {_text(given['value'])}, the tightest, from {', '.join(given['rules'])}"
    yield from (f"instead: {item.id}, {item.title}" for item in decision.remediations)


def _approval(item: ApprovalRequirement) -> str:
    who = " or ".join([*(f"role {role}" for role in item.roles), *item.names])
    more = "".join(f", {text}" for text in _manner(item))
    return f"released by {item.quorum} of {who}{more}, within {item.expires_s} s ({item.rule})"


def _manner(item: ApprovalRequirement) -> Iterator[str]:
    """How it is released, as far as that is not as ever."""
    if item.signed:
        yield "with their own keys"
    if item.not_author:
        yield " ".join(["not by who signed the bundle", *([f"({', '.join(item.excluded)})"] if item.excluded else [])])
    if item.escalate_after_s is not None:
        further = " or ".join([*(f"role {role}" for role in escalation_roles(item)), *item.escalate_names])
        yield f"after {item.escalate_after_s} s by {further} too"
    if item.reading_s:
        yield f"read for {item.reading_s} s"
    if item.confirm:
        yield f"by typing `{item.confirm}`"
    if item.grants:
        yield "or by a standing grant"
    if not item.break_glass:
        yield "never by breaking glass"


def _throttle(item: Throttle) -> str:
    return f"at most {item.limit} in {item.per_s} s, then {item.over} ({item.rule})"


def _counting(steps: Sequence[Step], deciding: set[str]) -> Iterator[Line]:
    if steps:
        yield Line("")
        yield Line("Rules that count", "bold")
    for step in sorted(steps, key=lambda step: step["id"] not in deciding)[:COUNTING_MAX]:
        yield Line(f"  {_title(step)}  {'decides' if step['id'] in deciding else 'overruled'}")
        rows = list(_rows(step)) or [("every job", "", "")]
        width = max(len(name) for name, _, _ in rows)
        yield from (Line(f"    {name:<{width}}  {wanted}{given}".rstrip(), "green") for name, wanted, given in rows)
    if len(steps) > COUNTING_MAX:
        yield Line(f"  and {len(steps) - COUNTING_MAX} more")


def _rows(step: Step) -> Iterator[tuple[str, str, str]]:
    """Of a rule that counts: each field, what it wants, what the job has."""
    for seen in step.get("fields", ()):
        yield seen["field"], _text(seen["wanted"]), f"  (the job: {_text(seen['given'])})"
    if NOT in step:
        yield NOT, "does not hold", ""
    if WHEN in step:
        result = step[WHEN]["result"]
        told = "true" if result else f"counts as true: {step.get('error', 'no answer')}"
        yield WHEN, f"{step[WHEN]['text']}  ({told})", ""


def _void(steps: Sequence[Step], named: Sequence[Mapping[str, str]]) -> Iterator[Line]:
    first = {item["id"]: item["first"] for item in named}
    if steps:
        yield Line("")
        yield Line("Rules that match after the first of their bundle, which alone counts", "bold")
    for step in steps[:NEAR_MAX]:
        yield Line(f"  {_title(step)}  after {first.get(step['id'], 'another')}")
    if len(steps) > NEAR_MAX:
        yield Line(f"  and {len(steps) - NEAR_MAX} more")


def _near(steps: Sequence[Step], near_max: int, left_out: int) -> Iterator[Line]:
    near = sorted((step for step in steps if _nearness(step)), key=lambda step: (-_nearness(step), step["id"]))
    if near:
        yield Line("")
        yield Line("Near misses", "bold")
    for step in near[:near_max]:
        yield Line(f"  {_title(step)}")
        if step["held"]:
            yield Line(f"    held    {', '.join(step['held'])}", "green")
        yield Line(f"    failed  {_failure(step)}", "red")
    others = len(steps) - len(near[:near_max]) + left_out
    if others:
        yield Line("")
        yield Line(f"{others} other {'rule does' if others == 1 else 'rules do'} not match", "dim")


def _nearness(step: Step) -> int:
    """How much of a rule held; one that failed at `not` or `when` was nearest."""
    return len(step["held"]) + (1 if step.get("failed") in (NOT, WHEN) else 0)


def _failure(step: Step) -> str:
    """What kept a rule from matching."""
    failed = step.get("failed")
    if failed == NOT:
        spared = ", ".join(f"{seen['field']} {_text(seen['given'])}" for seen in step.get("spared", ()))
        return f"not: it spares this job ({spared})"
    if failed == WHEN:
        told = "is false" if step[WHEN]["result"] is False else f"counts as false: {step.get('error', 'no answer')}"
        return f"when: {step[WHEN]['text']}  ({told})"
    return f"{failed}: wants {_text(step.get('wanted'))}, the job has {_text(step.get('given'))}"


def _title(step: Step) -> str:
    return f"{step['id']}  {step['decision']}  ({step['bundle']})"


def _text(value: Any) -> str:
    if value is None or value in ([], ""):
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    return " | ".join(map(str, value)) if isinstance(value, list) else str(value)
