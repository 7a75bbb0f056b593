"""One call and its reply, and the row of the table that describes a call to the router and to OpenAPI alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from pydantic_core import to_json

from holdgate.kernel import tracing
from holdgate.kernel.canonical import Json
from holdgate.kernel.ids import Entropy
from holdgate.scheduler.api.body import Receive
from holdgate.scheduler.api.deps import Deps
from holdgate.scheduler.api.problems import PROBLEM_TYPE, Problem, invalid
from holdgate.scheduler.identity.keys import Role
from holdgate.scheduler.identity.principals import Principal

Header = tuple[bytes, bytes]
JSON_TYPE = "application/json"
QUERY_BYTES_MAX = 4096
SECURITY_HEADERS: tuple[Header, ...] = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
)
CSP_NOTHING: Header = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_JSON_HEADERS: tuple[Header, ...] = ((b"content-type", JSON_TYPE.encode()), CSP_NOTHING, *SECURITY_HEADERS)
_PROBLEM_HEADERS: tuple[Header, ...] = ((b"content-type", PROBLEM_TYPE.encode()), CSP_NOTHING, *SECURITY_HEADERS)
Write = Callable[[bytes], Awaitable[None]]
Stream = Callable[[Write], Awaitable[None]]


@dataclass(slots=True)
class RequestTrace:
    """The span of one request. `parent`: the caller's span in its trace, or a trace of our own."""

    parent: tracing.Context
    span_id: str | None = None
    job_id: str | None = None
    link: tracing.Context | None = None

    def brings(self, job_id: str) -> None:
        """Of this request comes the job: everything that is done for it hangs below this span."""
        self.job_id, self.span_id = job_id, tracing.root_of(self.parent.trace_id, job_id).span_id

    def speaks_of(self, job_id: str, trace_id: str) -> None:
        """This request is about a job of another trace."""
        self.job_id, self.link = job_id, tracing.root_of(trace_id, job_id)

    def end(self, operation: Operation, status: int, started_ns: int) -> None:
        """The request was answered. What needs no key, as probes do, is no part of anybody's work."""
        if not started_ns or operation.roles is None:
            return
        told: dict[str, tracing.Value] = {
            "http.request.method": operation.method,
            "http.route": operation.path,
            "http.response.status_code": status,
        }
        if self.job_id is not None:
            told["holdgate.job_id"] = self.job_id
        tracing.record(
            f"{operation.method} {operation.path}",
            self.parent,
            started_ns,
            kind=tracing.Kind.SERVER,
            span_id=self.span_id,
            attributes=told,
            code=str(status) if status >= 500 else None,
            link=self.link,
        )


@dataclass(slots=True)
class Call:
    """One request, authenticated and with its body parsed.

    `principal` is None for open operations only. `json` is None where the operation takes no body or got none.
    """

    deps: Deps
    scope: Mapping[str, Any]
    receive: Receive
    trace: RequestTrace
    caller: Principal | None
    body: bytes = b""
    json: Json = None
    path: Mapping[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)

    @property
    def trace_id(self) -> str:
        """The trace that this request belongs to."""
        return self.trace.parent.trace_id

    @property
    def principal(self) -> Principal:
        """The caller; only for operations that have roles."""
        if self.caller is None:
            raise Problem("unauthenticated")
        return self.caller

    def header(self, name: bytes) -> str | None:
        """The first header of that name, None when there is none."""
        for key, value in self.scope["headers"]:
            if key == name:
                return str(value, "latin-1")
        return None


@dataclass(slots=True)
class Reply:
    """What goes back. `stream`, when there, writes what follows the head instead of `body`."""

    status: int
    body: bytes = b""
    headers: tuple[Header, ...] = _JSON_HEADERS
    stream: Stream | None = None


@dataclass(slots=True)
class Later:
    """A reply that waits for something: made outside the count of requests under way, inside that of waiters."""

    make: Callable[[], Awaitable[Reply]]


Handler = Callable[[Call], Awaitable["Reply | Later"]]


@dataclass(frozen=True, slots=True)
class Query:
    """One query parameter: its JSON schema and what it means."""

    name: str
    schema: Mapping[str, Any]
    description: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of the API: the row from which its route and its part of OpenAPI are made.

    `roles` None means no key is asked for; an empty set means any key. `request` and `reply` name schemas.
    `body_bytes_max`: of its request, where it may be larger than others.
    """

    method: str
    path: str
    name: str
    summary: str
    handler: Handler
    tag: str
    roles: frozenset[Role] | None
    reply: str | None
    status: int = 200
    also: tuple[tuple[int, str], ...] = ()
    request: str | None = None
    request_required: bool = True
    errors: tuple[str, ...] = ()
    query: tuple[Query, ...] = ()
    headers: tuple[Query, ...] = ()
    media: str = JSON_TYPE
    body_bytes_max: int = 0


def reply_json(value: Any, status: int = 200, headers: tuple[Header, ...] = ()) -> Reply:
    """`value` as a JSON reply."""
    return Reply(status, to_json(value), (*_JSON_HEADERS, *headers) if headers else _JSON_HEADERS)


def reply_with(value: Mapping[str, Any], name: str, raw: bytes | None) -> Reply:
    """`value` as a JSON reply with one more member, whose JSON text is `raw` (null when None).

    A payload or result is shown byte for byte as it was hashed or scanned, however deep it is.
    """
    head = to_json(value)
    return Reply(200, b'%b,"%b":%b}' % (head[:-1], name.encode(), b"null" if raw is None else raw))


def reply_problem(problem: Problem, trace_id: str | None) -> Reply:
    """`problem` as its document, with `Retry-After` and `WWW-Authenticate` where they belong."""
    shown = problem.as_dict()
    if trace_id is not None:
        shown["trace_id"] = trace_id
    headers = _PROBLEM_HEADERS
    if problem.retry_after_s is not None:
        headers = (*headers, (b"retry-after", str(problem.retry_after_s).encode()))
    if problem.status == 401:
        headers = (*headers, (b"www-authenticate", b'Bearer realm="holdgate"'))
    if problem.allow:
        headers = (*headers, (b"allow", ", ".join(problem.allow).encode()))
    if problem.status == 408:  # the rest of the body would be taken for the next request
        headers = (*headers, (b"connection", b"close"))
    try:
        body = to_json(shown)
    except ValueError:
        # A text that has no bytes: the caller is still owed the status and the code.
        bare = Problem(problem.code).as_dict()
        body = to_json(bare if trace_id is None else {**bare, "trace_id": trace_id})
    return Reply(problem.status, body, headers)


def query_of(raw: bytes, allowed: frozenset[str]) -> dict[str, str]:
    """The query as a map; unknown, repeated and control-character parameters are refused by name."""
    if not raw:
        return {}
    if len(raw) > QUERY_BYTES_MAX:
        raise Problem("bad_request", "the query is too long")
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=32)
    except ValueError as error:
        raise Problem("bad_request", "the query is not UTF-8 in percent-encoding") from error
    query: dict[str, str] = {}
    for name, value in pairs:
        if name not in allowed:
            raise invalid(name[:64] if name.isprintable() else "query", "is not a parameter of this call")
        if name in query:
            raise invalid(name, "is given twice")
        if not value.isprintable():
            raise invalid(name, "has a control character")
        query[name] = value
    return query


def trace_of(headers: list[Header], entropy: Entropy) -> RequestTrace:
    """Below the span of W3C `traceparent` where that is valid, else in a trace of its own."""
    for name, value in headers:
        if name == b"traceparent":
            parent = tracing.parse_traceparent(value)
            if parent is not None:
                return RequestTrace(parent)
    return RequestTrace(tracing.Context(entropy(16).hex()))
