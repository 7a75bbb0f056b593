"""Files that a run leaves beside its value. They are output: scanned, and read by nobody before the verdict.

What always holds: there are at most `ARTIFACTS_MAX` of them, with different names of a safe form, and together they are
no larger than the output may be.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from holdgate.kernel import limits
from holdgate.kernel.ids import ARTIFACT_NAME, MEDIA_TYPE
from holdgate.workers.errors import BadArtifact


@dataclass(frozen=True, slots=True)
class RunArtifact:
    """One file: its name, what its author says that it is, its bytes."""

    name: str
    media_type: str | None
    data: bytes


class ArtifactBox:
    """The files of one run. Safe to use from any thread; `on_add` is told of each."""

    def __init__(self, bytes_max: int, on_add: Callable[[RunArtifact], None] | None = None) -> None:
        self.bytes_max = bytes_max
        self._on_add = on_add
        self._kept: dict[str, RunArtifact] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def add(self, name: str, data: bytes | bytearray | memoryview | str | Path, media_type: str | None = None) -> None:
        """Keep a file; BadArtifact when its name, its type or its size may not be. A text is kept as UTF-8."""
        if ARTIFACT_NAME.match(name) is None:
            raise BadArtifact("the name of an artifact has 1 to 128 letters, digits and `._-`, and no dot first")
        if media_type is not None and MEDIA_TYPE.match(media_type) is None:
            raise BadArtifact(f"the media type of `{name}` is of the form `text/csv`, in small letters")
        artifact = RunArtifact(name, media_type, _bytes_of(data, self.bytes_max + 1))
        with self._lock:
            if name in self._kept:
                raise BadArtifact(f"there is an artifact `{name}` already")
            if len(self._kept) >= limits.ARTIFACTS_MAX:
                raise BadArtifact(f"a run leaves at most {limits.ARTIFACTS_MAX} artifacts")
            if self._bytes + len(artifact.data) > self.bytes_max:
                raise BadArtifact(f"the artifacts of a run have at most {self.bytes_max} bytes together")
            self._kept[name] = artifact
            self._bytes += len(artifact.data)
        if self._on_add is not None:
            self._on_add(artifact)

    def all(self) -> tuple[RunArtifact, ...]:
        """What was kept so far, in order."""
        with self._lock:
            return tuple(self._kept.values())


def _bytes_of(data: bytes | bytearray | memoryview | str | Path, bytes_max: int) -> bytes:
    if isinstance(data, str):
        return data.encode("utf-8", "replace")
    if isinstance(data, Path):
        with data.open("rb") as opened:
            return opened.read(bytes_max)
    return bytes(data)
