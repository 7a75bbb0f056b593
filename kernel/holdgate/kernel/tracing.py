"""Spans: what was done for a job, when, and how it ended, as one trace from submit to verdict.

What always holds: without a sink nothing is made and a call costs one comparison; a span holds ids, names and numbers
of `ATTRIBUTES`, never a payload, a prompt, a label or an output; what goes wrong in a sink changes nothing for the job.

A trace is known by the `trace_id` of its job (W3C Trace Context). Spans that others hang below have ids that follow
from the job, so that each process knows its parent without being told: no record has to carry more than it does.

    POST /api/v1/jobs ─┬─ decide, kernel.decide     (`root_of(job)`; below the span of the caller, where it has one)
                       ├─ accept, publish
                       ├─ queue                     (waiting, from acceptance to the first hand-off)
                       ├─ dispatch, kernel.permit
                       └─ run ── output             (`run_of(job, attempt)`)
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

import structlog

from holdgate.kernel.clock import wall_ns
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.tls import Plaintext, verify_private

log = structlog.get_logger("holdgate.tracing")

Value = str | int | bool
ATTRIBUTES = frozenset(
    {
        "http.request.method", "http.route", "http.response.status_code", "holdgate.attempt", "holdgate.code",
        "holdgate.findings", "holdgate.job_id", "holdgate.outcome", "holdgate.phase", "holdgate.pool", "holdgate.state",
        "holdgate.tenant", "holdgate.topic", "holdgate.verdict", "holdgate.worker",
    }
)  # fmt: skip
"""All that a span may say. A name that is not here is a fault of whoever uses it."""
VALUE_CHARS_MAX = 256
TRACEPARENT = "traceparent"
_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?\Z")
_TRACE_ID = re.compile(r"[0-9a-f]{32}\Z")
_NO_TRACE, _NO_SPAN = b"0" * 32, b"0" * 16
_SAMPLED_BITS = 64


class Kind(Enum):
    """Who does what a span says: this process for itself, for a caller, or by calling another."""

    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"
    PRODUCER = "producer"
    CONSUMER = "consumer"


@dataclass(frozen=True, slots=True)
class Context:
    """Where something belongs: a trace of 32 hex digits, and the span of 16 that it hangs below, if there is one."""

    trace_id: str
    span_id: str | None = None

    def header(self) -> str:
        """The value of `traceparent` for what is below this span."""
        if self.span_id is None:
            raise ValueError("nothing can be below a trace alone")
        return f"00-{self.trace_id}-{self.span_id}-{'01' if _sampler.takes(self.trace_id) else '00'}"


@dataclass(frozen=True, slots=True)
class Span:
    """Something done. Times are nanoseconds since the Unix epoch; `code` says how it failed, None: it did not."""

    name: str
    parent: Context
    span_id: str
    kind: Kind
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Value] = field(default_factory=dict)
    code: str | None = None
    link: Context | None = None


Sink = Callable[[Span], None]


@dataclass(frozen=True, slots=True)
class Sampler:
    """Which traces are kept: a share of them, the same ones in every process, by the lower half of their id."""

    ratio: float = 1.0

    def takes(self, trace_id: str) -> bool:
        """Whether spans of this trace are kept; not those of what is no trace."""
        if _TRACE_ID.match(trace_id) is None:
            return False
        return int(trace_id[16:], 16) < int(self.ratio * (1 << _SAMPLED_BITS))


@dataclass(frozen=True, slots=True)
class Collector:
    """Where spans go. `endpoint`: its base URL, such as `http://collector:4318`; `headers`: `Name: value` each, as it
    asks for them; `ratio`: the share of traces that is kept; `plaintext`: where it may be without TLS."""

    endpoint: str
    headers: Sequence[bytes] = ()
    ratio: float = 1.0
    plaintext: Plaintext = "loopback"

    def pairs(self) -> dict[str, str]:
        """Headers by name; InvalidInput for a line that is none."""
        pairs: dict[str, str] = {}
        for line in self.headers:
            name, separator, value = line.decode("latin-1").partition(":")
            if not separator or not name.strip():
                raise InvalidInput("a header for the collector is written `Name: value`")
            pairs[name.strip()] = value.strip()
        return pairs

    def secrets(self) -> list[bytes]:
        """What no output may hold: the values of the headers, and what stands behind a scheme such as `Bearer`."""
        values = [value.encode("latin-1") for value in self.pairs().values()]
        return [*values, *(value.rpartition(b" ")[2] for value in values if b" " in value)]


_sink: Sink | None = None
_sampler = Sampler(0.0)


def set_sink(sink: Sink | None, sampler: Sampler | None = None) -> None:
    """Where spans of this process go; None: nowhere."""
    global _sink, _sampler
    _sink = sink
    _sampler = Sampler(0.0) if sink is None else sampler or Sampler()


@contextlib.contextmanager
def exporting(collector: Collector | None, service: str) -> Iterator[None]:
    """Sends the spans of this process to `collector` until the end of the block; None: nothing is made, or loaded.

    InvalidInput where that cannot be.
    """
    if collector is None:
        yield
        return
    verify_private([collector.endpoint], collector.plaintext)
    try:
        from holdgate.kernel.otlp import Export
    except ImportError as error:
        raise InvalidInput("spans need `pip install 'holdgate[tracing]'`, or no endpoint to go to") from error
    export = Export(collector, service)
    try:
        yield
    finally:
        export.stop()


def start() -> int:
    """When something begins: nanoseconds since the epoch, 0 where nothing is traced."""
    return 0 if _sink is None else wall_ns()


def record(  # noqa: PLR0913  by name, each of them
    name: str,
    parent: Context,
    started_ns: int,
    *,
    kind: Kind = Kind.INTERNAL,
    span_id: str | None = None,
    attributes: Mapping[str, Value] | None = None,
    code: str | None = None,
    link: Context | None = None,
    ended_ns: int | None = None,
) -> None:
    """Say that `name` was done, from `started_ns` (of `start`) until now. Nothing where that is 0, or not sampled."""
    sink = _sink
    if sink is None or not started_ns or not _sampler.takes(parent.trace_id):
        return
    shown = _checked(attributes or {})
    span = Span(
        name=name,
        parent=parent,
        span_id=span_id or os.urandom(8).hex(),
        kind=kind,
        start_ns=started_ns,
        end_ns=max(started_ns, wall_ns() if ended_ns is None else ended_ns),
        attributes=shown,
        code=code,
        link=link,
    )
    try:
        sink(span)
    except Exception as error:  # noqa: BLE001  who only looks on can take nothing from who works
        log.error("a span was not taken", action="span_lost", error=type(error).__name__)  # noqa: TRY400  no texts


def is_on() -> bool:
    """Whether spans go anywhere."""
    return _sink is not None


def parse_traceparent(value: bytes) -> Context | None:
    """The context that a caller sends (W3C Trace Context, section 3.2); None where it is not valid."""
    match = _TRACEPARENT.match(value)
    if match is None or match[1] == b"ff" or match[2] == _NO_TRACE or match[3] == _NO_SPAN:
        return None
    return Context(match[2].decode(), match[3].decode())


def root_of(trace_id: str, job_id: str) -> Context:
    """The span of the request that brought a job in: everything that is done for the job hangs below it."""
    return Context(trace_id, _derived("job", job_id))


def run_of(trace_id: str, job_id: str, attempt: int) -> Context:
    """The span of one attempt's run."""
    return Context(trace_id, _derived("run", job_id, str(attempt)))


def _derived(*parts: str) -> str:
    return hashlib.sha256("\0".join(("holdgate.span", *parts)).encode()).hexdigest()[:16]


def _checked(attributes: Mapping[str, Value]) -> Mapping[str, Value]:
    unknown = attributes.keys() - ATTRIBUTES
    if unknown:
        raise ValueError(f"a span does not say {', '.join(sorted(unknown))}")
    return {name: value[:VALUE_CHARS_MAX] if isinstance(value, str) else value for name, value in attributes.items()}
