"""Files of tests: strict YAML → cases with their jobs, or every problem with its line. No IO.

    now: "2026-01-05T10:00:00Z"
    given: {tenant: acme, actor: agent-1, topic: job.deploy.apply}
    cases:
      - name: a write to production is held
        job: {labels: {env: prod}, capability: infra.write}
        expect: {verdict: require_approval, rules: [require-approval-prod-write]}
      - name: elsewhere it runs within bounds
        expect: {verdict: allow_with_constraints, constraints: {max_runtime_s: 600}}
        each:
          - {job: {labels: {env: dev}}}
          - {job: {labels: {env: test}}}
      - name: secrets are redacted
        output: {topic: job.x, findings: [{category: secret, severity: high, detector: aws_key}]}
        expect: {verdict: redact, rules: [redact-secrets]}

A `job` is the flat form of `POST /jobs` and of simulate, with `secrets_present` and `pii_present` as facts, since
nothing is scanned here. It is put over what is `given`, a row of `each` over its case: labels one by one, every other
field as a whole; `null` takes a field or a label back. What always holds: a case that cannot be read is a problem and
never left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias, TypeVar

from pydantic import Field, ValidationError

from holdgate.bundles.documents import Document, parse_document
from holdgate.bundles.errors import DocumentInvalid
from holdgate.bundles.simulate import ACTOR, ACTOR_TYPE, TENANT
from holdgate.bundles.testing.expected import Form, JobExpected, OutputExpected
from holdgate.kernel import limits
from holdgate.kernel.dataclass import DataClass
from holdgate.kernel.errors import FormInvalid
from holdgate.kernel.forms import Place, in_our_words
from holdgate.kernel.ids import JobId
from holdgate.kernel.jobform import Facts, Identity, parse_form, split_facts
from holdgate.kernel.match import MEASURED
from holdgate.kernel.output import CLASSIFICATION_LABEL, DESTINATION_LABEL, Finding, OutputFacts
from holdgate.kernel.records import Job
from holdgate.kernel.ruletypes import Fingerprint, Tag, one_of, printable

CASES_MAX = 20_000
"""In one file. About as many as the largest file holds, written plainly."""
PROBLEMS_MAX = 100
"""Problems of one file that are told."""
NAME_CHARS_MAX = 200
NOW = "2026-01-01T00:00:00Z"
"""When everything is decided where no `now` is said."""
LABELS = "labels"
FINDINGS = "findings"
_TIMES = ("run_at", "deadline")
OUTPUT_FIELDS = frozenset({"tenant", "topic", LABELS})
"""What an output rule sees of the job, beside the findings."""
MEASURED_OUTPUT = frozenset({FINDINGS, "input_class"})

Name: TypeAlias = Annotated[str, printable(NAME_CHARS_MAX)]
Values: TypeAlias = dict[str, Any]
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class JobCase:
    """A job at a time, and what is expected to be decided."""

    file: str
    name: str
    line: int
    job: Job
    now_ms: int
    expected: JobExpected


@dataclass(frozen=True, slots=True)
class OutputCase:
    """Facts about a result, and what is expected to become of it."""

    file: str
    name: str
    line: int
    facts: OutputFacts
    now_ms: int
    expected: OutputExpected


Case: TypeAlias = JobCase | OutputCase


class _Row(Form):
    name: Name | None = None
    now: str | None = None
    job: Values | None = None
    output: Values | None = None
    expect: Values | None = None


class _Case(_Row):
    name: Name
    each: Annotated[list[_Row], Field(min_length=1, max_length=CASES_MAX)] | None = None


class CasesFile(Form):
    """The form of a file of tests. `load_cases` makes cases of it; the schema for editors is made of it."""

    now: str = NOW
    given: Values = Field(default={})
    cases: Annotated[list[_Case], Field(min_length=1, max_length=CASES_MAX)]


class _Finding(Form):
    category: Tag
    severity: Tag
    detector: Tag
    fingerprints: list[Fingerprint] = Field(default=[], max_length=limits.FINGERPRINTS_MAX)


class _Output(Form):
    findings: list[_Finding] = Field(default=[], max_length=1000)
    input_class: Annotated[str, one_of(tuple(DataClass), "data class")] | None = None


def load_cases(name: str, data: bytes) -> list[Case]:
    """The cases of a file; DocumentInvalid with the line of every problem."""
    document = parse_document(name, data)
    if not isinstance(document.data, dict):
        raise DocumentInvalid(name, [(1, (), "a mapping with `cases` is expected")])
    problems: list[tuple[Place, str]] = list(_without_value(document.data))
    cases: list[Case] = []
    if not problems:
        try:
            cases = _Reader(document, CasesFile.model_validate(document.data), problems).read()
        except ValidationError as error:
            problems.extend(map(in_our_words, error.errors(include_url=False)))
    if problems:
        told = list(dict.fromkeys(problems))[:PROBLEMS_MAX]
        raise DocumentInvalid(name, [(document.line(place), place, why) for place, why in told])
    return cases


class _Reader:
    """Takes the cases of a checked file apart. Problems are collected, so that all of them can be told."""

    def __init__(self, document: Document, file: CasesFile, problems: list[tuple[Place, str]]) -> None:
        self._document = document
        self._file = file
        self._problems = problems

    def read(self) -> list[Case]:
        self._check_given()
        found: list[Case] = []
        names: set[str] = set()
        for name, place, rows in self._rows():
            if name in names:
                self._problems.append((place, f"a second case `{name}`; give it a name of its own"))
            names.add(name)
            case = self._case(name, place, rows)
            if case is not None:
                found.append(case)
        if len(names) > CASES_MAX:
            self._problems.append((("cases",), f"more than {CASES_MAX} cases"))
        return found

    def _check_given(self) -> None:
        """By itself too, since every case may put something else over it. Times only hold with that of a case."""
        given = {key: value for key, value in self._file.given.items() if key not in _TIMES}
        self._tried(("given",), _job, {"topic": "any", **given}, 0)

    def _rows(self) -> Iterator[tuple[str, Place, list[_Row]]]:
        """Every case: its name, its place, and what is put one over the other."""
        for number, case in enumerate(self._file.cases):
            place: Place = ("cases", number)
            if case.each is None:
                yield case.name, place, [case]
                continue
            for index, row in enumerate(case.each):
                yield f"{case.name} / {row.name or index + 1}", (*place, "each", index), [case, row]

    def _case(self, name: str, place: Place, rows: list[_Row]) -> Case | None:
        jobs = [row.job for row in rows if row.job is not None]
        outputs = [row.output for row in rows if row.output is not None]
        expect = {key: value for row in rows for key, value in (row.expect or {}).items()}
        now = next((row.now for row in reversed(rows) if row.now is not None), self._file.now)
        now_ms = self._tried(place, _now_ms, now)
        if bool(jobs) is bool(outputs):
            self._problems.append((place, "either `job` or `output` is expected"))
            return None
        if outputs:
            return self._output_case(name, place, outputs, expect, now_ms)
        expected = self._tried((*place, "expect"), JobExpected.model_validate, expect)
        job = self._tried((*place, "job"), _job, _over([self._file.given, *jobs]), now_ms or 0)
        if now_ms is None or expected is None or job is None:
            return None
        return JobCase(self._document.name, name, self._document.line(place), job, now_ms, expected)

    def _output_case(
        self, name: str, place: Place, outputs: list[Values], expect: Values, now_ms: int | None
    ) -> Case | None:
        given = {key: value for key, value in self._file.given.items() if key in OUTPUT_FIELDS}
        expected = self._tried((*place, "expect"), OutputExpected.model_validate, expect)
        facts = self._tried((*place, "output"), _output, _over([given, *outputs]))
        if expected is None or facts is None or now_ms is None:
            return None
        return OutputCase(self._document.name, name, self._document.line(place), facts, now_ms, expected)

    def _tried(self, at: Place, make: Callable[..., Made], *values: Any) -> Made | None:
        """What `make` makes of what stands at `at`; None, with the problems told, where it refuses."""
        try:
            return make(*values)
        except FormInvalid as error:
            self._problems.extend(self._in_form(field, why, at) for field, why in error.problems)
        except ValidationError as error:
            words = map(in_our_words, error.errors(include_url=False))
            self._problems.extend(((*at, *where), why) for where, why in words)
        return None

    def _in_form(self, field: str, why: str, at: Place) -> tuple[Place, str]:
        """A problem of the form, told where the field was written: in the case, or in `given`."""
        parts = tuple(int(part) if part.isdigit() else part for part in field.split("."))
        if (*at, parts[0]) in self._document.lines:
            return (*at, *parts), why
        if field == "now" and "now" in self._file.model_fields_set:
            return parts, why
        return (*(("given",) if parts[0] in self._file.given else at), *parts), why


def _now_ms(now: str) -> int:
    return split_facts({"now": now}).now_ms or 0


def _job(values: Mapping[str, Any], now_ms: int) -> Job:
    """The job of merged facts; FormInvalid."""
    problems = [(key, "an unknown key") for key in sorted({"now", "meta"} & values.keys())]
    measured = {name: values.get(name) for name in MEASURED}
    wrong = (name for name, value in measured.items() if value is not None and not isinstance(value, bool))
    problems.extend((name, "`true` or `false` is expected") for name in wrong)
    if problems:
        raise FormInvalid(problems)
    facts = split_facts({key: value for key, value in values.items() if key not in MEASURED})
    return parse_form(facts.form, now_ms=now_ms).job(
        identity=_identity(facts),
        job_id=JobId(facts.job_id or "case"),
        now_ms=now_ms,
        trace_id="",
        secrets_present=measured["secrets_present"] is True,
        pii_present=measured["pii_present"] is True,
    )


def _identity(facts: Facts) -> Identity:
    return Identity(
        facts.tenant or TENANT, facts.actor or ACTOR, facts.actor_type or ACTOR_TYPE, facts.principals or ()
    )


def _output(values: Mapping[str, Any]) -> OutputFacts:
    """The facts of a result; FormInvalid, ValidationError. Its classification is a label, as at the gate."""
    unknown = [(key, "an unknown key") for key in sorted(values.keys() - OUTPUT_FIELDS - MEASURED_OUTPUT)]
    if unknown:
        raise FormInvalid(unknown)
    measured = _Output.model_validate({key: value for key, value in values.items() if key in MEASURED_OUTPUT})
    facts = split_facts({key: value for key, value in values.items() if key in OUTPUT_FIELDS})
    form = parse_form(facts.form, now_ms=0)
    findings: list[Finding] = [(item.detector, item.category, item.severity) for item in measured.findings]
    return OutputFacts(
        tenant=facts.tenant or TENANT,
        topic=form.topic,
        labels=form.labels,
        classification=form.labels.get(CLASSIFICATION_LABEL),
        findings=tuple(findings),
        fingerprints=tuple(tuple(item.fingerprints) for item in measured.findings),
        destination=form.labels.get(DESTINATION_LABEL),
        input_class=measured.input_class,
    )


def _over(layers: Sequence[Values]) -> Values:
    """The layers one over the other: labels one by one, where null takes one back; all else as a whole."""
    merged: Values = {}
    labels: Values = {}
    for layer in layers:
        merged.update(layer)
        said = layer.get(LABELS)
        if isinstance(said, dict):
            labels.update(said)
    if isinstance(merged.get(LABELS), dict):
        merged[LABELS] = {key: value for key, value in labels.items() if value is not None}
    return merged


def _without_value(data: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """Keys with nothing behind them: a check whose lines were lost would be one that never fails.

    Not in what a job is made of, nor in expected constraints: there null says something.
    """
    pending: list[tuple[Place, Any]] = [((), data)]
    while pending:
        place, value = pending.pop()
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, item in items:
            if item is None:
                yield (*place, key), "no value"
            elif key not in ("job", "output", "given", "constraints"):
                pending.append(((*place, key), item))
