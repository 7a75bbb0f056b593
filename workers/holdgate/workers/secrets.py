"""Secrets that a worker hands to handlers: named by the job, held by the worker, unknown to the control plane.

What always holds: a job gets what it named and may have, or it does not run; each value is read anew for each run, kept
in memory only, and in no message; a value that is too short to be looked for in outputs is not handed out.
"""

from __future__ import annotations

import asyncio
import os
import signal
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from holdgate.kernel.errors import HoldgateError
from holdgate.kernel.records import Job
from holdgate.kernel.topics import matches
from holdgate.scan.forms import SECRET_BYTES_MAX, SECRET_BYTES_MIN
from holdgate.workers.errors import Refusal
from holdgate.workers.settings import child_environment, credentials_directory, environment_value

TIMEOUT_S = 10.0
SECRETS_S_MAX = 60.0
"""For all secrets of one job together."""
CREDENTIALS = "$CREDENTIALS_DIRECTORY/"
"""Begin of the path of a file that systemd hands to a service."""


class Secret:
    """A secret value. Does not print, is not JSON, cannot be pickled: it has to be asked for its text."""

    __slots__ = ("_value", "name")

    def __init__(self, name: str, value: bytes) -> None:
        self.name = name
        self._value = value

    def reveal(self) -> str:
        """The text; UnicodeDecodeError where it is not one."""
        return self._value.decode("utf-8")

    def reveal_bytes(self) -> bytes:
        """The bytes."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({self.name!r})"

    def __reduce__(self) -> NoReturn:
        msg = "a secret cannot be pickled"
        raise TypeError(msg)


class SecretRefused(HoldgateError):
    """the job does not get a secret that it asks for"""

    def __init__(self, refusal: Refusal, name: str, why: str) -> None:
        self.refusal = refusal
        self.code = str(refusal)
        super().__init__(f"the secret `{name}` {why}")


@dataclass(frozen=True, slots=True)
class SecretSource:
    """Where one secret is, and who may have it. One of `env`, `file` and `command` is set. No `tenants`: all."""

    topics: tuple[str, ...]
    tenants: tuple[str, ...] = ()
    env: str | None = None
    file: str | None = None
    command: tuple[str, ...] = ()
    timeout_s: float = TIMEOUT_S

    def is_for(self, job: Job) -> bool:
        """Whether `job` may have it."""
        return (not self.tenants or job.tenant in self.tenants) and any(
            matches(pattern, job.topic) for pattern in self.topics
        )


class SecretSources:
    """The secrets of one worker, by name."""

    def __init__(self, sources: Mapping[str, SecretSource] | None = None) -> None:
        self._sources = dict(sources or {})

    @property
    def variables(self) -> frozenset[str]:
        """Environment variables that hold one; no child process inherits them."""
        return frozenset(source.env for source in self._sources.values() if source.env is not None)

    async def resolve(self, job: Job) -> dict[str, Secret]:
        """What `job` asks for. SecretRefused when it may not have one of them, or one cannot be had."""
        sources: dict[str, SecretSource] = {}
        for name in job.secrets:
            source = self._sources.get(name)
            if source is None:
                raise SecretRefused(Refusal.SECRET_UNAVAILABLE, name, "is not known to this worker")
            if not source.is_for(job):
                raise SecretRefused(Refusal.SECRET_NOT_PERMITTED, name, "is not for jobs of this topic and tenant")
            sources[name] = source
        resolved: dict[str, Secret] = {}
        try:
            async with asyncio.timeout(SECRETS_S_MAX):
                for name, source in sources.items():
                    resolved[name] = Secret(name, await self._value(name, source))
        except TimeoutError as error:
            why = f"was not had before {SECRETS_S_MAX:.0f} seconds were over for all"
            raise SecretRefused(Refusal.SECRET_UNAVAILABLE, job.secrets[len(resolved)], why) from error
        return resolved

    async def _value(self, name: str, source: SecretSource) -> bytes:
        try:
            async with asyncio.timeout(source.timeout_s):
                value = await self._read(source, SECRET_BYTES_MAX)
        except TimeoutError as error:
            raise SecretRefused(Refusal.SECRET_UNAVAILABLE, name, "did not come in time") from error
        except (OSError, _Failed) as error:
            why = str(error) if isinstance(error, _Failed) else f"cannot be read: {(error.strerror or '').lower()}"
            raise SecretRefused(Refusal.SECRET_UNAVAILABLE, name, why) from None
        if not SECRET_BYTES_MIN <= len(value) <= SECRET_BYTES_MAX:
            why = f"has not {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes, so outputs could not be searched for it"
            raise SecretRefused(Refusal.SECRET_UNAVAILABLE, name, why)
        return value

    async def _read(self, source: SecretSource, bytes_max: int) -> bytes:
        if source.env is not None:
            found = environment_value(source.env)
            if found is None:
                raise _Failed("is not in this worker's environment")
            return found
        if source.file is not None:
            return _line_end_off(await asyncio.to_thread(_file, source.file, bytes_max + 2))
        return _line_end_off(await _output_of(source.command, self.variables, bytes_max + 2))


class _Failed(Exception):
    """Why a value cannot be had, without the value."""


def _file(path: str, bytes_max: int) -> bytes:
    if path.startswith(CREDENTIALS):
        directory = credentials_directory()
        if directory is None:
            raise _Failed("is in the credentials of a systemd unit, and this worker was not started by one")
        path = f"{directory}/{path.removeprefix(CREDENTIALS)}"
    # A pipe would keep a thread waiting for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as opened:
        found = os.fstat(opened.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise _Failed("is not in a regular file")
        if found.st_mode & stat.S_IWOTH:
            raise _Failed("is in a file that anybody may change")
        return opened.read(bytes_max)


async def _output_of(command: tuple[str, ...], without: frozenset[str], bytes_max: int) -> bytes:
    """What the command writes; it is ended, with all that it started, whatever comes of it."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=child_environment(without),
        start_new_session=True,
    )
    written = bytearray()
    try:
        while process.stdout is not None and (piece := await process.stdout.read(bytes_max)):
            written += piece
            if len(written) >= bytes_max:
                raise _Failed("is longer than may be")
        code = await process.wait()
    finally:
        _kill_group(process.pid)
        await process.wait()
    if code:
        raise _Failed(f"cannot be had: its command ended with exit code {code}")
    return bytes(written)


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _line_end_off(value: bytes) -> bytes:
    """Files and commands end their text with one line end, which is no part of it."""
    return value.removesuffix(b"\n").removesuffix(b"\r")
