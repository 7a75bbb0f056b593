"""What `holdgate backup` and `holdgate restore` print, and how they end."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from holdgate.bundles.cli.signing import PassphraseFrom
from holdgate.bundles.passphrase import require_strong
from holdgate.kernel.clock import rfc3339
from holdgate.scheduler import logs
from holdgate.scheduler.backup.archive import Manifest
from holdgate.scheduler.backup.run import KEYS, verify
from holdgate.scheduler.cli.backup import What, make, put_back, told
from holdgate.scheduler.cli.failing import failures
from holdgate.scheduler.cli.people.output import Out

VERIFY = "verify"


def backup(
    words: list[str],
    directory: Path | None,
    with_keys: bool,
    passphrase_file: Path | None,
    *,
    as_json: bool = False,
) -> int:
    """`holdgate backup FILE`, `holdgate backup verify FILE`; the exit code."""
    match words:
        case [word, file] if word == VERIFY:
            return _run(lambda: verify(Path(file)), "is whole", as_json=as_json)
        case [file]:
            passphrase = PassphraseFrom(passphrase_file)

            def work() -> Manifest:
                found = require_strong(passphrase.new()) if with_keys else None
                return asyncio.run(make(What(Path(file), directory, found)))

            return _run(work, "is written", as_json=as_json)
        case _:
            print("usage: give one FILE, or `verify FILE`", file=sys.stderr)
            return 2


def restore(
    file: Path,
    directory: Path | None,
    with_keys: bool,
    passphrase_file: Path | None,
    replicas: int | None,
) -> int:
    """`holdgate restore FILE`; the exit code."""

    def work() -> Manifest:
        passphrase = PassphraseFrom(passphrase_file).known() if with_keys else None
        return asyncio.run(put_back(What(file, directory, passphrase, replicas)))

    return _run(work, "is restored")


def as_dict(manifest: Manifest) -> dict[str, Any]:
    """What is in it, for programs."""
    streams = manifest.facts.get("streams", {})
    return {
        "created": rfc3339(manifest.created_ms),
        "holdgate": manifest.holdgate,
        "bytes": sum(size for _, size, _ in manifest.parts),
        "state_keys": manifest.facts.get("keys", 0),
        "messages": {name: head["state"].get("messages", 0) for name, head in streams.items()},
        "segments": manifest.facts.get("segments"),
        "has_keys": any(name.partition("@")[0] == KEYS for name, _, _ in manifest.parts),
    }


def _run(work: Callable[[], Manifest], done: str, *, as_json: bool = False) -> int:
    logs.configure("backup", level="warning", form="auto")
    with failures(as_json):
        manifest = work()
    if as_json:
        Out(as_json).document(as_dict(manifest))
        return 0
    for line in told(manifest):
        print(line)
    print(f"the backup {done}")
    return 0
