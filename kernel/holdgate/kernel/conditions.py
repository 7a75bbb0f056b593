"""`when`: expressions of the Common Expression Language over `job`, `actor`, `principal` and `now`.

    job        the fields in `JOB_VALUES`; one that is not set is null; times are text: `timestamp(job.run_at) > now`
    actor      string
    principal  list of strings: on whose behalf, the most direct first
    now        timestamp

What always holds: an expression is parsed, type-checked and bounded when it is loaded; evaluating one gives true, false
or an error text, never an exception; an error text holds names that the rule's author wrote and nothing of the job.
A payload that is not at hand, or too large to look through, is an error and not an absence. What all conditions of a
decision may cost together is bounded by an estimate that is the same wherever the decision is made: what comes beyond
is not evaluated, which is an error likewise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import re2
from cel_expr_python import cel

from holdgate.kernel import limits
from holdgate.kernel.canonical import Json, parse_json
from holdgate.kernel.clock import rfc3339
from holdgate.kernel.cost import Cost, Sizes, cost_of
from holdgate.kernel.errors import InvalidInput, MalformedJson
from holdgate.kernel.expression import Shape, shape_of, tree_of
from holdgate.kernel.records import Job

JOB_VALUES: dict[str, tuple[str, Callable[[Job], Any]]] = {
    "tenant": ("tenant", lambda job: job.tenant),
    "topic": ("topic", lambda job: job.topic),
    "prompt": ("prompt", lambda job: job.prompt),
    "labels": ("labels", lambda job: dict(job.labels)),
    "capability": ("capability", lambda job: job.capability),
    "risk_tags": ("risk_tags", lambda job: list(job.risk_tags)),
    "requires": ("requires", lambda job: list(job.requires)),
    "pool": ("pool", lambda job: job.pool),
    "priority": ("priority", lambda job: str(job.priority)),
    "concurrency_key": ("concurrency_key", lambda job: job.concurrency_key),
    "run_at": ("run_at_ms", lambda job: _time_text(job.run_at_ms)),
    "deadline": ("deadline_ms", lambda job: _time_text(job.deadline_ms)),
    "max_attempts": ("max_attempts", lambda job: job.max_attempts),
    "actor": ("actor", lambda job: job.actor),
    "actor_type": ("actor_type", lambda job: job.actor_type),
    "principals": ("principals", lambda job: list(job.principals)),
    "secrets_present": ("secrets_present", lambda job: job.secrets_present),
    "pii_present": ("pii_present", lambda job: job.pii_present),
    "remediation_of": ("remediation_of", lambda job: job.remediation_of),
    "secrets": ("secrets", lambda job: list(job.secrets)),
}
"""What `job` has in an expression, beside `payload`: the field of the record behind it, and its value."""
PAYLOAD = "payload"
ALL_READS = frozenset({PAYLOAD, *(read for read, _ in JOB_VALUES.values())})
TOO_COSTLY = "this decision's conditions cost too much"
_PARSE_NODE_NS, _PARSE_BYTE_NS = 500, 7
"""What making a payload ready costs, once for all conditions."""
_VARIABLE_READS = {"actor": "actor", "principal": "principals"}
_KEY = re.compile(r'Key not found in map : "(.*)"\Z', re.DOTALL)
_ERRORS = (
    ("No matching overload", "an operation does not fit the types of its values"),
    ("no matching overload", "an operation does not fit the types of its values"),
    ("regular expression", "a regular expression is not valid"),
    ("budget", "it looks at too much"),
    ("Index error", "an index is out of range"),
    ("divide by zero", "a division by zero"),
    ("modulus by zero", "a division by zero"),
    ("overflow", "a number is out of range"),
    ("convert", "a value cannot be converted"),
)


@dataclass(frozen=True, slots=True)
class Condition:
    """A checked expression. `reads`: fields of the job record; `reads_now`: its answer changes with time alone."""

    source: str
    reads: frozenset[str]
    reads_now: bool
    nested: bool
    """One macro stands in another."""
    names: frozenset[str] = field(repr=False)
    cost: Cost = field(compare=False, repr=False)
    program: Any = field(compare=False, repr=False)


def _new_env() -> Any:
    kinds = cel.Type
    return cel.NewEnv(
        variables={
            "job": kinds.Map(kinds.STRING, kinds.DYN),
            "actor": kinds.STRING,
            "principal": kinds.List(kinds.STRING),
            "now": kinds.TIMESTAMP,
        }
    )


_ENV = _new_env()
_QUIET = re2.Options()
_QUIET.log_errors = False


def parse_condition(source: str) -> Condition:
    """The condition of `source`; InvalidInput with the reason when it does not check or is beyond a limit."""
    if len(source) > limits.EXPRESSION_CHARS_MAX:
        raise InvalidInput(f"longer than {limits.EXPRESSION_CHARS_MAX} characters")
    try:
        program = _ENV.compile(source)
        kind = program.return_type()
        serialized = program.serialize()
        shape = shape_of(serialized)
    except (RuntimeError, ValueError) as error:
        raise InvalidInput(_first_line(str(error))) from error
    if kind not in (cel.Type.BOOL, cel.Type.DYN):
        raise InvalidInput(f"gives {kind.name()}, not bool")
    _check_bounds(shape)
    _check_names(shape)
    cost = cost_of(tree_of(serialized))
    if cost.of(Sizes(1, 0, 0, 0)) > limits.EVALUATION_COST_MAX:
        raise InvalidInput("it costs more than a whole decision may, whatever the job: simplify its expressions")
    return Condition(
        source=source,
        reads=_reads(shape),
        reads_now="now" in shape.variables,
        nested=shape.nesting > 1,
        names=frozenset(shape.names),
        cost=cost,
        program=program,
    )


class Context:
    """The values of one job for conditions, made on first use. `now_ms` is the time of the decision.

    `cost_max`: what all conditions that are asked may cost together.
    """

    __slots__ = ("_bare", "_cost_left", "_full", "_job", "_now_ms", "_payload", "_sizes", "_why_not")

    def __init__(self, job: Job, now_ms: int, *, cost_max: int = limits.EVALUATION_COST_MAX) -> None:
        self._job = job
        self._now_ms = now_ms
        self._cost_left = cost_max
        self._sizes: dict[tuple[frozenset[str], int], Sizes] = {}
        self._payload: _Payload | None = None
        self._bare: Any = None
        self._full: Any = None
        self._why_not: str | None = None

    @property
    def is_spent(self) -> bool:
        """A condition was not evaluated since it would have cost more than was left; so is none after it."""
        return self._cost_left < 0

    def test(self, condition: Condition) -> bool | str:
        """True or false, or as text why there is no answer."""
        if self._cost_left < 0:
            return TOO_COSTLY
        try:
            if condition.nested:
                _check_size(condition, self._job)
            self._spend(condition)
            values = self._with_payload() if PAYLOAD in condition.reads else self._without_payload()
            answer = condition.program.eval(values)
            result = answer.value()
            failed = answer.type() == cel.Type.ERROR
        except InvalidInput as error:
            return str(error)
        except Exception as error:  # noqa: BLE001  whatever the library fails with counts as no answer, which denies
            return _describe(str(error), condition.names)
        if type(result) is bool:
            return result
        return _describe(str(result), condition.names) if failed else "it does not give a bool"

    def _spend(self, condition: Condition) -> None:
        key = (condition.reads, condition.cost.items)
        sizes = self._sizes.get(key)
        if sizes is None:
            payload = self._looked_at() if PAYLOAD in condition.reads else None
            sizes = self._sizes[key] = _sizes(self._job, condition, payload)
        self._cost_left -= condition.cost.of(sizes)
        if self._cost_left < 0:
            raise InvalidInput(TOO_COSTLY)

    def _without_payload(self) -> Any:
        if self._bare is None:
            self._bare = self._activation({})
        return self._bare

    def _with_payload(self) -> Any:
        if self._full is None:
            self._full = self._activation({PAYLOAD: self._looked_at().value})
        return self._full

    def _looked_at(self) -> _Payload:
        if self._why_not is not None:
            raise InvalidInput(self._why_not)
        if self._payload is None:
            try:
                self._payload = _payload(self._job)
            except InvalidInput as error:
                self._why_not = str(error)  # found out once, and not again for each of thousands of rules
                raise
            self._cost_left -= self._payload.nodes * _PARSE_NODE_NS + self._payload.all_bytes * _PARSE_BYTE_NS
        return self._payload

    def _activation(self, more: dict[str, Any]) -> Any:
        job = self._job
        values = {name: value(job) for name, (_, value) in JOB_VALUES.items()}
        values.update(more)
        return _ENV.Activation(
            {
                "job": values,
                "actor": job.actor,
                "principal": values["principals"],
                "now": datetime.fromtimestamp(self._now_ms / 1000, UTC),
            }
        )


def _check_size(condition: Condition, job: Job) -> None:
    prompt = job.prompt if "prompt" in condition.reads else None
    payload = job.payload if PAYLOAD in condition.reads else None
    if len(prompt or "") + len(payload or b"") > limits.EXPRESSION_NESTED_BYTES_MAX:
        raise InvalidInput("the prompt or payload is too large for macros inside macros")


@dataclass(frozen=True, slots=True)
class _Payload:
    """A payload as values, and its sizes: all values in it, items of its longest list, bytes of its longest text."""

    value: Json
    nodes: int
    items: int
    text_bytes: int
    all_bytes: int


def _payload(job: Job) -> _Payload:
    """The payload as values; InvalidInput when it is not at hand, too large to look through, or has a NUL in a text."""
    if job.payload is None:
        raise InvalidInput("the payload is not at hand")
    if len(job.payload) > limits.EXPRESSION_PAYLOAD_BYTES_MAX:
        raise InvalidInput(f"the payload has more than {limits.EXPRESSION_PAYLOAD_BYTES_MAX} bytes")
    try:
        payload = parse_json(job.payload)
    except MalformedJson as error:
        raise InvalidInput("the payload cannot be read") from error
    has_nul = b"\\u0000" in job.payload  # the one way in which JSON can write it
    nodes = items = chars = 0
    pending = [payload]
    while pending:
        value = pending.pop()
        nodes += 1
        if has_nul and _is_cut_short(value):
            raise InvalidInput("the payload has a text with a character of value zero")
        if isinstance(value, str):
            chars = max(chars, len(value))
        elif isinstance(value, (list, dict)):
            items = max(items, len(value))
            if items > limits.EXPRESSION_LIST_ITEMS_MAX:
                raise InvalidInput(f"the payload has a list of more than {limits.EXPRESSION_LIST_ITEMS_MAX} items")
            if isinstance(value, dict):
                chars = max(chars, max(map(len, value), default=0))
            pending.extend(value if isinstance(value, list) else value.values())
        if nodes + len(pending) > limits.EXPRESSION_NODES_MAX:
            raise InvalidInput(f"the payload has more than {limits.EXPRESSION_NODES_MAX} values")
    is_plain = job.payload.isascii()
    return _Payload(payload, nodes, items, chars if is_plain else chars * _CHAR_BYTES_MAX, len(job.payload))


_CHAR_BYTES_MAX = 4


def _sizes(job: Job, condition: Condition, payload: _Payload | None) -> Sizes:
    """The sizes of all that `condition` reads of the job."""
    items, longest, total, values = condition.cost.items, 0, 0, 0
    for read in condition.reads - {PAYLOAD}:
        texts = _texts(getattr(job, read))
        lengths = [len(text) if text.isascii() else len(text) * _CHAR_BYTES_MAX for text in texts]
        items, longest = max(items, len(lengths)), max(longest, *lengths, 0)
        total, values = total + sum(lengths), values + len(lengths)
    if payload is not None:
        items, longest = max(items, payload.items), max(longest, payload.text_bytes)
        total, values = total + payload.all_bytes, values + payload.nodes
    return Sizes(max(items, len(condition.reads)), longest, total, values)


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for item in value.items() for text in item]
    return list(value) if isinstance(value, (tuple, list)) else [_LONG_NUMBER]


_LONG_NUMBER = "2026-01-02T00:00:00.000Z"


def _is_cut_short(value: Json) -> bool:
    """Whether the library would see only the beginning of a text: it takes a NUL for its end, a worker does not."""
    texts = value if isinstance(value, dict) else [value]
    return any(isinstance(text, str) and "\0" in text for text in texts)


def _time_text(time_ms: int | None) -> str | None:
    return None if time_ms is None else rfc3339(time_ms)


def _check_bounds(shape: Shape) -> None:
    if shape.macros > limits.EXPRESSION_MACROS_MAX:
        raise InvalidInput(f"more than {limits.EXPRESSION_MACROS_MAX} of `all`, `exists`, `map` and `filter`")
    if shape.nesting > limits.EXPRESSION_NESTING_MAX:
        raise InvalidInput(f"`all`, `exists`, `map` and `filter` nested deeper than {limits.EXPRESSION_NESTING_MAX}")
    if shape.additions > limits.EXPRESSION_ADDITIONS_MAX:
        raise InvalidInput(f"more than {limits.EXPRESSION_ADDITIONS_MAX} additions")


def _check_names(shape: Shape) -> None:
    for name in sorted(shape.job_fields - {PAYLOAD, *JOB_VALUES}):
        raise InvalidInput(f"a job has no `{name}`; it has {', '.join(sorted([PAYLOAD, *JOB_VALUES]))}")
    for pattern in shape.patterns:
        if len(pattern) > limits.EXPRESSION_PATTERN_CHARS_MAX:
            raise InvalidInput(f"a regular expression is longer than {limits.EXPRESSION_PATTERN_CHARS_MAX} characters")
        try:
            re2.compile(pattern, _QUIET)
        except re2.error as error:
            raise InvalidInput("a regular expression is not valid") from error


def _reads(shape: Shape) -> frozenset[str]:
    if shape.whole_job:
        return ALL_READS
    reads = {read for name, read in _VARIABLE_READS.items() if name in shape.variables}
    reads.update(PAYLOAD if name == PAYLOAD else JOB_VALUES[name][0] for name in shape.job_fields)
    return frozenset(reads)


def _first_line(text: str) -> str:
    """The library's message without its prefix, its picture of the place and its status code."""
    line = text.removeprefix("INVALID_ARGUMENT: ").split("\n", 1)[0].removesuffix(" [INVALID_ARGUMENT]")
    return line.removeprefix("ERROR: ").replace("<input>:", "at ", 1)


def _describe(error: str, names: frozenset[str]) -> str:
    """The library's error without values of the job."""
    key = _KEY.search(error)
    if key is not None:
        return f"`{key[1]}` is not there" if key[1] in names else "a key is not there"
    return next((text for part, text in _ERRORS if part in error), "it cannot be evaluated")
