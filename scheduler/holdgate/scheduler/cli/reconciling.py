"""`holdgate reconcile`: a look over state store and log, of a `holdgate up` by its directory or as the settings say."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from holdgate.bundles.cli.refusal import refusals
from holdgate.kernel.clock import SystemClock
from holdgate.scheduler import logs
from holdgate.scheduler.cli.backup import operator_settings
from holdgate.scheduler.cli.processes import redis_connection
from holdgate.scheduler.lifecycle import Runtime, nats_connection
from holdgate.scheduler.recovery import Drift, reconcile
from holdgate.scheduler.recovery.drift import MEANINGS
from holdgate.scheduler.recovery.parts import Progress, RecoveryParts, say_nothing
from holdgate.scheduler.recovery.soundness import kept

APART = 3
"""Exit code of a look that only looked, and found something."""
SHOW_EVERY_S = 0.25


def run(directory: Path | None, *, dry_run: bool, as_json: bool) -> int:
    """Look, tell, and the exit code."""
    logs.configure("reconcile", level="error", form="auto")
    with refusals(as_json):
        drift = asyncio.run(look(directory, dry_run=dry_run))
    if as_json:
        print(json.dumps(drift.as_dict(), indent=2))  # noqa: TID251  for scripts; never hashed
    else:
        print("\n".join(told(drift)))
    return APART if dry_run and drift.total else 0


async def look(directory: Path | None, *, dry_run: bool) -> Drift:
    """One look with an operator's rights."""
    settings = operator_settings(directory)
    runtime = Runtime("reconcile")
    async with nats_connection(settings, runtime) as nc, redis_connection(settings) as scripts:
        retention_s, denied_s, quarantine_keep_s = await kept(scripts)
        with _progress(sys.stderr) as on_progress:
            parts = RecoveryParts(
                nc, scripts, SystemClock(), retention_s, denied_s, quarantine_keep_s, on_progress=on_progress
            )
            return await reconcile(parts, dry_run=dry_run)


def told(drift: Drift) -> list[str]:
    """What was found, a line each kind."""
    lines = [f"looked at {drift.jobs:,} jobs and {drift.endings:,} endings of the log in {drift.took_s:.1f} s"]
    if drift.was_lost:
        lines.append("the state store was older than the log")
    for kind, count in drift.counts.items():
        if count:
            lines.append(f"{count:>8,}  {MEANINGS[kind]}")
            lines += [f"{'':>10}{name}" for name in drift.named[kind][:5]]
    if not drift.total:
        return [*lines, "state store and log agree"]
    return [*lines, "put right" if drift.mended else "nothing was changed: run it again without `--dry-run`"]


@contextlib.contextmanager
def _progress(file: TextIO) -> Iterator[Progress]:
    """A line on a terminal that says how far it is; nothing where nobody watches."""
    if not file.isatty():
        yield say_nothing
        return
    shown_s = 0.0

    def show(what: str, done: int, of: int) -> None:
        nonlocal shown_s
        if time.monotonic() - shown_s > SHOW_EVERY_S:
            shown_s = time.monotonic()
            print(f"\r\x1b[K{what}: {done:,} of {of:,}", end="", file=file, flush=True)

    try:
        yield show
    finally:
        print("\r\x1b[K", end="", file=file, flush=True)
