"""The one parser of rules documents: plain data → checked, frozen rules.

What always holds: every key is known, every topic, name, time and expression is valid, or the whole document is refused
with each problem and its place. No rule is ever skipped. No IO.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, cast

from pydantic import Field, ValidationError, model_validator

from holdgate.kernel import limits, outputform
from holdgate.kernel.approverform import Approvers
from holdgate.kernel.canonical import digest
from holdgate.kernel.conditions import Condition
from holdgate.kernel.errors import PolicyInvalid
from holdgate.kernel.forms import Form, Place, in_our_words, label_values, refuse_empty, twice, without_value
from holdgate.kernel.ids import Digest
from holdgate.kernel.match import Match
from holdgate.kernel.records import (
    ALLOWING,
    NO_CONSTRAINTS,
    ApprovalRequirement,
    Constraints,
    Over,
    Remediation,
    Severity,
    Verdict,
)
from holdgate.kernel.rules import BundleRules, Combining, RateLimit, Rule
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
    seconds,
)

THROTTLE_KEYS = ("tenant", "actor", "topic", "capability")
_RUNTIME_S_MAX = 30 * 86_400


def parse_rules(data: Mapping[str, Any], bundle: str) -> BundleRules:
    """The rules of a document; PolicyInvalid with the place and the reason of every problem found."""
    problems = list(without_value(data, ()))
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
        allow_findings=tuple(item.frozen(bundle) for item in document.allow_findings or ()),
        destinations=tuple(item.frozen(name, bundle) for name, item in (document.destinations or {}).items()),
        detectors=tuple(item.frozen(bundle) for item in document.detectors or ()),
        detector_modes=tuple(item.frozen(bundle) for item in document.detector_modes or ()),
    )


def definition_of(bundle: str, written: Any) -> Digest:
    """The digest that names a rule as it is written, in the bundle of that name."""
    return digest({"bundle": bundle, "rule": written})


class _Mcp(Form):
    servers: Values | None = None
    tools: Values | None = None
    resources: Values | None = None
    actions: Values | None = None

    @model_validator(mode="after")
    def _says_something(self) -> _Mcp:
        refuse_empty(self)
        return self


class _Match(Form):
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
            labels=label_values(self.labels),
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
        refuse_empty(self)
        return self


class _RuleMatch(_Match):
    unless: _Not | None = Field(None, alias="not")
    when: ConditionText | None = None


class _Throttle(Form):
    limit: int = Field(ge=1, le=1_000_000)
    per: Seconds
    key: list[Annotated[str, one_of(THROTTLE_KEYS, "key")]] = Field(["tenant"], max_length=len(THROTTLE_KEYS))
    over: Annotated[str, one_of(tuple(Over), "way")] = Over.REJECT


class _Constraints(Form):
    max_runtime_s: int | None = Field(None, ge=1, le=_RUNTIME_S_MAX)
    max_output_bytes: int | None = Field(None, ge=0, le=limits.ENVELOPE_BYTES_MAX)
    max_attempts: int | None = Field(None, ge=1, le=limits.ATTEMPTS_MAX)
    max_concurrency: int | None = Field(None, ge=1, le=100_000)
    network: Texts | None = None
    paths: Texts | None = None
    env: Texts | None = None

    @model_validator(mode="after")
    def _says_something(self) -> _Constraints:
        refuse_empty(self)
        return self

    def frozen_constraints(self) -> Constraints:
        known: dict[str, Any] = self.model_dump(exclude_none=True)
        values: dict[str, Any] = {k: tuple(sorted(set(v))) if isinstance(v, list) else v for k, v in known.items()}
        return Constraints(**values)


class _Remediation(Form):
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


class _Rule(Form):
    id: RuleId
    decision: Annotated[str, one_of(tuple(Verdict), "decision")]
    reason: Reason
    severity: Annotated[str, one_of(tuple(Severity), "severity")] | None = None
    match: _RuleMatch | None = None
    unless: _Not | None = Field(None, alias="not")
    when: ConditionText | None = None
    approvers: Approvers | None = None
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
        if not self.holds():
            return None
        severity = Severity(self.severity or Severity.MEDIUM)
        return (self.approvers or Approvers()).requirement(self.id, severity, self.reason, definition)


CONTENTS = ("rules", "output_rules", "allow_findings", "destinations", "detectors", "detector_modes")
"""The keys of a rules file of which it has at least one."""


class RulesDocument(Form):
    """The form of a rules file. `parse_rules` makes rules of it; the schema for editors is made of it."""

    combining: Annotated[str, one_of(tuple(Combining), "way of combining")] = Combining.DENY_OVERRIDES
    rules: Annotated[list[_Rule], Field(max_length=limits.RULES_MAX)] | None = None
    output_rules: Annotated[list[outputform.OutputRule], Field(max_length=limits.RULES_MAX)] | None = None
    allow_findings: (
        Annotated[list[outputform.AllowFinding], Field(max_length=limits.ALLOW_FINDINGS_PER_BUNDLE_MAX)] | None
    ) = None
    destinations: outputform.Destinations | None = None
    detectors: Annotated[list[outputform.Detector], Field(max_length=limits.DETECTORS_PER_BUNDLE_MAX)] | None = None
    detector_modes: (
        Annotated[list[outputform.DetectorMode], Field(max_length=limits.DETECTOR_MODES_PER_BUNDLE_MAX)] | None
    ) = None

    @model_validator(mode="after")
    def _has_rules(self) -> RulesDocument:
        if all(getattr(self, name) is None for name in CONTENTS):
            msg = f"none of {', '.join(f'`{name}`' for name in CONTENTS)}"
            raise ValueError(msg)
        return self


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


def _repeated(document: RulesDocument) -> Iterator[tuple[Place, str]]:
    ids: list[tuple[Place, str]] = []
    for position, rule in enumerate(document.rules or ()):
        ids.append((("rules", position, "id"), rule.id))
        offered = enumerate(rule.remediations or ())
        yield from twice((("rules", position, "remediations", place, "id"), item.id) for place, item in offered)
    for name in ("output_rules", "allow_findings", "detectors"):
        ids.extend(((name, position, "id"), item.id) for position, item in enumerate(getattr(document, name) or ()))
    yield from twice(ids)


def _rate_limit(rate: _Throttle) -> RateLimit:
    keys = tuple(name for name in THROTTLE_KEYS if name == "tenant" or name in rate.key)
    return RateLimit(limit=rate.limit, per_s=seconds(rate.per), key=keys, over=Over(rate.over))
