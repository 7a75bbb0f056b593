"""Pieces that stand side by side, as one: neighbouring JSON values, lines, strings that a program puts together.

What always holds: only what a vendor's prefix or a known secret says counts, and only where it takes from more than one
piece; each piece is told apart, so that each can be replaced. The text is put together at the speed of one
substitution; the way back is made only where something begins.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Any

from holdgate.kernel.patterns import MATCH_BYTES_MAX
from holdgate.scan.engine import Engine, Hit, Meter
from holdgate.scan.findings import View
from holdgate.scan.ruleset import Rule
from holdgate.scan.views.exact import Exact
from holdgate.scan.views.layer import COPY, Builder, Layer, Map, Span
from holdgate.scan.views.sure import HEAD_CHARS_MIN, either, is_rare, prefixes

PIECES_MAX = 12
_LETTERS_MIN = 6
_LETTERS_MAX = 400
_LETTERS_BYTES = 3
"""A list of letters has more pieces than a sum of strings; they are taken as one, all of them."""
_WHOLE_BYTES_MIN = 12
"""No token is shorter."""
_WORK_OF_PIECE = 256
_WORK_OF_CALL = 2048
"""What the map of a piece and a call of the engine cost, in bytes looked at."""
_BLOCK_HEAD = b"-----BEGIN"
_BLOCK_PIECES_MAX = 400
_WINDOW_BYTES = 16 * 1024
_WINDOWS = 4
"""So many are asked at once whether anything begins in them."""
_SPREAD_BYTES = 4 * 1024
"""How far the beginning of a token may be spread over pieces: a window sees so much of the next one."""
_BEGIN_BYTES_MAX = 64
_REACH_BYTES = 8 * 1024
_BLOCK_REACH_BYTES = 24 * 1024
"""How far behind its window a token goes on, over pieces; and what is long."""
_BACK_BYTES = 128
_PART_BYTES_MAX = 256 * 1024
"""Texts are put together part by part, where something begins, so that time and memory are bounded."""
_TOKEN_BYTES_MAX = 2048
"""How far behind its prefix a token that is put together may go on."""
_SEAM = re.compile(
    rb"[\"'`]\s{0,8}[)\]}]?\s{0,8}(?:[,+.&;]|\.\.|\|\||\\\r?\n)?\s{0,64}[(\[{]?\s{0,8}"
    rb"(?:[\"'][^\"'\n]{0,80}[\"']\s{0,4}:\s{0,4})?[\"'`]"
    rb"|[\\=]?\r?\n[ \t]{0,64}(?:[-*>|#+] |\+)?"
)
_WORD_BEFORE = rb"(?:^|[^A-Za-z0-9_-])"
_TOKEN_BEHIND = rb"(?:[a-z_-]{0,8}[0-9A-Z]|[\"'`\\\r\n])"
"""What tells a short prefix from the beginning of a word, in the text as it is."""
_BLANK = b" \t\r\n(){}[]"
_SEAM_BYTES = b"\"'`,+&|;\\"
_LIST_END = re.compile(rb"[])}:]")
_QUOTES = (b'"', b"'", b"`")
_FIELD = re.compile(rb"\",\"[^\"\n]{0,80}\":\"|\"\.\"")
_TOKEN = re.compile(rb"[A-Za-z0-9+/=_.~-]")
_REST = re.compile(rb"(?=[A-Za-z+/=_.-]{0,80}(?:[0-9]|[a-z][A-Z]))[A-Za-z0-9+/=_.-]{6,}(?=[\"'`\s]|$)")
"""A piece that looks like the rest of a token, not like a word."""


@dataclass(frozen=True, slots=True)
class JoinedHit:
    """A hit and the layer it is in."""

    hit: Hit
    layer: Layer


class Joiner:
    """Looks for what is split. `engine`: of the sure `rules`, made when needed; `exact`: what is matched exactly."""

    def __init__(self, engine: Callable[[], Engine], rules: Sequence[Rule], exact: Sequence[Exact]) -> None:
        self._engine = engine
        self._exact = exact
        heads = {head for rule in rules for head in prefixes(rule)}
        rare = {head for head in heads if is_rare(head)}
        self._heads = either(head.encode("ascii") for head in heads)
        self._common = either((head.encode("ascii") for head in heads - rare), _WORD_BEFORE, _TOKEN_BEHIND)
        self._begins = _bare_begins(head.encode("ascii") for head in rare)
        self._long = _bare_begins(chain((_BLOCK_HEAD,), *(each.plain() for each in exact)))

    def hits(self, layer: Layer, found: Sequence[Span], meter: Meter) -> Iterator[JoinedHit]:
        """What takes from more than one piece of `layer`; `found`: where sure rules found something whole."""
        data = layer.data
        for begin, end in self._parts(data):
            part = layer
            if end - begin < len(data):
                part = Layer(data[begin:end], layer, Map((begin, end, 1, COPY)))
            inside = [(max(0, first - begin), last - begin) for first, last in found if first < end and last > begin]
            yield from self._in_part(part, inside, _BACK_BYTES if begin else 0, meter)

    def _parts(self, data: bytes) -> Iterator[Span]:
        """The parts of `data` in which anything may begin, as far as it may go on."""
        begin = end = 0
        for start, reach in self._reaches(data):
            stop = min(len(data), start + _WINDOW_BYTES + reach)
            if end and (start > end or stop - begin > _PART_BYTES_MAX):
                yield begin, end
                begin = end = 0
            begin, end = begin if end else max(0, start - _BACK_BYTES), max(end, stop)
        if end:
            yield begin, end

    def _reaches(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Windows in which anything begins: where they do, and how far behind them it may go on."""
        for first in range(0, len(data), _WINDOWS * _WINDOW_BYTES):
            last = min(len(data), first + _WINDOWS * _WINDOW_BYTES)
            if self._reach(data[first : last + _SPREAD_BYTES]):
                for start in range(first, last, _WINDOW_BYTES):
                    if reach := self._reach(data[start : start + _WINDOW_BYTES + _SPREAD_BYTES]):
                        yield start, reach

    def _reach(self, window: bytes) -> int:
        """How far behind `window` what begins in it may go on; 0 where nothing begins.

        That is so when it does not in what is left without all that a seam may be made of.
        """
        bare = _bare(_FIELD.sub(b"", window.translate(None, _BLANK)))
        if self._long.search(bare) is not None:
            return _BLOCK_REACH_BYTES
        begins = self._begins.search(bare) is not None or self._common.search(window) is not None
        return _REACH_BYTES if begins else 0

    def _in_part(self, layer: Layer, found: Sequence[Span], first: int, meter: Meter) -> Iterator[JoinedHit]:
        """What begins from `first` on: what does before it was seen in another part."""
        glued = _SEAM.sub(b"", layer.data)
        exact = any(next(each.hits(glued), None) is not None for each in self._exact)
        starts = [match.start() for match in self._heads.finditer(glued)]
        if len(glued) == len(layer.data) or not (exact or starts):
            return
        pieces = _Pieces(layer, frozenset(starts))
        meter.spend(len(glued) + _WORK_OF_PIECE * len(pieces.spans))
        if exact:
            yield from self._exactly(pieces.joined(0, len(pieces.spans), bytes_max=0))
        ends = [end for _, end in found]
        blocks = [start for start in starts if glued.startswith(_BLOCK_HEAD, start)]
        for start in starts:
            place = pieces.place(start)
            nearest = bisect_right(ends, place)
            inside = nearest < len(found) and found[nearest][0] <= place
            begins = place >= first and not inside and pieces.begins(start)
            if begins and pieces.has_seam(start, start + _TOKEN_BYTES_MAX):
                number = bisect_right(blocks, start)
                if number and blocks[number - 1] == start:
                    yield from self._block(pieces, start, blocks[number] if number < len(blocks) else None, meter)
                else:
                    yield from self._from(pieces, start, meter)

    def _exactly(self, layer: Layer) -> Iterator[JoinedHit]:
        for each in self._exact:
            for hit in each.hits(layer.data):
                if layer.crosses(hit.start, hit.end):
                    yield JoinedHit(hit, layer)

    def _block(self, pieces: _Pieces, start: int, following: int | None, meter: Meter) -> Iterator[JoinedHit]:
        """The key that begins at `start`, line by line. Where a `following` one begins, it has ended."""
        first = pieces.index(start)
        stop = first + _BLOCK_PIECES_MAX
        if following is not None:
            stop = min(stop, pieces.index(following) + 1)
        text = pieces.joined(first, stop, start, glue=b"\n", bytes_max=MATCH_BYTES_MAX)
        yield from self._crossing(text, meter)

    def _from(self, pieces: _Pieces, start: int, meter: Meter) -> Iterator[JoinedHit]:
        """The token that begins at `start`: of as few pieces as make one, and of what looks like its rest."""
        first = pieces.index(start)
        stop = pieces.letters(first)
        if stop - first > _LETTERS_MIN:
            found = list(self._crossing(pieces.joined(first, stop, start), meter))
            if found:
                yield from found
                return
        last = pieces.last(first)
        for stop in range(first + 2, last + 2):
            if pieces.size(first, stop) < _WHOLE_BYTES_MIN:
                continue
            found = list(self._crossing(pieces.joined(first, stop, start), meter))
            if found:
                while stop <= last and pieces.goes_on(stop):
                    stop += 1
                longer = list(self._crossing(pieces.joined(first, stop, start), meter))
                yield from longer or found
                return

    def _crossing(self, layer: Layer, meter: Meter) -> Iterator[JoinedHit]:
        meter.spend(len(layer.data) + _WORK_OF_CALL)
        for hit in self._engine().hits(layer.data):
            if layer.crosses(hit.start, hit.end):
                meter.found()
                yield JoinedHit(hit, layer)


class _Pieces:
    """What stands between the seams of a text, and where each piece begins in the text without seams."""

    def __init__(self, layer: Layer, heads: frozenset[int]) -> None:
        self._heads = heads
        seams = [match.span() for match in _SEAM.finditer(layer.data)]
        self._layer = layer
        self.spans: list[Span] = list(
            zip([0, *(end for _, end in seams)], [*(start for start, _ in seams), len(layer.data)], strict=True)
        )
        self._starts = [0, *accumulate(end - start for start, end in self.spans)]

    def index(self, position: int) -> int:
        """The piece that `position` of the text without seams is in."""
        return min(bisect_right(self._starts, position), len(self.spans)) - 1

    def place(self, position: int) -> int:
        """Where `position` of the text without seams is in the text."""
        index = self.index(position)
        return self.spans[index][0] + position - self._starts[index]

    def begins(self, position: int) -> bool:
        """Whether a word begins at `position`: at a seam, or behind what is no letter."""
        index = self.index(position)
        place = self.place(position)
        return place == self.spans[index][0] or not self._layer.data[place - 1 : place].isalnum()

    def has_seam(self, start: int, end: int) -> bool:
        """Whether there is more than one piece between the two."""
        return self.index(start) != self.index(end)

    def last(self, first: int) -> int:
        """The last of the pieces behind `first` that may be of one token with it: none begins another."""
        index = first
        while index + 1 < min(len(self.spans), first + PIECES_MAX):
            low, high = self.spans[index + 1]
            if self._starts[index + 1] in self._heads:
                break
            if not (_TOKEN.match(self._layer.data, low, high) or (low == high and self._is_quoted(low))):
                break
            index += 1
        return index

    def letters(self, first: int) -> int:
        """Where the pieces behind `first` end that are but a letter or two."""
        index = first + 1
        while index < min(len(self.spans), first + _LETTERS_MAX):
            low, high = self.spans[index]
            seam = self._layer.data[self.spans[index - 1][1] : low]
            if _LIST_END.search(seam) or not _TOKEN.match(self._layer.data, low, high):
                break
            index += 1
            if high - low > _LETTERS_BYTES:
                break  # the last of them, and what stands behind it
        return index

    def size(self, first: int, stop: int) -> int:
        """How many bytes there are in the pieces from `first` to before `stop`."""
        return self._starts[stop] - self._starts[first]

    def _is_quoted(self, place: int) -> bool:
        return self._layer.data[place - 1 : place] in _QUOTES

    def goes_on(self, index: int) -> bool:
        """Whether this piece looks like the rest of a token."""
        if index >= len(self.spans):
            return False
        return _REST.match(self._layer.data, *self.spans[index]) is not None

    def joined(
        self, first: int, stop: int, start: int = 0, *, glue: bytes = b"", bytes_max: int = _TOKEN_BYTES_MAX
    ) -> Layer:
        """The pieces from `first` to before `stop`, the first one from `start` on, with a space at both ends."""
        builder, data, high = Builder(), self._layer.data, 0
        for index in range(first, min(stop, len(self.spans))):
            low, high = self.spans[index]
            if index == first:
                low = low + max(0, start - self._starts[first])
                builder.add(_before(data, low), low, low, View.JOINED)
            else:
                builder.add(glue, low, low, View.JOINED)
            high = min(high, low + bytes_max) if bytes_max else high
            builder.add(data[low:high], low, high, View.JOINED, 1)
            if bytes_max and builder.size > bytes_max:
                break
        builder.add(b" ", high, high, View.JOINED)
        return builder.built(self._layer)


def _bare_begins(texts: Iterable[bytes]) -> Any:
    return either(text[:_BEGIN_BYTES_MAX] for text in map(_bare, texts) if len(text) >= HEAD_CHARS_MIN)


def _bare(data: bytes) -> bytes:
    return data.translate(None, _BLANK + _SEAM_BYTES)


def _before(data: bytes, position: int) -> bytes:
    """What stands before a token decides whether it begins there; a seam ends what was before."""
    return data[position - 1 : position] or b" "
