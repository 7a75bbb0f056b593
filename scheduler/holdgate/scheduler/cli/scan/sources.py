"""The files that are scanned: what was named, and what lies below a directory that was.

What always holds: links and special files below a directory are not followed; no more than the bound is read of any
file; what is left out is said, never passed over.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

STDIN = "-"
STDIN_NAME = "<stdin>"
SKIPPED_DIRECTORIES = frozenset({".git", ".hg", ".svn", ".jj"})
"""What a version control keeps for itself: packed, and of no commit that is checked out."""


@dataclass(frozen=True, slots=True)
class Source:
    """One file to scan; without a path it is standard input, or what `problem` says could not be looked into.

    `is_named`: somebody named it, so that a scan that cannot be made is an error.
    """

    name: str
    path: Path | None
    is_named: bool
    problem: str | None = None


class Unread(Exception):
    """a file that could not be read; its text says why"""


def sources_of(names: Iterable[str]) -> Iterator[Source]:
    """Every file below `names`, in order of names; a directory that cannot be listed is one with a problem."""
    for name in names:
        if name == STDIN:
            yield Source(STDIN_NAME, None, is_named=True)
        elif Path(name).is_dir():
            yield from _below(Path(name))
        else:
            yield Source(name, Path(name), is_named=True)


def read_source(source: Source, bytes_max: int) -> bytes:
    """What is in it; Unread where it is larger than `bytes_max`, or cannot be read."""
    if source.problem is not None:
        raise Unread(source.problem)
    try:
        if source.path is None:
            data = sys.stdin.buffer.read(bytes_max + 1)
        else:
            with source.path.open("rb") as file:
                data = file.read(bytes_max + 1)
    except OSError as error:
        raise Unread(said(error)) from error
    if len(data) > bytes_max:
        raise Unread(f"larger than {bytes_max} bytes; raise `--max-bytes`")
    return data


def _below(directory: Path) -> Iterator[Source]:
    """In order of names, folders where they stand; however deep they are."""
    waiting = [directory]
    while waiting:
        path = waiting.pop()
        if path is not directory and not path.is_dir():
            yield Source(str(path), path, is_named=False)
            continue
        try:
            waiting += reversed(_entries(path))
        except OSError as error:
            yield Source(str(path), None, is_named=False, problem=said(error))


def _entries(directory: Path) -> list[Path]:
    with os.scandir(directory) as entries:
        return sorted(directory / entry.name for entry in entries if _is_taken(entry))


def _is_taken(entry: os.DirEntry[str]) -> bool:
    if entry.is_dir(follow_symlinks=False):
        return entry.name not in SKIPPED_DIRECTORIES
    return entry.is_file(follow_symlinks=False)


def said(error: OSError) -> str:
    """What the system says, in our way of saying it."""
    return (error.strerror or str(error)).lower()
