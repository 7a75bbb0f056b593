"""How a decision came about, rule by rule and field by field: what explain adds to it.

    trace      for each rule that could be for the job's tenant: whether it counts, the fields that held, the first that
               did not, what the rule wants there and what the job has, and what became of `not` and `when`
    combined   which rules won over which and why, those that a first-applicable bundle made void, and which rule gave
               the tightest value of each constraint

What always holds: the number of rules, of values and of characters is bounded; it shows the caller's own values and
the rules' texts, never the payload, the prompt, or a name of another tenant. Nothing here is on the way of a decision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from holdgate.kernel import limits
from holdgate.kernel.conditions import TOO_COSTLY
from holdgate.kernel.match import CLASSIFICATION_LABEL, ENVIRONMENT_LABEL, MCP_LABELS, Match
from holdgate.kernel.policy import CompiledRule, Policy
from holdgate.kernel.records import Constraints, Decision, Job, Verdict
from holdgate.kernel.rules import Rule

FIRST_APPLICABLE = "first-applicable"
"""What fails in a rule that matches after the one of its bundle that counts."""
NOT, WHEN = "not", "when"
NAMED_MAX = 100
"""Rules that the summary names one by one; the decision names all of them."""
_GIVEN: Mapping[str, Callable[[Job], Any]] = {
    "topics": lambda job: job.topic,
    "tenants": lambda job: job.tenant,
    "capabilities": lambda job: job.capability,
    "environments": lambda job: job.labels.get(ENVIRONMENT_LABEL),
    "classifications": lambda job: job.labels.get(CLASSIFICATION_LABEL),
    "actors": lambda job: job.actor,
    "actor_types": lambda job: job.actor_type,
    "risk_tags": lambda job: job.risk_tags,
    "principals": lambda job: job.principals,
    "requires": lambda job: job.requires,
    "secrets": lambda job: job.secrets,
    "secrets_present": lambda job: job.secrets_present,
    "pii_present": lambda job: job.pii_present,
}


def explained(
    decision: Decision,
    policy: Policy,
    job: Job,
    matching: Sequence[CompiledRule],
    counting: Sequence[Rule],
    errors: Mapping[str, str],
) -> Decision:
    """The decision with its trace. `matching` are the rules that hold, `counting` those of them that count, `errors`
    what failed in conditions, by rule."""
    counted = {rule.id for rule in counting}
    void = [item.rule for item in matching if item.rule.id not in counted]
    steps = _steps(policy, job, counted, {rule.id for rule in void}, errors)
    return replace(decision, trace=steps, combined=_combined(decision, policy, counting, void))


def _steps(
    policy: Policy, job: Job, counted: set[str], void: set[str], errors: Mapping[str, str]
) -> tuple[Mapping[str, Any], ...]:
    """A step for each rule of this tenant: those of others are none of its business, not even in number.

    Of more than `limits.TRACE_RULES_MAX`, those that count come first, and the last step says how many were `left_out`.
    """
    rules = [rule for rule in policy.rules if not rule.match.tenants or job.tenant in rule.match.tenants]
    left_out = len(rules) - limits.TRACE_RULES_MAX
    if left_out > 0:
        rules.sort(key=lambda rule: rule.id not in counted)
    steps: list[Mapping[str, Any]] = [
        _step(rule, job, errors.get(rule.id), counts=rule.id in counted, is_void=rule.id in void)
        for rule in rules[: limits.TRACE_RULES_MAX]
    ]
    if left_out > 0:
        steps.append({"left_out": left_out})
    return tuple(steps)


def _step(rule: Rule, job: Job, error: str | None, *, counts: bool, is_void: bool) -> dict[str, Any]:
    """`error`: why its condition has no answer. `is_void`: it holds, but an earlier rule of its bundle counts."""
    step: dict[str, Any] = {
        "id": rule.id,
        "bundle": rule.bundle,
        "decision": str(rule.decision),
        "matched": counts,
    }
    held, failed = _walk(rule.match, job)
    step["held"] = held
    if failed is not None:
        return {**step, "failed": failed, **_seen(rule.match, failed, job)}
    if counts:
        step["reason"] = cut(rule.reason)
        step["fields"] = [{"field": name, **_seen(rule.match, name, job)} for name in held]
    if rule.unless is not None:
        spared = rule.unless.holds(job)
        step["not"] = spared
        if spared:
            names = [name for name, _ in rule.unless.checks]
            step["spared"] = [{"field": name, **_seen(rule.unless, name, job)} for name in names]
            return {**step, "failed": NOT}
    if rule.when is not None:
        result = None if error is not None else counts or is_void
        step["when"] = {"text": cut(rule.when.source), "result": result}
        if error is not None:
            step["error"] = f"`when` failed: {error}"
        if not counts and not is_void:
            step["failed"] = WHEN
    return {**step, "failed": FIRST_APPLICABLE} if is_void else step


def _walk(match: Match, job: Job) -> tuple[list[str], str | None]:
    """The fields that hold, up to the first that does not, and that."""
    held: list[str] = []
    for name, check in match.checks:
        if not check(job):
            return held, name
        held.append(name)
    return held, None


def _seen(match: Match, name: str, job: Job) -> dict[str, Any]:
    """What the rule wants in a field, and what the job has there."""
    wanted = {job.tenant} if name == "tenants" else _wanted(match, name)
    return {"wanted": wanted if isinstance(wanted, bool) else _listed(wanted), "given": _shown(_given(name, job))}


def _wanted(match: Match, name: str) -> Any:
    kind, _, key = name.partition(".")
    if kind == "labels":
        return dict(match.labels)[key]
    return dict(match.mcp)[key] if kind == "mcp" else getattr(match, name)


def _given(name: str, job: Job) -> Any:
    kind, _, key = name.partition(".")
    if kind == "labels":
        return job.labels.get(key)
    return job.labels.get(MCP_LABELS[key]) if kind == "mcp" else _GIVEN[name](job)


def _shown(value: Any) -> Any:
    if isinstance(value, tuple):
        return _listed(value)
    return cut(value) if isinstance(value, str) else value


def _listed(values: Iterable[str]) -> list[str]:
    """The first items in order, and how many there are beside them."""
    items = list(values) if isinstance(values, tuple) else sorted(values)
    more = len(items) - limits.TRACE_VALUES_MAX
    shown = [cut(item) for item in items[: limits.TRACE_VALUES_MAX]]
    return [*shown, f"and {more} more"] if more > 0 else shown


def cut(text: str) -> str:
    """The text, or as much of it as an explanation shows."""
    return text if len(text) <= limits.TRACE_CHARS_MAX else text[: limits.TRACE_CHARS_MAX - 1] + "…"


def _combined(decision: Decision, policy: Policy, counting: Sequence[Rule], void: Sequence[Rule]) -> dict[str, Any]:
    deciding = set(decision.deciding)
    others = [rule for rule in counting if rule.id not in deciding]
    return {
        "why": _why(decision, counting),
        "won": _named(rule for rule in counting if rule.id in deciding),
        "over": _named(others),
        "void": [
            {**named, "first": _first_of(rule, counting)} for rule, named in zip(void, _named(void), strict=False)
        ],
        "default": str(policy.default),
        "constraints": _tightest(decision.constraints, counting),
    }


def _why(decision: Decision, counting: Sequence[Rule]) -> str:
    verdict, count = decision.verdict, len(counting)
    if not decision.deciding and decision.reason == TOO_COSTLY:
        return f"{TOO_COSTLY}: where a rule cannot be asked for that, nothing is let through"
    if not count:
        return f"no rule counts: the default of the root is `{verdict}`"
    if not decision.deciding:
        return f"a throttle allows nothing by itself, and no other rule counts: the default of the root is `{verdict}`"
    if verdict is Verdict.THROTTLE:
        return (
            f"within the limit `{decision.within}` holds, the strictest of the others; beyond it the throttle decides"
        )
    if count == len(decision.deciding):
        return "it is the only rule that counts" if count == 1 else f"all {count} rules that count say so"
    return f"`{verdict}` is the strictest among the {count} rules that count"


def _named(rules: Iterable[Rule]) -> list[dict[str, str]]:
    found = [{"id": rule.id, "bundle": rule.bundle, "decision": str(rule.decision)} for rule in rules]
    return found[:NAMED_MAX]


def _first_of(rule: Rule, counting: Sequence[Rule]) -> str:
    """The rule of the same bundle that came first."""
    return next((other.id for other in counting if other.bundle == rule.bundle), "")


def _tightest(constraints: Constraints, counting: Sequence[Rule]) -> dict[str, Any]:
    """Each constraint of the run, and the rules that gave its value: of lists all that were merged."""
    found: dict[str, Any] = {}
    for item in fields(Constraints):
        value = getattr(constraints, item.name)
        if value is None:
            continue
        given = [(rule.id, getattr(rule.constraints, item.name)) for rule in counting]
        names = [name for name, own in given if own is not None and (isinstance(value, tuple) or own == value)]
        found[item.name] = {"value": _shown(value), "rules": names[: limits.TRACE_VALUES_MAX]}
    return found
