"""A process whose clock jumps, while everybody else's goes on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from random import Random  # noqa: TID251  a seeded one comes in as an argument

from holdgate.kernel.clock import SystemClock, parse_rfc3339
from holdgate.scheduler.torture.bends import Bend, Bends
from holdgate.scheduler.torture.cluster import Cluster, Member
from holdgate.scheduler.torture.faults.fault import PROCESSES, CannotBreak, chosen
from holdgate.scheduler.up.servers import write_private
from holdgate.scheduler.up.supervise import Spec

LIBRARY = "libfaketime.so.1"
FOLDERS = ("/usr/lib/x86_64-linux-gnu/faketime", "/usr/lib/aarch64-linux-gnu/faketime", "/usr/lib/faketime")
JUMP_S = 3600
KERNEL_DIR = "HOLDGATE_KERNEL_DIR"
VERSIONS = "versions.json"
CLOCK = SystemClock()


class ClockJump:
    """A process's wall clock jumps by an hour while it runs, and back; its monotonic clock does not.

    A kernel that saw a later time leaves deciding to others until that has come: healed as an operator does, by its
    file, for the next fault may take the others.
    """

    name = "clock-jump"

    def __init__(self) -> None:
        self.bends: tuple[Bends, ...] = ()
        self.did = ""
        self._since_ms = 0
        self._jump_s = 0
        self._member: Member | None = None
        self._spec: Spec | None = None
        self._file: Path | None = None
        self._seen: Path | None = None

    async def inject(self, cluster: Cluster, rng: Random) -> str:
        library = find_library()
        member = chosen(cluster, rng, PROCESSES)
        if member.kind == "kernel":
            self._seen = Path(member.spec.env[KERNEL_DIR]) / VERSIONS
        jump_s = self._jump_s = rng.choice((-JUMP_S, JUMP_S))
        self._file = cluster.home.path / "run" / f"{member.name}.clock"
        await asyncio.to_thread(self._file.write_text, "+0\n")
        self._member, self._spec = member, member.spec
        await member.stop()
        variables = faked(library, self._file)
        await member.start_as(lambda spec: alone(spec, variables))
        self._since_ms = CLOCK.now_ms()
        await asyncio.to_thread(self._file.write_text, f"{jump_s:+d}\n")
        return f"{member.name}, {jump_s:+d} s"

    async def heal(self) -> None:
        if self._member is None or self._spec is None or self._file is None:
            return
        pid, (spec, self._spec) = self._member.pid, (self._spec, None)
        # Its last words are by its own clock.
        is_loaded = await asyncio.to_thread(has_loaded, pid)
        await self._member.stop()
        self.bends = (Bends(Bend.WRONG_CLOCK, self._since_ms, CLOCK.now_ms(), self._member.name),)
        told_ms = await asyncio.to_thread(last_told_ms, self._member.spec.log)
        off_s = (told_ms - CLOCK.now_ms()) / 1000
        if is_loaded and abs(off_s - self._jump_s) < JUMP_S / 2:
            self.did = f"its last words were {off_s:+.0f} s off"
        await asyncio.to_thread(self._file.write_text, "+0\n")
        if self._seen is not None:
            await asyncio.to_thread(set_seen, self._seen, CLOCK.now_ms())
        await self._member.start_as(lambda _: spec)


def has_loaded(pid: int | None) -> bool:
    """Whether a process has the library that fakes time."""
    try:
        return LIBRARY in Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return False


def last_told_ms(log: Path) -> int:
    """The time of the last line of a log that has one, as its writer saw it; 0 where none has."""
    for line in reversed(log.read_text(errors="replace").splitlines()):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            told_ms: int = parse_rfc3339(json.loads(line)["timestamp"])
            return told_ms
    return 0


def set_seen(file: Path, now_ms: int) -> None:
    """No later than `now_ms` is the latest time that a kernel saw, as `docs/runbooks/HoldgateClockBack.md` has it."""
    if file.exists():
        known = json.loads(file.read_bytes())
        write_private(file, json.dumps({**known, "time_ms": min(known["time_ms"], now_ms)}))  # noqa: TID251  a file


def find_library() -> Path:
    """libfaketime; CannotBreak where it is missing."""
    for folder in FOLDERS:
        if (file := Path(folder) / LIBRARY).exists():
            return file
    raise CannotBreak("the library that fakes time is missing (`apt-get install libfaketime`)")


def faked(library: Path, file: Path) -> dict[str, str]:
    """Variables with which a process reads the offset of its wall clock from `file`, whenever it looks at it."""
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }


def alone(spec: Spec, variables: dict[str, str]) -> Spec:
    """A process of ours as a program of its own, with further variables; its settings hold no secrets."""
    env = [f"{name}={value}" for name, value in {**spec.env, **variables}.items()]
    argv = ("/usr/bin/env", "-i", *env, sys.executable, "-m", "holdgate.scheduler.cli", *spec.argv)
    return replace(spec, argv=argv, program=True)
