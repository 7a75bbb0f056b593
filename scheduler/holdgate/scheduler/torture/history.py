"""The history of a torture: every request, reply, observed state and fault, one JSON line each.

What always holds: an event is in the file before `record` returns, so that what a killed harness saw is there; events
stand in the order in which they were recorded; reading leaves out a last line that was cut off, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TextIO


class Kind(StrEnum):
    """What an event tells. `data` is read in `check.reading`."""

    REQUEST = "request"
    """A client is about to send: `call` (a number of its own), `op`, and what was asked."""
    REPLY = "reply"
    """The answer to `call`: `http` (its status), and what is kept of its body."""
    UNKNOWN = "unknown"
    """No answer to `call`: it may have happened or not. `reason`."""
    SEEN = "seen"
    """A state told by a stream: `job_id`, `state`."""
    FAULT = "fault"
    """A fault was injected: `fault` (a number of its own), `name`, `target`."""
    HEALED = "healed"
    """The fault `fault` is over."""
    NOTE = "note"
    """For the reader."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened at `at_ms` (the harness's clock). `who` is a person's name, or of the harness."""

    at_ms: int
    who: str
    kind: Kind
    data: Mapping[str, Any] = field(default_factory=dict)


class History:
    """Writes events behind each other. One writer a file; a context manager."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.count = 0
        self._out: TextIO = file.open("a", encoding="utf-8", buffering=1)

    def record(self, event: Event) -> None:
        """Append `event`; it is with the operating system when this returns."""
        line = {"at_ms": event.at_ms, "who": event.who, "kind": str(event.kind), "data": dict(event.data)}
        self._out.write(json.dumps(line, separators=(",", ":")) + "\n")  # noqa: TID251  nothing of it is hashed
        self.count += 1

    def close(self) -> None:
        """No more events. Idempotent."""
        self._out.close()

    def __enter__(self) -> History:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


def read_history(file: Path) -> Iterator[Event]:
    """The events of `file` in order; ValueError when a line other than the last is none."""
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            if not line.endswith("\n"):
                return
            value = json.loads(line)
            yield Event(value["at_ms"], value["who"], Kind(value["kind"]), value["data"])
