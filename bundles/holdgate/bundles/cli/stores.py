"""The two ways from a command to the published bundles: the API with an author's key, or NATS with credentials.

What always holds: both show and refuse the same, by the same functions; an API key is read from a file or from the
environment, and refused on a command line, where everybody on the machine sees it.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

import httpx
import typer
from nats.errors import Error as NatsError

from holdgate.bundles import publish as publishing
from holdgate.bundles.cli.common import load_trust
from holdgate.bundles.cli.refusal import ProblemReply, refusals
from holdgate.bundles.cli.scanner import scanner
from holdgate.bundles.errors import BundleFaulty, BundleMalformed, BundleRefused, StoreUnavailable
from holdgate.bundles.format import BUNDLE_BYTES_MAX
from holdgate.bundles.history import file_of, log_of, newest_of_each
from holdgate.bundles.publish import NATS_PUBLISHER, Accept
from holdgate.bundles.root import Root
from holdgate.bundles.secretfile import first_line
from holdgate.bundles.store import BundleStore
from holdgate.kernel.canonical import parse_json
from holdgate.kernel.clock import Clock, SystemClock
from holdgate.kernel.errors import InvalidInput, MalformedJson
from holdgate.kernel.login import Login, connect
from holdgate.kernel.nkeys import Nkey
from holdgate.kernel.tls import Plaintext, TlsFiles, is_secure, verify_private

T = TypeVar("T")
CONNECT_TIMEOUT_S = 5
API_TIMEOUT_S = 120.0
"""A review may take a minute, and wait for another."""
PAGE = 500
PAGES_MAX = 20


class Published(Protocol):
    """The published bundles, as a command sees them. Every call raises HoldgateError with the code of what is wrong."""

    @property
    def root(self) -> Root | None:
        """The trust root, where the command was given one."""
        ...

    def bundles(self) -> list[dict[str, Any]]:
        """The newest of each name."""
        ...

    def log(self, name: str) -> list[dict[str, Any]]:
        """What was published as `name`, newest first."""
        ...

    def file(self, name: str, version: int) -> bytes:
        """That version's file."""
        ...

    def version_seen(self, name: str) -> int:
        """The highest version that anybody who decides has seen; 0 for none."""
        ...

    def check(self, name: str, data: bytes) -> dict[str, Any]:
        """The review of a publish."""
        ...

    def publish(self, name: str, data: bytes, accept: Accept) -> dict[str, Any]:
        """Publish; what was published."""
        ...


@dataclass(frozen=True, slots=True)
class ApiPublished:
    """Over HTTP."""

    url: str
    key: str
    root: Root | None = None
    plaintext: Plaintext = "loopback"

    def __post_init__(self) -> None:
        """InvalidInput where the key would cross a network in clear."""
        if "://" in self.url:  # anything else is no address, and told as that
            verify_private([self.url], self.plaintext)

    def bundles(self) -> list[dict[str, Any]]:
        return self._pages("/policy/bundles")

    def log(self, name: str) -> list[dict[str, Any]]:
        return self._pages(f"/policy/bundles/{name}/versions")

    def file(self, name: str, version: int) -> bytes:
        return self._call("GET", f"/policy/bundles/{name}/versions/{version}/file")

    def version_seen(self, name: str) -> int:
        replicas = self._pages("/policy/snapshots")
        seen = [item for replica in replicas for item in (*replica["bundles"], *(replica["dropped"] or ()))]
        return max((item["version"] for item in seen if item["name"] == name), default=0)

    def check(self, name: str, data: bytes) -> dict[str, Any]:
        return self.call("POST", f"/policy/bundles/{name}/check", data)

    def publish(self, name: str, data: bytes, accept: Accept) -> dict[str, Any]:
        if accept is Accept.FIRST:
            raise BundleRefused("`--accept-first` is for setting up over NATS; use `--accept-widening`")
        flag = "true" if accept is Accept.WIDENING else "false"
        return self.call("PUT", f"/policy/bundles/{name}?accept_widening={flag}", data)

    def _pages(self, path: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        query = "" if path.endswith("snapshots") else f"?limit={PAGE}"
        for _ in range(PAGES_MAX):
            reply = self.call("GET", path + query)
            items += reply["items"]
            if reply["next_cursor"] is None:
                return items
            query = f"?limit={PAGE}&cursor={reply['next_cursor']}"
        return items

    def call(self, method: str, path: str, data: bytes | None = None) -> dict[str, Any]:
        """The object that the API answers with."""
        value = _object(self._call(method, path, data))
        if value is None:
            raise StoreUnavailable(f"`{self.url}` does not answer as the API of Holdgate does")
        return value

    def _call(self, method: str, path: str, data: bytes | None = None) -> bytes:
        headers = {"X-API-Key": self.key, "Content-Type": "application/json"}
        url = f"{self.url.rstrip('/')}/api/v1{path}"
        try:
            with httpx.stream(method, url, content=data, headers=headers, timeout=API_TIMEOUT_S) as reply:
                body = _bounded(reply)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise InvalidInput(f"`{self.url}` is no address of an API; such as `http://127.0.0.1:8081`") from error
        except httpx.TimeoutException as error:
            raise StoreUnavailable(f"`{self.url}` did not answer in time; try again, or check --api") from error
        except httpx.HTTPError as error:
            raise StoreUnavailable(f"cannot reach `{self.url}`: start it, or check --api") from error
        if reply.status_code != httpx.codes.OK:
            raise _problem(reply.status_code, body)
        return body


@dataclass(frozen=True, slots=True)
class NatsPublished:
    """In the store itself, checked here."""

    url: str
    login: Login
    trust: Root
    clock: Clock

    @property
    def root(self) -> Root:
        return self.trust

    def bundles(self) -> list[dict[str, Any]]:
        return [entry.described() for entry in self._with(lambda store: newest_of_each(store, self.trust))]

    def log(self, name: str) -> list[dict[str, Any]]:
        return [entry.as_dict() for entry in self._with(lambda store: log_of(store, self.trust, name))]

    def file(self, name: str, version: int) -> bytes:
        _, data = self._with(lambda store: file_of(store, self.trust, name, version))
        return data

    def version_seen(self, name: str) -> int:  # noqa: ARG002  kernels are asked through the API
        return 0

    def check(self, name: str, data: bytes) -> dict[str, Any]:  # noqa: ARG002  the name is in the file
        now_ms = self.clock.now_ms()
        reviewed = self._with(lambda store: publishing.check(store, data, self.trust, now_ms, scanner=scanner()))
        return reviewed.as_dict()

    def publish(self, name: str, data: bytes, accept: Accept) -> dict[str, Any]:  # noqa: ARG002  the name is in the file
        publisher = f"{NATS_PUBLISHER}{self.login.user}"
        now_ms = self.clock.now_ms()
        done = self._with(
            lambda store: publishing.publish(
                store, data, self.trust, now_ms, accept=accept, publisher=publisher, scanner=scanner()
            )
        )
        return done.as_dict()

    def _with(self, work: Callable[[BundleStore], Awaitable[T]]) -> T:
        return asyncio.run(self._connected(work))

    async def _connected(self, work: Callable[[BundleStore], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                connection = await connect(self.url, self.login, max_reconnect_attempts=1, reconnect_time_wait=0.1)
        except (NatsError, OSError, TimeoutError) as error:
            raise StoreUnavailable(f"cannot reach `{self.url}`: start it, or check --nats and its user") from error
        try:
            return await work(BundleStore(connection))
        finally:
            await connection.close()


def at_store(command: Callable[..., None]) -> Callable[..., None]:
    """A command over `Published`, its first parameter: it has options that say where that is, and tells refusals."""
    signature = inspect.signature(command, eval_str=True)
    options = inspect.signature(_published, eval_str=True).parameters
    own = list(signature.parameters.values())[1:]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        place = {name: given.pop(name) for name in options}
        with refusals(bool(given.get("as_json"))):
            command(_published(**place), **given)

    parameters = [*own, *options.values()]
    parameters.sort(key=lambda parameter: parameter.default is not inspect.Parameter.empty)
    keywords = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    setattr(run, "__signature__", inspect.Signature(keywords))  # noqa: B010  what typer reads; mypy knows no such name
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in keywords}
    return run


def _published(  # noqa: PLR0913  options of commands
    context: typer.Context,
    api: Annotated[str | None, typer.Option("--api", envvar="HOLDGATE_API_URL", help="Where the API is")] = None,
    api_key_file: Annotated[
        Path | None,
        typer.Option(envvar="HOLDGATE_API_KEY_FILE", help="Holds your API key [else: HOLDGATE_API_KEY]"),
    ] = None,
    api_key: Annotated[str | None, typer.Option(envvar="HOLDGATE_API_KEY", hidden=True)] = None,
    nats_url: Annotated[
        str | None, typer.Option("--nats", envvar="HOLDGATE_NATS_URL", help="Where NATS is, without an API")
    ] = None,
    nats_user: Annotated[
        str | None, typer.Option(envvar="HOLDGATE_NATS_USER", help="Who you are to NATS, where it asks")
    ] = None,
    nats_password_file: Annotated[
        Path | None, typer.Option(envvar="HOLDGATE_NATS_PASSWORD_FILE", help="Holds that user's password")
    ] = None,
    nats_nkey_file: Annotated[
        Path | None,
        typer.Option(envvar="HOLDGATE_NATS_NKEY_FILE", help="Holds that user's nkey"),
    ] = None,
    nats_ca_file: Annotated[
        Path | None, typer.Option(envvar="HOLDGATE_NATS_CA_FILE", help="Authorities of NATS's certificates")
    ] = None,
    nats_cert_file: Annotated[
        Path | None, typer.Option(envvar="HOLDGATE_NATS_CERT_FILE", help="Your certificate, where NATS asks for one")
    ] = None,
    nats_cert_key_file: Annotated[
        Path | None, typer.Option(envvar="HOLDGATE_NATS_CERT_KEY_FILE", help="Its private key")
    ] = None,
    plaintext: Annotated[
        Plaintext,
        typer.Option(envvar="HOLDGATE_PLAINTEXT", help="`allow`: connect without TLS to other machines, too"),
    ] = "loopback",
    root: Annotated[
        Path | None, typer.Option("--root", envvar="HOLDGATE_ROOT_FILE", help="The signed trust root; --nats needs it")
    ] = None,
    pins: Annotated[
        str | None, typer.Option("--pins", envvar="HOLDGATE_ROOT_PINS", help="Root keys that must have signed it")
    ] = None,
) -> Published:
    """The published bundles that the options name. UsageError where none is, or two on the command line.

    What stands on the command line goes before the environment; of two in the environment the API is taken.
    """
    _verify_said_once(context)
    clock = SystemClock()
    trust = _trust_in(root, pins, clock)
    if api is not None and not _is_typed(context, "nats_url"):
        return ApiPublished(api, api_key_of(api_key_file, api_key), trust, plaintext)
    if nats_url is None:
        raise typer.BadParameter("say where the bundles are: --api URL, or --nats URL", param_hint="--api")
    if trust is None:
        raise typer.BadParameter("--nats needs --root and --pins", param_hint="--root")
    tls = TlsFiles(nats_ca_file, nats_cert_file, nats_cert_key_file)
    login = Login(
        nats_user or "",
        None if nats_password_file is None else first_line(nats_password_file),
        None if nats_nkey_file is None else Nkey.parse(first_line(nats_nkey_file)),
        tls.context() if any(map(is_secure, nats_url.split(","))) else None,
        plaintext,
    )
    return NatsPublished(nats_url, login, trust, clock)


def _verify_said_once(context: typer.Context) -> None:
    if _is_typed(context, "api_key"):
        raise typer.BadParameter("others see what is on a command line; use --api-key-file or HOLDGATE_API_KEY")
    if _is_typed(context, "nats_url") and _is_typed(context, "api"):
        raise typer.BadParameter("say where the bundles are once: --api or --nats", param_hint="--nats")


def _trust_in(root: Path | None, pins: str | None, clock: Clock) -> Root | None:
    if (root is None) != (pins is None):
        raise typer.BadParameter("a root is believed with its pins only: give both", param_hint="--root, --pins")
    return None if root is None or pins is None else load_trust(root, pins, clock)


def _is_typed(context: typer.Context, name: str) -> bool:
    """Whether an option stands on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def api_key_of(file: Path | None, key: str | None) -> str:
    """The API key in `file`, else `key`; UsageError where there is neither."""
    found = first_line(file) if file is not None else key
    if not found:
        raise typer.BadParameter("the API wants a key: --api-key-file FILE, or HOLDGATE_API_KEY", param_hint="--api")
    return found


def _bounded(reply: httpx.Response) -> bytes:
    body = bytearray()
    for chunk in reply.iter_bytes():
        body += chunk
        if len(body) > BUNDLE_BYTES_MAX:
            raise BundleMalformed(f"the reply is over {BUNDLE_BYTES_MAX} bytes", code="bundle_too_large")
    return bytes(body)


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        value = parse_json(body)
    except MalformedJson:
        return None
    return value if isinstance(value, dict) else None


def _problem(status: int, body: bytes) -> ProblemReply:
    told = _object(body) or {}
    code, detail = str(told.get("code", f"http_{status}")), str(told.get("detail", "the API refused without a reason"))
    errors = told.get("errors")
    listed = errors if isinstance(errors, list) else []
    problems = [(str(item.get("field")), str(item.get("detail"))) for item in listed if isinstance(item, dict)]
    return ProblemReply(code, detail, tuple(problems[: BundleFaulty.PROBLEMS_MAX]))
