"""From an offset in a text to the line and column that a person looks up, and from a path to a member's name."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from holdgate.scan import Finding
from holdgate.scan.views import unescape

_HOLD_MEMBERS = frozenset({"zip", "tar"})
"""Those kinds of archives whose members have names; of the others a stream has one text."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a finding stands. Lines and columns count from 1; the end is the first character behind it."""

    line: int
    column: int
    end_line: int
    end_column: int


class Lines:
    """The lines of one text; of bytes a column is a byte."""

    def __init__(self, text: str | bytes) -> None:
        self._starts = [0]
        at = -1
        while (at := text.find("\n", at + 1) if isinstance(text, str) else text.find(b"\n", at + 1)) >= 0:
            self._starts.append(at + 1)

    def place_of(self, finding: Finding) -> Place:
        """Where `finding` stands, whose offsets are in this text."""
        return Place(*self._at(finding.start), *self._at(finding.end))

    def _at(self, offset: int) -> tuple[int, int]:
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1


def member_of(finding: Finding) -> str:
    """The member that `finding` is in, archives in archives joined by `!/`, and in JSON the pointer behind a `#`."""
    deep = sum(kind in _HOLD_MEMBERS for kind in finding.via.split(">"))
    tokens = finding.path.split("/")[1:]
    pointer = "".join(f"/{token}" for token in tokens[deep:])
    return "!/".join(map(unescape, tokens[:deep])) + (f"#{pointer}" if pointer else "")
