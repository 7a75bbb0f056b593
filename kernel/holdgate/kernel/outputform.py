"""The forms of what a rules file says of outputs: rules, findings to let through, destinations, detectors, modes.

What always holds: what loads can be decided by and looked with: classes and modes are known, nothing lets through what
is always quarantined, every pattern of a detector is one that `patterns` passes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, Field, model_validator

from holdgate.kernel import limits, outputrules
from holdgate.kernel.dataclass import DataClass
from holdgate.kernel.detectors import CATEGORIES, DETECTOR_ID, KEYWORD_CHARS_MAX, PREFIX
from holdgate.kernel.detectors import Detector as FrozenDetector
from holdgate.kernel.forms import Form, label_values
from holdgate.kernel.outputrules import FLOOR, Mode, OutputVerdict
from holdgate.kernel.patterns import BEFORE_BYTES_MAX, MATCH_BYTES_MAX, NEAR_BYTES_MAX, pattern_problems
from holdgate.kernel.records import Severity
from holdgate.kernel.ruletypes import (
    SOME,
    DestinationName,
    Fingerprint,
    Instant,
    Labels,
    Names,
    Pattern,
    Reason,
    RuleId,
    Tags,
    Values,
    milliseconds,
    one_of,
    printable,
    shape,
)

_Class: TypeAlias = Annotated[str, one_of(tuple(DataClass), "data class")]
_SeverityName: TypeAlias = Annotated[str, one_of(tuple(Severity), "severity")]
_Topics: TypeAlias = Annotated[list[Pattern], SOME]
_Text: TypeAlias = Annotated[str, Field(min_length=1, max_length=1000)]
_PatternTexts: TypeAlias = Annotated[list[_Text], Field(max_length=limits.DETECTOR_WORDS_MAX)]
_ExampleTexts: TypeAlias = Annotated[list[_Text], Field(min_length=1, max_length=limits.DETECTOR_EXAMPLES_MAX)]
ENTROPY_MAX = 8.0


class OutputMatch(Form):
    """Which findings a rule is for, and of which outputs."""

    categories: Tags | None = None
    detectors: Tags | None = None
    severities: Tags | None = None
    severity_min: _SeverityName | None = None
    topics: _Topics | None = None
    labels: Labels | None = None
    classifications: Values | None = None
    tenants: Names | None = None
    destinations: Annotated[list[DestinationName], SOME] | None = None
    data_classes: Annotated[list[_Class], SOME] | None = None

    @model_validator(mode="after")
    def _says_severity_once(self) -> OutputMatch:
        if self.severities and self.severity_min:
            msg = "`severities` and `severity_min` are two ways to say one thing; keep one"
            raise ValueError(msg)
        return self

    def asked_severities(self) -> frozenset[str]:
        """The severities, whichever way they were said."""
        if self.severity_min is None:
            return frozenset(self.severities or ())
        order = list(Severity)
        return frozenset(map(str, order[order.index(Severity(self.severity_min)) :]))


class OutputRule(Form):
    """What to do with findings, or with whole outputs."""

    id: RuleId
    verdict: Annotated[str, one_of(tuple(OutputVerdict), "verdict")]
    reason: Reason
    match: OutputMatch | None = None

    def frozen(self, bundle: str) -> outputrules.OutputRule:
        """As the kernel holds it."""
        match = self.match or OutputMatch()
        return outputrules.OutputRule(
            id=self.id,
            bundle=bundle,
            verdict=OutputVerdict(self.verdict),
            reason=self.reason,
            categories=frozenset(match.categories or ()),
            detectors=frozenset(match.detectors or ()),
            severities=match.asked_severities(),
            topics=tuple(match.topics or ()),
            labels=label_values(match.labels),
            classifications=frozenset(match.classifications or ()),
            tenants=frozenset(match.tenants or ()),
            destinations=frozenset(match.destinations or ()),
            data_classes=frozenset(match.data_classes or ()),
        )


class AllowFinding(Form):
    """Findings to let through for a while."""

    id: RuleId
    reason: Reason
    expires: Instant
    detectors: Tags | None = None
    categories: Tags | None = None
    topics: _Topics | None = None
    labels: Labels | None = None
    tenants: Names | None = None
    fingerprints: Annotated[list[Fingerprint], Field(min_length=1, max_length=limits.FINGERPRINTS_MAX)] | None = None

    @model_validator(mode="after")
    def _lets_something_through(self) -> AllowFinding:
        if self.detectors is None and self.categories is None:
            msg = "`detectors` or `categories` is required: nobody lets through whatever there may be"
            raise ValueError(msg)
        kept = sorted(FLOOR.intersection(self.categories or ()))
        if kept:
            msg = f"`{kept[0]}` is always quarantined; nothing lets it through"
            raise ValueError(msg)
        return self

    def frozen(self, bundle: str) -> outputrules.AllowFinding:
        """As the kernel holds it."""
        return outputrules.AllowFinding(
            id=self.id,
            bundle=bundle,
            reason=self.reason,
            expires_ms=milliseconds(self.expires),
            detectors=frozenset(self.detectors or ()),
            categories=frozenset(self.categories or ()),
            topics=tuple(self.topics or ()),
            labels=label_values(self.labels),
            tenants=frozenset(self.tenants or ()),
            fingerprints=frozenset(self.fingerprints or ()),
        )


class Destination(Form):
    """The class of a destination, for some tenants and topics."""

    data_class: _Class = Field(alias="class")
    tenants: Names | None = None
    topics: _Topics | None = None

    def frozen(self, name: str, bundle: str) -> outputrules.Destination:
        """As the kernel holds it."""
        tenants, topics = frozenset(self.tenants or ()), tuple(self.topics or ())
        return outputrules.Destination(name, bundle, DataClass(self.data_class), tenants, topics)


_ClassOrMore: TypeAlias = Annotated[
    Destination,
    BeforeValidator(
        lambda value: {"class": value} if isinstance(value, str) else value, json_schema_input_type=_Class | Destination
    ),
]
Destinations: TypeAlias = Annotated[
    dict[DestinationName, _ClassOrMore], Field(min_length=1, max_length=limits.DESTINATIONS_PER_BUNDLE_MAX)
]


class DetectorMode(Form):
    """What becomes of what a detector finds."""

    detector: Annotated[str, shape(DETECTOR_ID, "the id of a detector")]
    mode: Annotated[str, one_of(tuple(Mode), "mode")]
    reason: Reason | None = None
    expires: Instant | None = None
    tenants: Names | None = None
    topics: _Topics | None = None

    @model_validator(mode="after")
    def _says_why(self) -> DetectorMode:
        if self.mode == Mode.IGNORE and self.reason is None:
            msg = "`ignore` needs a `reason`"
            raise ValueError(msg)
        return self

    def frozen(self, bundle: str) -> outputrules.DetectorMode:
        """As the kernel holds it."""
        return outputrules.DetectorMode(
            detector=self.detector,
            bundle=bundle,
            mode=Mode(self.mode),
            reason=self.reason or "",
            expires_ms=None if self.expires is None else milliseconds(self.expires),
            tenants=frozenset(self.tenants or ()),
            topics=tuple(self.topics or ()),
        )


class Examples(Form):
    """Texts that a detector must find and must leave alone; `%{PATTERN}` stands for a text that is made."""

    true: _ExampleTexts
    false: _ExampleTexts


class Detector(Form):
    """One pattern and what its matches are."""

    id: Annotated[str, shape(DETECTOR_ID, "an id of a-z, 0-9, `.`, `_` and `-`")]
    category: Annotated[str, one_of(CATEGORIES, "category")]
    severity: _SeverityName
    regex: _Text
    max_len: int = Field(ge=1, le=MATCH_BYTES_MAX)
    anchor: _Text | None = None
    before: int = Field(0, ge=0, le=BEFORE_BYTES_MAX)
    group: int | None = Field(None, ge=0)
    keywords: list[Annotated[str, printable(KEYWORD_CHARS_MAX)]] = Field([], max_length=limits.DETECTOR_WORDS_MAX)
    context: _Text | None = None
    near: int = Field(64, ge=1, le=NEAR_BYTES_MAX)
    entropy: float = Field(0.0, ge=0.0, le=ENTROPY_MAX)
    stop: _PatternTexts = Field([])
    examples: Examples
    docs: Annotated[str, printable(500)] | None = None
    tenants: Names | None = None
    topics: _Topics | None = None

    @model_validator(mode="before")
    @classmethod
    def _is_custom(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and isinstance(value.get("id"), str) and not value["id"].startswith(PREFIX):
            msg = f"the id of a detector of a bundle begins with `{PREFIX}`, so that it is never one that is built in"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _can_be_looked_with(self) -> Detector:
        found = pattern_problems(
            self.regex,
            self.max_len,
            anchor=self.anchor,
            before=self.before,
            group=self.group,
            context=self.context,
            near=self.near,
            stop=tuple(self.stop),
        )
        problems = [f"`{name}`: {why}" for name, why in found]
        if not all(word.isascii() for word in self.keywords):
            problems.append("`keywords`: ASCII is expected")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def frozen(self, bundle: str) -> FrozenDetector:
        """As the kernel holds it."""
        return FrozenDetector(
            id=self.id,
            bundle=bundle,
            category=self.category,
            severity=Severity(self.severity),
            regex=self.regex,
            max_len=self.max_len,
            anchor=self.anchor,
            before=self.before,
            group=self.group,
            keywords=tuple(word.lower() for word in self.keywords),
            context=self.context,
            near=self.near,
            entropy=self.entropy,
            stop=tuple(self.stop),
            tenants=tuple(sorted(set(self.tenants or ()))),
            topics=tuple(self.topics or ()),
            examples=(tuple(self.examples.true), tuple(self.examples.false)),
        )
