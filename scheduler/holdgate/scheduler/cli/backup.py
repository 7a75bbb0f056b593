"""`holdgate backup` and `holdgate restore`: of a `holdgate up` by its directory, or of what the settings name."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from holdgate.kernel.clock import SystemClock, rfc3339
from holdgate.scheduler.backup import files
from holdgate.scheduler.backup.archive import Manifest
from holdgate.scheduler.backup.run import KEYS, ROOT, Around, Places, backup, keys_of, restore, small_file, verify
from holdgate.scheduler.cli.processes import redis_address
from holdgate.scheduler.errors import Misconfigured, TargetNotEmpty
from holdgate.scheduler.lifecycle import Runtime, nats_connection
from holdgate.scheduler.settings import BackupSettings
from holdgate.scheduler.up.access import OPERATOR
from holdgate.scheduler.up.home import Home
from holdgate.scheduler.up.lock import is_running
from holdgate.scheduler.up.plan import HOST


@dataclass(frozen=True, slots=True)
class What:
    """Of what, and how. `directory` None: of what the settings name. `passphrase`: of the keys; None: without keys."""

    file: Path
    directory: Path | None = None
    passphrase: bytes | None = None
    replicas: int | None = None


async def make(what: What) -> Manifest:
    """Write a backup of a running system."""
    if what.directory is None:
        if what.passphrase is not None:
            raise Misconfigured("only the directory of a `holdgate up` holds all keys; copy them from where they lie")
        settings = operator_settings(None)
        home = None
    else:
        home = Home(what.directory.absolute())
        settings = _running(home)
    async with _around(settings, what.passphrase) as around:
        return await backup(what.file, _places(settings, home), around)


async def put_back(what: What) -> Manifest:
    """Restore a backup; of a directory, the servers run for as long as that takes."""
    if what.directory is None:
        settings = operator_settings(None)
        async with _around(settings, None) as around:
            return await restore(what.file, _places(settings, None), around, replicas=what.replicas)
    manifest = verify(what.file)
    home = Home(what.directory.absolute())
    _lay_out(home, what, manifest)
    with _servers(home) as settings:
        async with _around(settings, None) as around:
            return await restore(what.file, _places(settings, home), around, replicas=1)


def operator_settings(directory: Path | None) -> BackupSettings:
    """Of whoever runs the servers: of a running `holdgate up`, or what the environment names. Misconfigured."""
    if directory is not None:
        return _running(Home(directory.absolute()))
    try:
        return BackupSettings()
    except ValidationError as error:
        missing = ", ".join(f"HOLDGATE_{str(problem['loc'][0]).upper()}" for problem in error.errors())
        raise Misconfigured(f"give `--dir`, or set {missing}") from error


def told(manifest: Manifest) -> Iterator[str]:
    """What is in it, a line each."""
    facts = manifest.facts
    size = sum(size for _, size, _ in manifest.parts)
    yield f"made {rfc3339(manifest.created_ms)} by holdgate {manifest.holdgate}, {size:,} bytes"
    yield f"state: {facts.get('keys', 0):,} keys"
    for stream, head in facts.get("streams", {}).items():
        yield f"stream {stream}: {head['state'].get('messages', 0):,} messages"
    if "segments" in facts:
        yield f"audit archive: {facts['segments']:,} segments"
    yield ("keys: sealed with a passphrase" if manifest.holds(KEYS) else ("keys: not in it"))


def _lay_out(home: Home, what: What, manifest: Manifest) -> None:
    """Keys and root where the servers' configuration is made from them; TargetNotEmpty, and nothing was changed."""
    for folder in ("nats", "redis", "audit", "kernel"):
        files.require_new(home.path / folder)
    has_keys = manifest.holds(KEYS)
    is_there = home.key_file("kernel").exists()
    if not has_keys and not is_there:
        raise Misconfigured(
            f"the backup holds no keys: put those of the system into `{home.path}` first, `keys` and `secrets` and all"
        )
    if what.passphrase is not None and not is_there:
        for name, data in keys_of(what.file, manifest, what.passphrase).items():
            if name != ROOT:
                files.put(home.path, name, data)
    elif has_keys and not is_there:
        raise Misconfigured("the keys in the backup are sealed: say `--with-keys`, and their passphrase")
    elif what.passphrase is not None:
        raise TargetNotEmpty(f"`{home.path}` has keys already; restore without `--with-keys`, or elsewhere")
    if not home.root_file.exists():
        files.put(home.path, ROOT, small_file(what.file, manifest, ROOT))


@contextlib.contextmanager
def _servers(home: Home) -> Iterator[BackupSettings]:
    """NATS and Redis of the directory, on free ports, for the block."""
    from holdgate.scheduler.up.children import free_ports, stop
    from holdgate.scheduler.up.provision import provision
    from holdgate.scheduler.up.servers import nats_server, redis_server

    provisioned = provision(home.path, SystemClock())
    nats_port, monitor_port, redis_port = free_ports(3)
    nats, redis = provisioned.nats_config(nats_port, monitor_port), provisioned.redis_config(redis_port)
    with contextlib.ExitStack() as stack:
        for server in (nats_server(nats, home.nats_config_file), redis_server(redis, home.redis_config_file)):
            stack.callback(stop, server.start(home.log_file(server.name)))
        yield _settings(home, f"nats://{HOST}:{nats_port}", redis.url)


def _running(home: Home) -> BackupSettings:
    """Of the `holdgate up` that runs there."""
    try:
        state = json.loads(home.state_file.read_text()) if is_running(home) else {}
        return _settings(home, state["nats"], state["redis"])
    except (OSError, ValueError, KeyError) as error:
        raise Misconfigured(f"no `holdgate up` runs in `{home.path}`") from error


def _settings(home: Home, nats: str, redis: str) -> BackupSettings:
    given: dict[str, Any] = {
        "nats_url": nats,
        "nats_user": OPERATOR,
        "nats_nkey_file": home.nkey_file(OPERATOR),
        "redis_url": redis,
        "root_file": home.root_file,
        "audit_dir": home.path / "audit",
        "kernel_dir": home.path / "kernel",
    }
    return BackupSettings(**given)


def _places(settings: BackupSettings, home: Home | None) -> Places:
    return Places(
        redis=redis_address(settings),
        root_file=settings.root_file,
        audit_dir=settings.audit_dir,
        kernel_dir=settings.kernel_dir,
        home=None if home is None else home.path,
    )


@contextlib.asynccontextmanager
async def _around(settings: BackupSettings, passphrase: bytes | None) -> AsyncIterator[Around]:
    def progress(what: str) -> None:
        if sys.stderr.isatty():
            print(what, file=sys.stderr, flush=True)

    runtime = Runtime("backup")
    async with nats_connection(settings, runtime) as nc:
        try:
            yield Around(nc, SystemClock(), version("holdgate"), passphrase, os.urandom, progress)
        finally:
            runtime.stop()  # that the connection ends now is no news
