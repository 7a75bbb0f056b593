"""What `holdgate backup` and `holdgate restore` print, and how they end."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from holdgate.bundles.cli.signing import PassphraseFrom
from holdgate.bundles.passphrase import require_strong
from holdgate.kernel.errors import HoldgateError
from holdgate.scheduler import logs
from holdgate.scheduler.backup.archive import Manifest
from holdgate.scheduler.backup.run import verify
from holdgate.scheduler.cli.backup import What, make, put_back, told

VERIFY = "verify"


def backup(words: list[str], directory: Path | None, with_keys: bool, passphrase_file: Path | None) -> int:
    """`holdgate backup FILE`, `holdgate backup verify FILE`; the exit code."""
    match words:
        case [word, file] if word == VERIFY:
            return _run(lambda: verify(Path(file)), "is whole")
        case [file]:
            passphrase = PassphraseFrom(passphrase_file)

            def work() -> Manifest:
                found = require_strong(passphrase.new()) if with_keys else None
                return asyncio.run(make(What(Path(file), directory, found)))

            return _run(work, "is written")
        case _:
            print("holdgate backup: give one FILE, or `verify FILE`", file=sys.stderr)
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


def _run(work: Callable[[], Manifest], done: str) -> int:
    logs.configure("backup", level="warning", form="auto")
    try:
        manifest = work()
    except HoldgateError as error:
        print(f"holdgate: {error.code}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"holdgate: {error.strerror}: {error.filename}", file=sys.stderr)
        return 1
    for line in told(manifest):
        print(line)
    print(f"the backup {done}")
    return 0
