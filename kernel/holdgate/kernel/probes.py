"""`/metrics`, `/healthz` and `/readyz` of a process, on a port of their own.

What always holds: nothing here waits for another part, so that it is answered while Redis or NATS hang; connections are
few, each carries one request and is closed within a time limit, so that whoever reaches the port cannot use up the
process; whoever asks at once is answered however many say nothing, for those that wait longest make room, of the same
address first, and never for them one that has asked; the numbers are collected a few times a second at most; nothing
but these three pages is here.
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus

import prometheus_client
from prometheus_client.exposition import choose_encoder

from holdgate.kernel.readiness import Readiness, Report, Standing

CONNECTIONS_MAX = 32
"""That have not asked yet; as many are answered."""
ADDRESS_MAX = 8
"""Of one address that have not asked yet."""
HEAD_S_MAX = 1.0
REPLY_S_MAX = 5.0
METRICS_S = 0.2
"""How old the text of the numbers may be: making it takes the loop for milliseconds."""
HEAD_BYTES_MAX = 8 * 1024
JSON_TYPE = "application/json"
RETRY_AFTER_S = 1


class Probes:
    """Serves the three pages of one process."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness
        self._server: asyncio.Server | None = None
        self._silent: dict[asyncio.StreamWriter, str] = {}
        self._answered: dict[asyncio.StreamWriter, str] = {}
        self._texts: dict[str, tuple[float, bytes]] = {}

    async def start(self, host: str, port: int) -> None:
        """Listen; OSError when the address is taken."""
        self._server = await asyncio.start_server(
            self._serve, host, port, limit=HEAD_BYTES_MAX, reuse_address=True, backlog=CONNECTIONS_MAX
        )

    @property
    def port(self) -> int:
        """Where it listens."""
        if self._server is None:
            raise RuntimeError("not started")
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Listen no more; idempotent."""
        server, self._server = self._server, None
        if server is not None:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = (writer.get_extra_info("peername") or ("",))[0]
        theirs = [other for other, its in self._silent.items() if its == address]
        if len(theirs) >= ADDRESS_MAX:
            _cut(self._silent, theirs[0])
        _enter(self._silent, writer, address)
        try:
            async with asyncio.timeout(HEAD_S_MAX):
                head = await reader.readuntil(b"\r\n\r\n")
            self._silent.pop(writer, None)
            _enter(self._answered, writer, address)
            async with asyncio.timeout(REPLY_S_MAX):
                writer.write(self._reply(head.decode("latin-1")))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            writer.transport.abort()
        finally:
            self._silent.pop(writer, None)
            self._answered.pop(writer, None)

    def _reply(self, head: str) -> bytes:
        method, _, rest = head.partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        if method not in ("GET", "HEAD"):
            return _response(HTTPStatus.METHOD_NOT_ALLOWED, JSON_TYPE, b"{}")
        match path:
            case "/healthz":
                status, kind, body = HTTPStatus.OK, JSON_TYPE, self._health()
            case "/readyz":
                status, kind, body = HTTPStatus.OK, JSON_TYPE, self._shown(report := self._readiness.report())
                if report.standing is Standing.NOT_READY:
                    status = HTTPStatus.SERVICE_UNAVAILABLE
            case "/metrics" | "/":
                status, (kind, body) = HTTPStatus.OK, self._numbers(_header(head, "accept"))
            case _:
                status, kind, body = HTTPStatus.NOT_FOUND, JSON_TYPE, b"{}"
        return _response(status, kind, body, is_head=method == "HEAD")

    def _numbers(self, accept: str) -> tuple[str, bytes]:
        encode, kind = choose_encoder(accept)
        now_s = asyncio.get_running_loop().time()
        made_s, text = self._texts.get(kind, (-METRICS_S, b""))
        if now_s - made_s >= METRICS_S:
            text = encode(prometheus_client.REGISTRY)
            # Kinds are a few, and with an escaping that a caller names: only the last ones are kept.
            self._texts = {**dict(list(self._texts.items())[-3:]), kind: (now_s, text)}
        return kind, text

    def _health(self) -> bytes:
        return _json({"status": "ok", "process": self._readiness.name})

    def _shown(self, report: Report) -> bytes:
        return _json({"status": report.standing, "process": self._readiness.name, "checks": report.checks})


def _enter(held: dict[asyncio.StreamWriter, str], writer: asyncio.StreamWriter, address: str) -> None:
    if len(held) >= CONNECTIONS_MAX:
        _cut(held, next(iter(held)))
    held[writer] = address


def _cut(held: dict[asyncio.StreamWriter, str], writer: asyncio.StreamWriter) -> None:
    del held[writer]
    writer.transport.abort()  # and its task ends


def _json(value: object) -> bytes:
    return json.dumps(value).encode()  # noqa: TID251  for people and probes; nothing of it is hashed or signed


def _header(head: str, name: str) -> str:
    for line in head.split("\r\n")[1:]:
        found, _, value = line.partition(":")
        if found.strip().lower() == name:
            return value.strip()
    return ""


def _response(status: HTTPStatus, kind: str, body: bytes, *, is_head: bool = False) -> bytes:
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        lines.append(f"Retry-After: {RETRY_AFTER_S}")
    lines += ["Cache-Control: no-store", "Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1") + (b"" if is_head else body)
