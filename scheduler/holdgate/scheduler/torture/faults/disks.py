"""Disks that are full, and disks that fail to write."""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import subprocess
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from random import Random  # noqa: TID251  a seeded one comes in as an argument

from holdgate.scheduler.torture.bends import Bends
from holdgate.scheduler.torture.cluster import Cluster, Member
from holdgate.scheduler.torture.faults.fault import CannotBreak, chosen
from holdgate.scheduler.up.supervise import Spec

SPARE_BYTES = 8 * 1024 * 1024
"""What is free on the small disk before it is filled."""
FULL_BYTES = 64 * 1024
"""Where no more is free, a disk is full: a server may have let go of some since it was filled."""
FILLER = "filler"
MNT_DETACH = 2
COMPILE_TIMEOUT_S = 30.0
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* While the file that FSYNC_FAILS names is there, nothing reaches the disk. */
static int fails(void) {
    const char *file = getenv("FSYNC_FAILS");
    return file != NULL && access(file, F_OK) == 0;
}

int fsync(int fd) {
    if (fails()) { errno = EIO; return -1; }
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}

int fdatasync(int fd) {
    if (fails()) { errno = EIO; return -1; }
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}
"""
_libc = ctypes.CDLL(None, use_errno=True)


class FullDisk:
    """The data of a server lie on a small disk of their own (tmpfs), which another file fills up.

    Needs the right to mount. The data are moved there with the server stopped, and back again.
    """

    bends: tuple[Bends, ...] = ()

    def __init__(self, name: str, kinds: Collection[str]) -> None:
        self.name = name
        self.did = ""
        self._kinds = kinds
        self._member: Member | None = None
        self._folder: Path | None = None

    async def inject(self, cluster: Cluster, rng: Random) -> str:
        if os.geteuid() != 0:
            raise CannotBreak("only the superuser can mount a small disk")
        member = chosen(cluster, rng, self._kinds)
        folder = cluster.home.path / member.kind / member.name
        await member.stop()
        try:
            await asyncio.to_thread(_move_to_small_disk, folder)
        except OSError as error:
            raise CannotBreak(f"a small disk cannot be mounted: {error.strerror}") from error
        finally:
            await member.start()
        self._member, self._folder = member, folder
        return f"{member.name}, {await asyncio.to_thread(fill, folder)} bytes of filler"

    async def heal(self) -> None:
        """Room is made first, as an operator would; then the data go back to where they were."""
        if self._member is None or self._folder is None:
            return
        folder, member, self._folder = self._folder, self._member, None
        if (free := (await asyncio.to_thread(shutil.disk_usage, folder)).free) < FULL_BYTES:
            self.did = f"{free} bytes were free"
        await asyncio.to_thread((folder / FILLER).unlink, missing_ok=True)
        await member.stop()
        try:
            await asyncio.to_thread(_move_back, folder)
        finally:
            await member.start()


def fill(folder: Path) -> int:
    """Write into `folder` until its disk is full; how much that was."""
    written = 0
    with (folder / FILLER).open("wb", buffering=0) as filler:
        for size in (64 * 1024, 4096, 512):
            while True:
                try:
                    written += filler.write(b"\0" * size)
                except OSError:
                    break
    return written


def _move_to_small_disk(folder: Path) -> None:
    size = sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file()) + SPARE_BYTES
    kept = folder.with_suffix(".kept")
    folder.rename(kept)
    folder.mkdir(mode=0o700)
    if _libc.mount(b"tmpfs", bytes(folder), b"tmpfs", 0, f"size={size},mode=0700".encode()) != 0:
        number = ctypes.get_errno()
        folder.rmdir()
        kept.rename(folder)
        raise OSError(number, os.strerror(number))
    shutil.copytree(kept, folder, dirs_exist_ok=True)
    shutil.rmtree(kept)


def _move_back(folder: Path) -> None:
    kept = folder.with_suffix(".kept")
    shutil.copytree(folder, kept)
    _libc.umount2(bytes(folder), MNT_DETACH)
    folder.rmdir()
    kept.rename(folder)


class FailingSync:
    """Redis is told that nothing reaches the disk (EIO), by a library in front of the system's.

    For Redis only: nats-server is a static binary that no library comes in front of; its full disk is FullDisk.
    """

    name = "redis-fsync-error"
    bends: tuple[Bends, ...] = ()

    def __init__(self) -> None:
        self.did = ""
        self._pid: int | None = None
        self._flag: Path | None = None
        self._member: Member | None = None
        self._spec: Spec | None = None

    async def inject(self, cluster: Cluster, rng: Random) -> str:
        shim = await asyncio.to_thread(build_shim, cluster.home.path / "run")
        member = chosen(cluster, rng, ("redis",))
        flag = cluster.home.path / "run" / f"{member.name}.fails"
        self._member, self._flag, self._spec = member, flag, member.spec
        await member.stop()
        preloaded = ("/usr/bin/env", f"LD_PRELOAD={shim}", f"FSYNC_FAILS={flag}")
        await member.start_as(lambda spec: replace(spec, argv=(*preloaded, *spec.argv)))
        self._pid = member.pid
        await asyncio.to_thread(flag.touch)
        return member.name

    async def heal(self) -> None:
        if self._member is None or self._flag is None or self._spec is None:
            return
        if self._member.pid != self._pid:
            self.did = "it ended rather than confirm what it could not sync"
        await asyncio.to_thread(self._flag.unlink, missing_ok=True)
        spec, self._spec = self._spec, None
        await self._member.stop()
        await self._member.start_as(lambda _: spec)


def build_shim(folder: Path) -> Path:
    """The library that fails, compiled; CannotBreak where there is no compiler."""
    library = folder / "failing-fsync.so"
    if library.exists():
        return library
    compiler = shutil.which("cc")
    if compiler is None:
        raise CannotBreak("there is no C compiler (`cc`) for the library that fails in the system's place")
    source = folder / "failing-fsync.c"
    source.write_text(SHIM)
    done = subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"],
        capture_output=True,
        text=True,
        timeout=COMPILE_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        raise CannotBreak(f"the library that fails cannot be compiled: {done.stderr.strip()[:120]}")
    return library
