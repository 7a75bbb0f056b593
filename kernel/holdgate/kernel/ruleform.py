"""The one parser of rules documents: plain data → checked, frozen rules.

What always holds: every key is known, every topic, name, time and expression is valid, or the whole document is refused
with each problem and its place. No rule is ever skipped. No IO.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, TypeAlias, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from holdgate.kernel import limits
from holdgate.kernel.canonical import digest
from holdgate.kernel.conditions import Condition
from holdgate.kernel.errors import PolicyInvalid
from holdgate.kernel.ids import Digest
from holdgate.kernel.match import Match
from holdgate.kernel.records import (
    ALLOWING,
    NO_CONSTRAINTS,
    SEVERE,
    ApprovalRequirement,
    Constraints,
    Over,
    Remediation,
    Severity,
    Verdict,
)
from holdgate.kernel.rules import BundleRules, Combining, OutputRule, OutputVerdict, RateLimit, Rule
from holdgate.kernel.ruletypes import (
    SOME,
    Actors,
    ConditionText,
    LabelKey,
    Labels,
    Names,
    Pattern,
    Reason,
    RuleId,
    Seconds,
    SecretNames,
    Tag,
    Tags,
    Texts,
    Topic,
    Value,
    Values,
    one_of,
    printable,
)

Place: TypeAlias = tuple[str | int, ...]
APPROVER_ROLE = "approver"
"""Who releases what a rule holds without saying for whom."""
THROTTLE_KEYS = ("tenant", "actor", "topic", "capability")
_QUORUM_MAX = 20
_READING_S_MAX = 3600
_RUNTIME_S_MAX = 30 * 86_400


def parse_rules(data: Mapping[str, Any], bundle: str) -> BundleRules:
    """The rules of a document; PolicyInvalid with the place and the reason of every problem found."""
    problems = list(_without_value(data, ()))
    if problems:
        raise PolicyInvalid(problems)
    try:
        document = RulesDocument.model_validate(data)
    except ValidationError as error:
        raise PolicyInvalid([in_our_words(item) for item in error.errors(include_url=False)]) from None
    problems = list(_repeated(document))
    if problems:
        raise PolicyInvalid(problems)
    return BundleRules(
        name=bundle,
        combining=Combining(document.combining),
        rules=tuple(
            rule.frozen(bundle, definition_of(bundle, written))
            for rule, written in zip(document.rules or (), data.get("rules") or (), strict=True)
        ),
        output_rules=tuple(rule.frozen(bundle) for rule in document.output_rules or ()),
    )


def definition_of(bundle: str, written: Any) -> Digest:
    """The digest that names a rule as it is written, in the bundle of that name."""
    return digest({"bundle": bundle, "rule": written})


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, arbitrary_types_allowed=True)


class _Mcp(_Form):
    servers: Values | None = None
    tools: Values | None = None
    resources: Values | None = None
    actions: Values | None = None

    @model_validator(mode="after")
    def _says_something(self) -> _Mcp:
        _refuse_empty(self)
        return self


class _Match(_Form):
    tenants: Names | None = None
    topics: Annotated[list[Pattern], SOME] | None = None
    capabilities: Tags | None = None
    risk_tags: Tags | None = None
    requires: Annotated[list[Tag], Field(min_length=1, max_length=limits.TAGS_MAX)] | None = None
    labels: Labels | None = None
    actors: Actors | None = None
    actor_types: Names | None = None
    principals: Actors | None = None
    environments: Values | None = None
    classifications: Values | None = None
    mcp: _Mcp | None = None
    secrets: SecretNames | None = None
    secrets_present: bool | None = None
    pii_present: bool | None = None

    def frozen_match(self) -> Match:
        mcp = {} if self.mcp is None else self.mcp.model_dump(exclude_none=True)
        return Match(
            tenants=frozenset(self.tenants or ()),
            topics=tuple(self.topics or ()),
            capabilities=frozenset(self.capabilities or ()),
            risk_tags=frozenset(self.risk_tags or ()),
            requires=frozenset(self.requires or ()),
            labels=_label_values(self.labels),
            actors=frozenset(self.actors or ()),
            actor_types=frozenset(self.actor_types or ()),
            principals=frozenset(self.principals or ()),
            environments=frozenset(self.environments or ()),
            classifications=frozenset(self.classifications or ()),
            mcp=tuple((kind, frozenset(values)) for kind, values in mcp.items()),
            secrets=frozenset(self.secrets or ()),
            secrets_present=self.secrets_present,
            pii_present=self.pii_present,
        ).with_checks()


class _Not(_Match):
    @model_validator(mode="after")
    def _says_something(self) -> _Not:
        _refuse_empty(self)
        return self


class _RuleMatch(_Match):
    unless: _Not | None = Field(None, alias="not")
    when: ConditionText | None = None


class _EscalateTo(_Form):
    roles: Names | None = None
    names: Actors | None = None

    @model_validator(mode="after")
    def _says_something(self) -> _EscalateTo:
        _refuse_empty(self)
        return self


class _Approvers(_Form):
    roles: Names | None = None
    names: Actors | None = None
    quorum: int = Field(1, ge=1, le=_QUORUM_MAX)
    expires: Seconds | None = None
    escalate_after: Seconds | None = None
    escalate_to: _EscalateTo | None = None
    not_author: bool = False
    signed: bool = False
    bulk: bool | None = None
    grants: bool = False
    break_glass: bool = True
    read_for: Seconds | None = None
    confirm: Annotated[str, printable(100)] | None = None

    @model_validator(mode="after")
    def _can_be_met(self) -> _Approvers:
        problem = next(self._problems(), None)
        if problem is not None:
            raise ValueError(problem)
        return self

    def _problems(self) -> Iterator[str]:
        if self.names and not self.roles and self.quorum > len(set(self.names)):
            yield "the quorum is larger than the number of names"
        if self.escalate_after is not None and _seconds(self.escalate_after) >= self.expires_s():
            yield "`escalate_after` is not before the expiry"
        if self.escalate_to is not None and self.escalate_after is None:
            yield "`escalate_to` needs `escalate_after`"
        if self.read_for is not None and _seconds(self.read_for) > _READING_S_MAX:
            yield f"`read_for` is longer than {_READING_S_MAX // 60} minutes"
        if self.read_for is not None and _seconds(self.read_for) >= self.expires_s():
            yield "`read_for` is not before the expiry"
        if self.signed and self.grants:
            yield "`grants` do not go with `signed`: a grant is no signature on the job"

    def expires_s(self) -> int:
        return ApprovalRequirement("", ()).expires_s if self.expires is None else _seconds(self.expires)

    def requirement(self, rule: _Rule, definition: str) -> ApprovalRequirement:
        roles = tuple(self.roles or ())
        further = self.escalate_to or _EscalateTo.model_construct()
        severity = Severity(rule.severity or Severity.MEDIUM)
        return ApprovalRequirement(
            rule=rule.id,
            roles=roles if roles or self.names else (APPROVER_ROLE,),
            names=tuple(self.names or ()),
            quorum=self.quorum,
            expires_s=self.expires_s(),
            escalate_after_s=None if self.escalate_after is None else _seconds(self.escalate_after),
            escalate_roles=tuple(further.roles or ()),
            escalate_names=tuple(further.names or ()),
            not_author=self.not_author,
            signed=self.signed,
            severity=severity,
            bulk=severity not in SEVERE if self.bulk is None else self.bulk,
            grants=self.grants,
            break_glass=self.break_glass,
            reading_s=0 if self.read_for is None else _seconds(self.read_for),
            confirm=self.confirm or "",
            reason=rule.reason,
            definition=definition,
        )


class _Throttle(_Form):
    limit: int = Field(ge=1, le=1_000_000)
    per: Seconds
    key: list[Annotated[str, one_of(THROTTLE_KEYS, "key")]] = Field(["tenant"], max_length=len(THROTTLE_KEYS))
    over: Annotated[str, one_of(tuple(Over), "way")] = Over.REJECT


class _Constraints(_Form):
    max_runtime_s: int | None = Field(None, ge=1, le=_RUNTIME_S_MAX)
    max_output_bytes: int | None = Field(None, ge=0, le=limits.ENVELOPE_BYTES_MAX)
    max_attempts: int | None = Field(None, ge=1, le=limits.ATTEMPTS_MAX)
    max_concurrency: int | None = Field(None, ge=1, le=100_000)
    network: Texts | None = None
    paths: Texts | None = None
    env: Texts | None = None

    @model_validator(mode="after")
    def _says_something(self) -> _Constraints:
        _refuse_empty(self)
        return self

    def frozen_constraints(self) -> Constraints:
        known: dict[str, Any] = self.model_dump(exclude_none=True)
        values: dict[str, Any] = {k: tuple(sorted(set(v))) if isinstance(v, list) else v for k, v in known.items()}
        return Constraints(**values)


class _Remediation(_Form):
    id: RuleId
    title: Annotated[str, printable(200)]
    topic: Topic | None = None
    capability: Tag | None = None
    labels: Annotated[dict[LabelKey, Value], Field(min_length=1, max_length=limits.LABELS_MAX)] | None = None

    @model_validator(mode="after")
    def _replaces_something(self) -> _Remediation:
        if self.topic is None and self.capability is None and self.labels is None:
            msg = "says nothing to replace: `topic`, `capability` or `labels` is expected"
            raise ValueError(msg)
        return self


class _Rule(_Form):
    id: RuleId
    decision: Annotated[str, one_of(tuple(Verdict), "decision")]
    reason: Reason
    severity: Annotated[str, one_of(tuple(Severity), "severity")] | None = None
    match: _RuleMatch | None = None
    unless: _Not | None = Field(None, alias="not")
    when: ConditionText | None = None
    approvers: _Approvers | None = None
    throttle: _Throttle | None = None
    constraints: _Constraints | None = None
    remediations: Annotated[list[_Remediation], Field(max_length=16)] | None = None

    @model_validator(mode="after")
    def _fits_its_decision(self) -> _Rule:
        problem = next(_misfits(self), None)
        if problem is not None:
            raise ValueError(problem)
        return self

    def frozen(self, bundle: str, definition: str) -> Rule:
        match = self.match or _RuleMatch()
        unless = self.unless or match.unless
        rate = self.throttle
        return Rule(
            id=self.id,
            bundle=bundle,
            decision=Verdict(self.decision),
            reason=self.reason,
            match=match.frozen_match(),
            unless=None if unless is None else unless.frozen_match(),
            when=cast("Condition | None", self.when or match.when),
            constraints=NO_CONSTRAINTS if self.constraints is None else self.constraints.frozen_constraints(),
            remediations=tuple(Remediation(**item.model_dump()) for item in self.remediations or ()),
            approval=self._approval(definition),
            throttle=None if rate is None else _rate_limit(rate),
        )

    def holds(self) -> bool:
        over_limit = self.throttle is not None and self.throttle.over == Over.HOLD
        return self.decision == Verdict.REQUIRE_APPROVAL or over_limit

    def _approval(self, definition: str) -> ApprovalRequirement | None:
        return (self.approvers or _Approvers()).requirement(self, definition) if self.holds() else None


class _OutputMatch(_Form):
    categories: Tags | None = None
    detectors: Tags | None = None
    severities: Tags | None = None
    topics: Annotated[list[Pattern], SOME] | None = None
    labels: Labels | None = None
    classifications: Values | None = None
    tenants: Names | None = None


class _OutputRule(_Form):
    id: RuleId
    verdict: Annotated[str, one_of(tuple(OutputVerdict), "verdict")]
    reason: Reason
    match: _OutputMatch | None = None

    def frozen(self, bundle: str) -> OutputRule:
        match = self.match or _OutputMatch()
        return OutputRule(
            id=self.id,
            bundle=bundle,
            verdict=OutputVerdict(self.verdict),
            reason=self.reason,
            categories=frozenset(match.categories or ()),
            detectors=frozenset(match.detectors or ()),
            severities=frozenset(match.severities or ()),
            topics=tuple(match.topics or ()),
            labels=_label_values(match.labels),
            classifications=frozenset(match.classifications or ()),
            tenants=frozenset(match.tenants or ()),
        )


class RulesDocument(_Form):
    """The form of a rules file. `parse_rules` makes rules of it; the schema for editors is made of it."""

    combining: Annotated[str, one_of(tuple(Combining), "way of combining")] = Combining.DENY_OVERRIDES
    rules: Annotated[list[_Rule], Field(max_length=limits.RULES_MAX)] | None = None
    output_rules: Annotated[list[_OutputRule], Field(max_length=limits.RULES_MAX)] | None = None

    @model_validator(mode="after")
    def _has_rules(self) -> RulesDocument:
        if self.rules is None and self.output_rules is None:
            msg = "neither `rules` nor `output_rules`"
            raise ValueError(msg)
        return self


def _refuse_empty(form: _Form) -> None:
    if not form.model_dump(exclude_none=True):
        msg = "empty"
        raise ValueError(msg)


def _misfits(rule: _Rule) -> Iterator[str]:
    """What a rule says that does not go with its decision."""
    match = rule.match
    if match is not None and match.unless is not None and rule.unless is not None:
        yield "`not` is said twice: in `match` and beside it"
    if match is not None and match.when is not None and rule.when is not None:
        yield "`when` is said twice: in `match` and beside it"
    if (rule.decision == Verdict.THROTTLE) is not (rule.throttle is not None):
        yield "`throttle` goes with the decision `throttle`, and that with it"
    for name in ("approvers", "severity"):
        if getattr(rule, name) is not None and not rule.holds():
            yield f"`{name}` goes with `require_approval`, or with a throttle whose `over` is `hold`"
    if rule.decision == Verdict.ALLOW_WITH_CONSTRAINTS and rule.constraints is None:
        yield "`allow_with_constraints` without `constraints`"
    if rule.constraints is not None and rule.decision in (Verdict.ALLOW, Verdict.DENY):
        yield f"`constraints` do not go with `{rule.decision}`; to allow with them say `allow_with_constraints`"
    if rule.remediations and rule.decision in ALLOWING:
        yield "`remediations` are for what is denied, held or throttled"


def _without_value(data: Any, where: Place) -> Iterator[tuple[Place, str]]:
    """A key with nothing behind it: most likely its lines were lost, and left out it would widen a rule."""
    items = data.items() if isinstance(data, Mapping) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        if value is None:
            yield (*where, key), "no value"
        else:
            yield from _without_value(value, (*where, key))


def _repeated(document: RulesDocument) -> Iterator[tuple[Place, str]]:
    ids: list[tuple[Place, str]] = []
    for position, rule in enumerate(document.rules or ()):
        ids.append((("rules", position, "id"), rule.id))
        offered = enumerate(rule.remediations or ())
        yield from _twice((("rules", position, "remediations", place, "id"), item.id) for place, item in offered)
    ids.extend((("output_rules", position, "id"), rule.id) for position, rule in enumerate(document.output_rules or ()))
    yield from _twice(ids)


def _twice(ids: Iterable[tuple[Place, str]]) -> Iterator[tuple[Place, str]]:
    seen: set[str] = set()
    for place, name in ids:
        if name in seen:
            yield place, f"the id `{name}` is taken twice"
        seen.add(name)


def _seconds(duration: str) -> int:
    return cast(int, duration)


def _label_values(labels: dict[str, list[str]] | None) -> tuple[tuple[str, frozenset[str]], ...]:
    return tuple((key, frozenset(wanted)) for key, wanted in (labels or {}).items())


def _rate_limit(rate: _Throttle) -> RateLimit:
    keys = tuple(name for name in THROTTLE_KEYS if name == "tenant" or name in rate.key)
    return RateLimit(limit=rate.limit, per_s=_seconds(rate.per), key=keys, over=Over(rate.over))


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
    "bool_type": "`true` or `false` is expected",
    "too_short": "empty",
}
