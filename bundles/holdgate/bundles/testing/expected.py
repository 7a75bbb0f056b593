"""What a case expects: its form, and where a decision differs from it, in words. No IO.

What always holds: only what is said is compared, but for errors: a `when` that fails fails the case unless the case
expects it. Lists of ids are sets: exactly these, in any order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from holdgate.kernel.dataclass import DataClass
from holdgate.kernel.output import OutputDecision
from holdgate.kernel.records import ApprovalRequirement, Constraints, Decision, Over, Severity, Verdict
from holdgate.kernel.rules import OutputVerdict, RateLimit
from holdgate.kernel.ruletypes import SOME, Reason, RuleId, Seconds, Tag, Value, one_of
from holdgate.kernel.standing import escalation_roles

SHOWN_MAX = 10
"""Items of a list that a problem shows."""
OTHERS = "others"
_TIMES = ("expires", "escalate_after", "read_for", "per")
Ids: TypeAlias = Annotated[list[RuleId], Field(max_length=1000)]
Texts: TypeAlias = Annotated[list[Value], Field(max_length=1000)]
VerdictText: TypeAlias = Annotated[str, one_of(tuple(Verdict), "verdict")]
OutputVerdictText: TypeAlias = Annotated[str, one_of(tuple(OutputVerdict), "verdict")]
_AS_LIST = BeforeValidator(lambda value: [value] if isinstance(value, dict) else value)


class Form(BaseModel):
    """A mapping of known keys; those that were not written are None."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    def said(self) -> dict[str, Any]:
        """What was written, by the names of the fields."""
        return {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}


class _NotEmpty(Form):
    """What says nothing would pass whatever is decided."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            msg = "empty"
            raise ValueError(msg)
        return self


class _Constraints(_NotEmpty):
    """`null`: this one is not set. `others: none`: those that are not named are not set."""

    max_runtime_s: int | None = None
    max_output_bytes: int | None = None
    max_attempts: int | None = None
    max_concurrency: int | None = None
    network: Texts | None = None
    paths: Texts | None = None
    env: Texts | None = None
    others: Literal["none"] | None = None


class _OfRule(_NotEmpty):
    rule: RuleId | None = None


class _EscalateTo(_NotEmpty):
    roles: Texts | None = None
    names: Texts | None = None


class _Approvers(_OfRule):
    roles: Texts | None = None
    names: Texts | None = None
    quorum: int | None = None
    expires: Seconds | None = None
    escalate_after: Seconds | None = None
    escalate_to: _EscalateTo | None = None
    not_author: bool | None = None
    signed: bool | None = None
    severity: Annotated[str, one_of(tuple(Severity), "severity")] | None = None
    bulk: bool | None = None
    grants: bool | None = None
    break_glass: bool | None = None
    read_for: Seconds | None = None
    confirm: Value | None = None


class _Throttle(_OfRule):
    limit: int | None = None
    per: Seconds | None = None
    key: Texts | None = None
    over: Annotated[str, one_of(tuple(Over), "way")] | None = None


class JobExpected(Form):
    """`expect` of a case with a `job`."""

    verdict: VerdictText
    rules: Ids | None = None
    matching: Ids | None = None
    reason: Reason | None = None
    constraints: _Constraints | None = None
    approvers: Annotated[list[_Approvers], _AS_LIST] | None = None
    throttle: Annotated[list[_Throttle], _AS_LIST] | None = None
    remediations: Ids | None = None
    within: VerdictText | None = None
    errors: bool | Value = False

    @model_validator(mode="after")
    def _names_rules(self) -> JobExpected:
        for items in (self.approvers or [], self.throttle or []):
            if len(items) > 1 and any(item.rule is None for item in items):
                msg = "each of several `approvers` or `throttle` names its `rule`"
                raise ValueError(msg)
        return self

    def problems(self, decision: Decision, rates: Mapping[str, RateLimit]) -> list[str]:
        """Where `decision` differs; `rates` has the `throttle` of every rule by its id. Empty: nowhere."""
        found: list[str] = []
        if decision.verdict != self.verdict:
            found.append(f"verdict: expected `{self.verdict}`, got `{decision.verdict}`{_by(decision)}")
        found.extend(_ids("rules", self.rules, decision.deciding))
        found.extend(_ids("matching", self.matching, decision.rules))
        found.extend(_value("reason", self.reason, decision.reason))
        if self.within is not None:
            found.extend(_value("within", self.within, decision.within))
        found.extend(_ids("remediations", self.remediations, [item.id for item in decision.remediations]))
        found.extend(_constraints(self.constraints, decision.constraints))
        approvals = {item.rule: _approval(item) for item in decision.approvals}
        found.extend(_of_rules("approvers", self.approvers, approvals))
        throttles = {item.rule: _rate(rates[item.rule]) for item in decision.throttles}
        found.extend(_of_rules("throttle", self.throttle, throttles))
        found.extend(_errors(self.errors, decision.errors))
        return found


class OutputExpected(Form):
    """`expect` of a case with an `output`. `findings`: the verdict about each; `shadowed`: detectors."""

    verdict: OutputVerdictText
    rules: Ids | None = None
    reason: Annotated[str, Field(min_length=1, max_length=2000)] | None = None
    findings: Annotated[list[OutputVerdictText], SOME] | None = None
    data_class: Annotated[str, one_of(tuple(DataClass), "data class")] | None = None
    marks: Annotated[list[Tag], Field(max_length=100)] | None = None
    shadowed: Annotated[list[Tag], Field(max_length=1000)] | None = None
    allowed_by: Ids | None = None

    def problems(self, decision: OutputDecision) -> list[str]:
        """Where `decision` differs; empty: nowhere."""
        found: list[str] = []
        if decision.verdict != self.verdict:
            by = f"; rules {_shown(decision.rules)}: {decision.reason}"
            found.append(f"verdict: expected `{self.verdict}`, got `{decision.verdict}`{by}")
        found.extend(_ids("rules", self.rules, decision.rules))
        found.extend(_value("reason", self.reason, decision.reason))
        if self.findings is not None:
            found.extend(_value("findings", self.findings, [str(verdict) for verdict in decision.findings]))
        if self.data_class is not None:
            found.extend(_value("data_class", self.data_class, str(decision.data_class)))
        found.extend(_ids("marks", self.marks, decision.marks))
        found.extend(_ids("shadowed", self.shadowed, sorted({finding[0] for finding in decision.shadowed})))
        found.extend(_ids("allowed_by", self.allowed_by, decision.allowed_by))
        return found


Expected: TypeAlias = JobExpected | OutputExpected


def _by(decision: Decision) -> str:
    rules = f"deciding rules {_shown(decision.deciding)}" if decision.deciding else "no rule decides"
    return f"; {rules}: {decision.reason}"


def _ids(name: str, wanted: Sequence[str] | None, got: Sequence[str]) -> Iterator[str]:
    if wanted is not None and set(wanted) != set(got):
        yield f"{name}: expected {_shown(sorted(set(wanted)))}, got {_shown(sorted(got))}"


def _value(name: str, wanted: Any, got: Any) -> Iterator[str]:
    if wanted is not None and wanted != got:
        yield f"{name}: expected {_shown(wanted)}, got {_shown(got)}"


def _constraints(expected: _Constraints | None, got: Constraints) -> Iterator[str]:
    if expected is None:
        return
    values = got.as_dict()
    wanted = expected.said()
    others = wanted.pop(OTHERS, None)
    for name, value in wanted.items():
        value = sorted(set(value)) if isinstance(value, list) else value
        if values.get(name) != value:
            yield f"constraints.{name}: expected {_limit(value)}, got {_limit(values.get(name))}"
    if others is not None:
        for name in sorted(values.keys() - wanted.keys()):
            yield f"constraints.{name}: expected {_limit(None)}, got {_limit(values[name])}"


def _of_rules(name: str, wanted: Sequence[_OfRule] | None, got: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The demands of the rules, one for one. A single one need not name its rule."""
    if wanted is None:
        return
    if len(wanted) != len(got):
        yield f"{name}: expected of {len(wanted)} rules, got of {_shown(sorted(got))}"
        return
    for item in wanted:
        rule = next(iter(got)) if item.rule is None else item.rule
        if rule not in got:
            yield f"{name}: expected of `{rule}`, got of {_shown(sorted(got))}"
            continue
        for field, value in item.said().items():
            if field != "rule":
                yield from _demand(f"{name}.{field}", rule, value, got[rule][field])


def _demand(name: str, rule: str, value: Any, got: Any) -> Iterator[str]:
    if isinstance(value, Form):
        for field, part in value.said().items():
            yield from _demand(f"{name}.{field}", rule, part, got[field])
        return
    field = name.rpartition(".")[2]
    value = sorted(set(value)) if isinstance(value, list) else _seconds(value) if field in _TIMES else value
    if got != value:
        yield f"{name} of `{rule}`: expected {_shown(value)}, got {_shown(got)}"


def _limit(value: Any) -> str:
    return "not set" if value is None else "an empty list" if value == [] else _shown(value)


def _seconds(value: int | None) -> str | None:
    return None if value is None else f"{value} s"


def _approval(item: ApprovalRequirement) -> dict[str, Any]:
    return {
        "roles": sorted(set(item.roles)),
        "names": sorted(set(item.names)),
        "quorum": item.quorum,
        "expires": _seconds(item.expires_s),
        "escalate_after": _seconds(item.escalate_after_s),
        "escalate_to": {"roles": sorted(escalation_roles(item)), "names": sorted(item.escalate_names)},
        "not_author": item.not_author,
        "signed": item.signed,
        "severity": str(item.severity),
        "bulk": item.bulk,
        "grants": item.grants,
        "break_glass": item.break_glass,
        "read_for": _seconds(item.reading_s or None),
        "confirm": item.confirm or None,
    }


def _rate(rate: RateLimit) -> dict[str, Any]:
    return {"limit": rate.limit, "per": _seconds(rate.per_s), "key": sorted(rate.key), "over": str(rate.over)}


def _errors(wanted: bool | str, got: Sequence[str]) -> Iterator[str]:
    """True: there is one; a text: one holds it; False, which is so where nothing is said: there is none."""
    if isinstance(wanted, str):
        if not any(wanted in error for error in got):
            yield f"errors: expected one with `{wanted}`, got {'; '.join(got[:SHOWN_MAX]) or 'none'}"
    elif wanted is not bool(got):
        yield f"errors: expected {'one' if wanted else 'none'}, got {'; '.join(got[:SHOWN_MAX]) or 'none'}"


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, (list, tuple)):
        more = f" and {len(value) - SHOWN_MAX} more" if len(value) > SHOWN_MAX else ""
        return ", ".join(f"`{item}`" for item in value[:SHOWN_MAX]) + more if value else "none"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
