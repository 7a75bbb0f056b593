"""Where the API is and who calls it: options that every command for people has.

`--api URL` with a key from a file or the environment, as everywhere; or a system of `holdgate up` on this machine,
`--dir DIR --as NAME`, which needs neither. Without any of them it is `.holdgate` here, where one runs.

What always holds: a key that was given goes to no other address than one that was given, or the usual one on this
machine; a directory is believed only where it and its file belong to whoever runs the command, and nobody else may
write there.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec

import typer
from pydantic import SecretStr, ValidationError

from holdgate.bundles.secretfile import first_line
from holdgate.client import AsyncClient, Client
from holdgate.client.errors import Unavailable
from holdgate.client.settings import ClientSettings
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.tls import open_hosts
from holdgate.scheduler.cli.people.exits import Exit
from holdgate.scheduler.cli.people.output import Out, note
from holdgate.scheduler.cli.people.refusal import told
from holdgate.scheduler.up.home import Home

P = ParamSpec("P")
HERE = Path(".holdgate")
USUAL_URL = "http://127.0.0.1:8081"
RETRY_S = 5.0
"""How long a command tries while the API is away, unless HOLDGATE_API_RETRY_S says otherwise: somebody waits."""
STATE_BYTES_MAX = 1024 * 1024

Url = Annotated[str | None, typer.Option("--api", envvar="HOLDGATE_API_URL", help="Where the API is")]
KeyFile = Annotated[
    Path | None,
    typer.Option("--api-key-file", envvar="HOLDGATE_API_KEY_FILE", help="Holds your API key [else: HOLDGATE_API_KEY]"),
]
Key = Annotated[str | None, typer.Option("--api-key", envvar="HOLDGATE_API_KEY", hidden=True)]
Directory = Annotated[
    Path | None, typer.Option("--dir", help="A running `holdgate up` instead [.holdgate where one runs]")
]
As = Annotated[str | None, typer.Option("--as", help="Which of its keys: agent, approver, approver2, operator, …")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON; of a list or a stream an object a line")]
OPTIONS: dict[str, tuple[Any, Any]] = {
    "api": (Url, None),
    "api_key_file": (KeyFile, None),
    "api_key": (Key, None),
    "directory": (Directory, None),
    "who": (As, None),
    "as_json": (AsJson, False),
}


@dataclass(frozen=True, slots=True)
class Target:
    """An address and who calls there. `passed_by`: another system that could have been meant."""

    url: str
    key: str
    passed_by: Path | None = field(default=None, compare=False)

    @property
    def arguments(self) -> dict[str, Any]:
        """Those of a client. InvalidInput where the address is none."""
        try:
            settings = ClientSettings(api_url=self.url, api_key=SecretStr(self.key))
        except ValidationError as error:
            raise InvalidInput(f"`{self.url}` is no address of an API; such as `{USUAL_URL}`") from error
        retry_s = settings.api_retry_s if "api_retry_s" in settings.model_fields_set else RETRY_S
        return {"url": self.url, "api_key": self.key, "retry_s": retry_s}


class Session:
    """One call of a command: the client, and where to print."""

    def __init__(self, client: Client, target: Target, out: Out) -> None:
        self.client = client
        self.out = out
        self._target = target

    def awaited(self) -> AsyncClient:
        """The same for an event loop; the caller closes it."""
        return AsyncClient(**self._target.arguments)


def calls_api(role: str) -> Callable[[Callable[Concatenate[Session, P], Exit | None]], Callable[..., None]]:
    """A command that calls the API, as `role` of a `holdgate up` where nothing else is said.

    The function gets a Session and its own options; what it returns is the exit code, None for done.
    """

    def decorate(command: Callable[Concatenate[Session, P], Exit | None]) -> Callable[..., None]:
        own = signature(command, eval_str=True).parameters
        shared = [
            Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=kind)
            for name, (kind, default) in OPTIONS.items()
        ]
        parameters = [Parameter("context", Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)]
        parameters += [item for name, item in own.items() if name != "session"]

        @wraps(command)
        def run(context: typer.Context, **given: Any) -> None:
            chosen = {name: given.pop(name) for name in OPTIONS}
            out = Out(chosen.pop("as_json"))
            with told(out):
                target = target_of(context, role, **chosen)
                _warn_of_plain_http(target.url)
                with _named(target), _client(target) as client:
                    code = command(Session(client, target, out), **given)  # type: ignore[call-arg]  # options by name
            raise typer.Exit(Exit.DONE if code is None else code)

        changed: Any = run
        changed.__signature__ = signature(command).replace(parameters=[*parameters, *shared])
        changed.__annotations__ = {item.name: item.annotation for item in (*parameters, *shared)}
        return run

    return decorate


def target_of(
    context: typer.Context,
    role: str,
    *,
    api: str | None,
    api_key_file: Path | None,
    api_key: str | None,
    directory: Path | None,
    who: str | None,
) -> Target:
    """Where the options lead to; InvalidInput where they contradict each other or lead nowhere."""
    if _is_typed(context, "api_key"):
        raise InvalidInput("others see what is on a command line; use `--api-key-file` or HOLDGATE_API_KEY")
    if directory is not None or who is not None:
        if _is_typed(context, "api") or _is_typed(context, "api_key_file"):
            raise InvalidInput("say where the API is once: `--api` with a key, or `--dir` with `--as`")
        return _local(directory or HERE, who or role)
    if api is not None:
        return Target(api, _key_of(api_key_file, api_key))
    is_up_here = Home(HERE).state_file.exists()
    if api_key_file is None and api_key is None and is_up_here:
        return _local(HERE, role)
    return Target(USUAL_URL, _key_of(api_key_file, api_key), HERE if is_up_here else None)


def _key_of(file: Path | None, key: str | None) -> str:
    found = key if file is None else first_line(file)
    if not found:
        raise InvalidInput(
            "say where the API is: `--api URL` with `--api-key-file FILE` or HOLDGATE_API_KEY, or `--dir DIR` of a "
            "running `holdgate up`"
        )
    return found


def _warn_of_plain_http(url: str) -> None:
    """Where HOLDGATE_PLAINTEXT lets a key leave this machine in the clear, it is everybody's on the way."""
    if open_hosts(url.split(",")):
        note(f"warning: your API key goes to `{url}` in the clear; use https")


def _client(target: Target) -> Client:
    return Client(**target.arguments)


@contextmanager
def _named(target: Target) -> Iterator[None]:
    """For the block: where nothing answers is named, and the system here that was passed by."""
    try:
        yield
    except Unavailable as error:
        if error.code != "unreachable":
            raise
        told = f"nothing answers at `{target.url}`"
        if target.passed_by is not None:
            told += f"; a key is given, so the system in `{target.passed_by}` was not asked: `--dir` does"
        raise Unavailable(0, {"code": "unreachable", "detail": told}) from error


def _is_typed(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _local(directory: Path, who: str) -> Target:
    """A system of `holdgate up` in `directory`."""
    document = _state(directory)
    keys = document.get("keys")
    key = keys.get(who) if isinstance(keys, dict) else None
    if not isinstance(key, str):
        names = ", ".join(sorted(keys)) if isinstance(keys, dict) else "none"
        raise InvalidInput(f"the system in `{directory}` has no key `{who}`; it has {names}")
    return Target(str(document.get("api")), key)


def _state(directory: Path) -> dict[str, Any]:
    file = Home(directory).state_file
    try:
        with file.open("rb") as opened:
            for place in (os.fstat(opened.fileno()), directory.stat()):
                _refuse_others(place, directory)
            document = json.loads(opened.read(STATE_BYTES_MAX))
    except FileNotFoundError as error:
        raise InvalidInput(
            f"no `holdgate up` runs in `{directory}`; start one, or name one with --dir DIR or --api URL"
        ) from error
    except (OSError, ValueError) as error:
        raise InvalidInput(f"cannot read `{file}`: start `holdgate up --dir {directory}` again") from error
    return document if isinstance(document, dict) else {}


def _refuse_others(status: os.stat_result, directory: Path) -> None:
    """A stranger's directory would say where jobs and votes go."""
    if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise InvalidInput(f"`{directory}` is not yours alone; name the system with --api URL and a key of yours")
