"""A text made from another by a decoder, and the way back from its offsets.

What always holds: every offset of a layer leads to a span of the text that it was made from, and replacing that span
there removes what stands at the offset here.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from holdgate.scan.findings import View

GAP = b"\n\x1e\n"
"""Stands between pieces that do not belong together; `\\x1e` ends a named value."""
COPY = ""
"""The label of a piece that is as it was."""
RUNS = frozenset({View.BASE64, View.BASE32, View.HEX, View.NUMBERS, View.GZIP, View.ZLIB, View.FILE, View.UTF})
"""Decoders of whole runs; the others replace characters where they stand."""
_ORDER = (View.PERCENT, View.HTML, View.NORMAL, View.JSON, View.UNICODE)

Span: TypeAlias = tuple[int, int]
Piece: TypeAlias = tuple[int, int, int, str]
"""Start and end in the parent; bytes there for each byte here, 0 for all bytes there for any here; label."""


class Map:
    """Where each piece begins, and the pieces: in columns, since a hostile text may have one for each byte."""

    __slots__ = ("_ends", "_labels", "_origins", "_widths", "starts")

    def __init__(self, first: Piece | None = None) -> None:
        self.starts = array("Q")
        self._origins = array("Q")
        self._ends = array("Q")
        self._widths = array("I")
        self._labels: list[str] = []
        if first is not None:
            self.add(0, first)

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> Piece:
        return self._origins[index], self._ends[index], self._widths[index], self._labels[index]

    def labels(self, first: int, last: int) -> set[str]:
        """The labels of the pieces `first` to `last`."""
        return set(self._labels[first : last + 1])

    def add(self, at: int, piece: Piece) -> None:
        """`piece` begins at `at`."""
        self.starts.append(at)
        self._origins.append(piece[0])
        self._ends.append(piece[1])
        self._widths.append(piece[2])
        self._labels.append(piece[3])


@dataclass(frozen=True, slots=True)
class Place:
    """A span of the outermost text, the decoders on the way to it and where it stands in what each of them made."""

    start: int
    end: int
    via: tuple[str, ...] = ()
    trail: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """An encoded run of a text and what it stands for; `width`: bytes there for each byte here, 0 where it varies."""

    start: int
    end: int
    data: bytes
    view: View
    width: int = 0


class Layer:
    """`data` is what the engine sees. `depth`: runs that were decoded on the way here; `chain`: steps of any kind.

    `made`: the map, or what makes it once something was found.
    `textual`: whether it is text; what is not is looked at by sure rules only. `of_runs`: each piece is a decoded run.
    `bare`: what is not read was taken out of it.
    """

    __slots__ = ("_make", "_map", "bare", "chain", "data", "depth", "of_runs", "parent", "textual")

    def __init__(
        self,
        data: bytes,
        parent: Layer | None = None,
        made: Map | Callable[[], Map] | None = None,
        *,
        of_runs: bool = False,
        textual: bool = True,
        bare: bool = False,
    ) -> None:
        self.data = data
        self.parent = parent
        self.textual = textual
        self.of_runs = of_runs
        self.bare = bare
        self.depth: int = 0 if parent is None else parent.depth + of_runs
        self.chain: int = 0 if parent is None else parent.chain + 1
        self._make = None if isinstance(made, Map) else made
        self._map = made if isinstance(made, Map) else Map((0, len(data), 1, COPY))

    @property
    def pieces(self) -> Map:
        """Where each piece begins, and the pieces."""
        if self._make is not None:
            self._map, self._make = self._make(), None
        return self._map

    @property
    def starts(self) -> array[int]:
        """Where each piece begins."""
        return self.pieces.starts

    def place(self, start: int, end: int) -> Place:
        """Where `start` to `end` stands in the outermost text."""
        layer, via, trail = self, [], []
        while layer.parent is not None:
            low, high, inner, label = layer._up(start, end)
            if label != COPY:
                via.append(label)
                trail.append(inner)
            start, end, layer = low, high, layer.parent
        return Place(start, end, tuple(reversed(via)), tuple(reversed(trail)))

    def piece_end(self, at: int) -> int:
        """Where the piece that `at` is in ends."""
        index = bisect_right(self.starts, at)
        return self.starts[index] if index < len(self.starts) else len(self.data)

    def is_copied(self, start: int, end: int) -> bool:
        """Whether `start` to `end` is known to stand in the parent as it is here, and so do its neighbours."""
        if self.parent is None or self._make is not None:
            return False
        starts = self.starts
        index = bisect_right(starts, start) - 1
        origin, stop, width, _ = self.pieces[index]
        return width == 1 and starts[index] < start and end - starts[index] < stop - origin

    def crosses(self, start: int, end: int) -> bool:
        """Whether `start` to `end` takes from more than one place of the parent."""
        return len(self.origins(start, end)) > 1

    def origins(self, start: int, end: int) -> list[Span]:
        """The spans of the parent that `start` to `end` takes from, one for each piece."""
        found = []
        for index in range(bisect_right(self.starts, start) - 1, bisect_right(self.starts, end - 1)):
            stop = self.starts[index + 1] if index + 1 < len(self.starts) else len(self.data)
            low, high, _, _ = self._up(max(start, self.starts[index]), min(end, stop))
            if low < high:
                found.append((low, high))
        return found

    def _up(self, start: int, end: int) -> tuple[int, int, Span, str]:
        first = bisect_right(self.starts, start) - 1
        last = bisect_right(self.starts, end - 1) - 1
        known, (low, high, width, _) = start, self.pieces[first]
        if width:
            low = min(high, low + (start - self.starts[first]) * width)
        else:
            known = self.starts[first]
        origin, high, width, _ = self.pieces[last]
        if width:
            high = min(high, origin + (end - self.starts[last]) * width)
        label = min(self.pieces.labels(first, last) - {COPY}, key=_rank, default=COPY)
        return low, high, (start - known, end - known), label


class Builder:
    """Puts a layer together, piece by piece."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._map = Map()
        self.size = 0

    def add(self, data: bytes, start: int, end: int, label: str, width: int = 0) -> None:
        """`data` stands for `start` to `end` of the parent; each byte for `width` bytes, or all for all (0)."""
        if data or label != COPY:
            self._map.add(self.size, (start, end, width, label))
            self._parts.append(data)
            self.size += len(data)

    def copy(self, data: bytes, start: int, end: int) -> None:
        """`start` to `end` of `data`, the parent's, as it is."""
        self.add(data[start:end], start, end, COPY, 1)

    def gap(self, at: int) -> None:
        """What follows does not belong to what was before; `at`: where the parent is."""
        if self.size:
            self.add(GAP, at, at, COPY)

    def layer(self, parent: Layer, *, textual: bool = True) -> Layer | None:
        """The layer; None where nothing was added."""
        return self.built(parent, textual=textual) if self._map else None

    def built(self, parent: Layer, *, textual: bool = True) -> Layer:
        """The layer, of at least one piece."""
        of_runs = self._map[0][3] in RUNS
        return Layer(b"".join(self._parts), parent, self.map(), of_runs=of_runs, textual=textual)

    def map(self) -> Map:
        """Where each piece begins, and the pieces."""
        return self._map


def _rank(label: str) -> int:
    return _ORDER.index(label) if label in _ORDER else -1
