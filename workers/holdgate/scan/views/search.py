"""The whole search of a text: all views of it, each looked at by the same rules, under one budget.

What always holds: what is decoded is counted; what goes deeper than the bound is `ScanIncomplete`, never left out;
nothing found in a view is told twice.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain

from holdgate.scan.confirm import TAG_OPENING
from holdgate.scan.engine import Engine, Hit, Meter
from holdgate.scan.errors import ScanIncomplete
from holdgate.scan.findings import Category, View
from holdgate.scan.hidden import hidden_hits
from holdgate.scan.ruleset import Rule
from holdgate.scan.views.document import named
from holdgate.scan.views.escapes import undone
from holdgate.scan.views.exact import Exact
from holdgate.scan.views.glued import Gluer
from holdgate.scan.views.joined import JoinedHit, Joiner
from holdgate.scan.views.layer import Layer, Place, Span
from holdgate.scan.views.noise import without_noise, without_sequences
from holdgate.scan.views.runs import decoded
from holdgate.scan.views.sure import sure_rules

CHAIN_OVER = 5
"""How many more steps of any kind there may be than decoded runs inside each other."""
_RANK = {category: rank for rank, category in enumerate(Category)}
_BY_NAME = ("assigned-", "named-")
_GENERIC = (*_BY_NAME, "authorization-header", "basic-credentials", "prefixed-token", "url-token")
_NEIGHBOURS = 32
_TAG = re.compile(rb"\[redacted:[a-z_]{1,24}:[0-9a-f]{16}\]")
_MEANT = re.compile(rb"(?=[A-Za-z_+/-]{0,80}[0-9])(?=[0-9_+/-]{0,80}[A-Za-z])[A-Za-z0-9_+/-]{6,}")
"""What is hardly chance in what is left of a value: letters and digits in one word."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A hit and where it stands in the outermost text."""

    hit: Hit
    place: Place


class Search:
    """Looks at a text and at all that can be made of it."""

    def __init__(self, rules: Sequence[Rule], exact: Sequence[Exact], engine: Engine) -> None:
        self.engine = engine
        self._exact = tuple(exact)
        self._sure_rules = tuple(sure_rules(rules))
        self._sure_ids = frozenset(rule.id for rule in self._sure_rules)

    @cached_property
    def _sure(self) -> Engine:
        return Engine(self._sure_rules, self.engine.budget)

    @cached_property
    def _joiner(self) -> Joiner:
        return Joiner(lambda: self._sure, self._sure_rules, self._exact)

    @cached_property
    def _gluer(self) -> Gluer:
        return Gluer(self._sure_rules)

    def raw(self, data: bytes, meter: Meter) -> Iterator[Sighting]:
        """What is in `data` as it stands."""
        for hit in chain(self._known(data), self.engine.hits(data, meter)):
            yield Sighting(hit, Place(hit.start, hit.end))

    def binary(self, data: bytes, meter: Meter) -> Iterator[Sighting]:
        """What is in `data`, which is no text, as it stands."""
        for hit in chain(self._known(data), self._sure.hits(data, meter)):
            yield Sighting(hit, Place(hit.start, hit.end))

    def sightings(self, data: bytes, meter: Meter) -> Iterator[Sighting]:
        """What is in `data` in any view; may repeat and overlap."""
        waiting = deque([Layer(data)])
        while waiting:
            layer = waiting.popleft()
            sure: list[Span] = []
            for hit in self._hits(layer, meter):
                if hit.detector in self._sure_ids:
                    sure.append((hit.start, hit.end))
                yield Sighting(hit, layer.place(hit.start, hit.end))
            yield from self._glued(layer, meter)
            if layer.textual:
                yield from self._beside(layer, sorted(sure), meter)
            waiting += self._made_of(layer, sure, meter)

    def _hits(self, layer: Layer, meter: Meter) -> Iterator[Hit]:
        yield from self._known(layer.data)
        for hit in (self.engine if layer.textual else self._sure).hits(layer.data, meter):
            if not _is_left_over(hit, layer.data):
                yield hit
        if layer.textual and not layer.data.isascii():
            for hit in _hidden(layer.data, meter):
                meter.found()
                yield hit

    def _glued(self, layer: Layer, meter: Meter) -> Iterator[Sighting]:
        """What begins within a word."""
        cut = self._gluer.cut(layer, meter)
        if cut is not None:
            for hit in self._sure.hits(cut.data, meter):
                yield Sighting(hit, cut.place(hit.start, hit.end))

    def _beside(self, layer: Layer, sure: list[Span], meter: Meter) -> Iterator[Sighting]:
        """What is in named values and in pieces put together; `sure`: where sure rules found something whole."""
        if (values := named(layer)) is not None:
            for hit in self.engine.hits(values.data, meter):
                if not _is_left_over(hit, values.data):
                    yield Sighting(hit, values.place(hit.start, hit.end))
        for joined in self._joiner.hits(layer, sure, meter):
            yield from _pieces(joined)

    def _made_of(self, layer: Layer, sure: list[Span], meter: Meter) -> list[Layer]:
        """Layers of what is encoded in `layer`. What lies in a secret that was found goes with that."""
        budget = self.engine.budget
        runs = decoded(layer, meter)
        if layer.depth >= budget.depth_max:
            if any(not _inside(span, sure) for run in runs for span in run.origins(0, len(run.data))):
                raise ScanIncomplete("the text is encoded more often than the budget")
            runs = []
        if layer.bare:
            return runs  # what is escaped is undone first, and looked at without noise then
        more = undone(layer, meter)
        if more is not None and layer.chain >= budget.depth_max + CHAIN_OVER:
            raise ScanIncomplete("the text is escaped more often than the budget")
        made = (more, without_sequences(layer, meter), without_noise(layer, meter))
        return [*(each for each in made if each is not None), *runs]

    def _known(self, data: bytes) -> Iterator[Hit]:
        for each in self._exact:
            yield from each.hits(data)


def strongest(sightings: Iterable[Sighting]) -> list[Sighting]:
    """Without repeats and without those that lie inside one that says more; sorted by place."""
    kept: list[Sighting] = []
    open_ones: list[Sighting] = []
    for each in sorted(set(sightings), key=_order):
        open_ones = [other for other in open_ones[-_NEIGHBOURS:] if other.place.end > each.place.start]
        if not any(_covers(other, each) and _says_as_much(other.hit, each.hit) for other in open_ones):
            kept.append(each)
            open_ones.append(each)
    return kept


def _is_left_over(hit: Hit, data: bytes) -> bool:
    """Whether a value that is secret by its name alone is what an earlier redaction left around its tags."""
    if not is_by_name(hit.detector) or TAG_OPENING not in data[hit.start : hit.end]:
        return False
    return _MEANT.search(_TAG.sub(b" ", data[hit.start : hit.end])) is None


def is_by_name(detector: str) -> bool:
    """Whether a rule takes a value for secret because of its name alone."""
    return detector.startswith(_BY_NAME)


def _covers(one: Sighting, other: Sighting) -> bool:
    """Whether `other` lies inside `one`. Two that were decoded from one run are told apart by where they are in it."""
    first, second = one.place, other.place
    if not (first.start <= second.start and second.end <= first.end):
        return False
    if first.via != second.via or not first.trail or first.trail[:-1] != second.trail[:-1]:
        return True
    return first.trail[-1][0] <= second.trail[-1][0] and second.trail[-1][1] <= first.trail[-1][1]


def _says_as_much(one: Hit, other: Hit) -> bool:
    """Also of a key that is seen as it is and with its line ends escaped: it is one, and the longer place holds it."""
    return _weight(one) <= _weight(other) or one.category is other.category is Category.PRIVATE_KEY


def _order(each: Sighting) -> tuple[object, ...]:
    place = each.place
    return place.start, -place.end, len(place.via), _weight(each.hit), place.via, place.trail


def _weight(hit: Hit) -> tuple[int, bool, str]:
    return _RANK[hit.category], hit.detector.startswith(_GENERIC), hit.detector


def _inside(span: Span, others: Iterable[Span]) -> bool:
    return any(start <= span[0] and span[1] <= end for start, end in others)


def _pieces(joined: JoinedHit) -> Iterator[Sighting]:
    hit, layer = joined.hit, joined.layer
    for start, end in layer.origins(hit.start, hit.end):
        place = layer.parent.place(start, end) if layer.parent is not None else Place(start, end)
        via, trail = (*place.via, View.JOINED), (*place.trail, (0, end - start))
        yield Sighting(hit, Place(place.start, place.end, via, trail))


def _hidden(data: bytes, meter: Meter) -> Iterator[Hit]:
    """Hidden text, with offsets in bytes."""
    text = data.decode("utf-8", "surrogateescape")
    chars = start = 0
    for hit in hidden_hits(text, meter.spend):
        start += len(text[chars : hit.start].encode("utf-8", "surrogateescape"))
        chars = hit.start
        size = len(text[hit.start : hit.end].encode("utf-8", "surrogateescape"))
        yield replace(hit, start=start, end=start + size)
