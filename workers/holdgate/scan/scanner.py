"""The scanner: known secrets first, then the rules, over each view of a text."""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

from holdgate.kernel.canonical import Json, check_json
from holdgate.kernel.errors import MalformedJson
from holdgate.scan.engine import Budget, Engine, Hit, Meter
from holdgate.scan.errors import ScanError, Unscannable
from holdgate.scan.findings import SECRETS, Category, Finding, View
from holdgate.scan.known import KnownDigests, KnownSecrets
from holdgate.scan.ruleset import Rule, builtin_rules, check_rules
from holdgate.scan.stream import scan_stream
from holdgate.scan.views.document import Leaf, leaves
from holdgate.scan.views.exact import Exact
from holdgate.scan.views.layer import Place
from holdgate.scan.views.search import Search, Sighting, is_by_name, strongest

_STRUCTURE = re.compile(rb'[][{},:"\strufalsen]*')
"""What a document has between its texts and numbers; a name that promises a secret may be followed by no more."""
Text: TypeAlias = str | bytes | bytearray | memoryview
_UNDONE_BY_PARSING = frozenset({View.JSON, View.UNICODE})


@dataclass(frozen=True, slots=True)
class Present:
    """What of each kind is in some texts. All three where they could not be searched to their end."""

    secrets: bool = False
    pii: bool = False
    platform: bool = False


class Scanner:
    """Finds secrets and personal data. Holds no text between calls; threads may share one.

    `known_secrets`: raw bytes of secrets to match exactly, in all their forms; kept in memory only. `known_digests`:
    forms of secrets that are looked up by their digests. `fast`: with hyperscan, where that is installed and passes.
    """

    def __init__(
        self,
        known_secrets: Iterable[bytes] = (),
        *,
        known_digests: Iterable[KnownDigests] = (),
        rules: Sequence[Rule] | None = None,
        budget: Budget | None = None,
        fast: bool = False,
    ) -> None:
        self._rules = builtin_rules() if rules is None else check_rules(rules)
        known = KnownSecrets(known_secrets)
        self._exact: list[Exact] = [*((known,) if known else ()), *known_digests]
        self._budget = budget or Budget()
        self._fast = fast

    @property
    def seconds(self) -> float:
        """How long one scan may take."""
        return self._budget.seconds

    def scan(self, text: Text) -> list[Finding]:
        """Findings in all views of `text`, sorted by place. ScanError when it could not be scanned to its end."""
        data = _as_bytes(text)
        found = strongest(self._search.sightings(data, self._meter(data)))
        return _in_characters(text, data, [_finding(each.hit, each.place, View.RAW) for each in found])

    def scan_raw(self, text: Text) -> list[Finding]:
        """Findings in `text` as it stands: nothing decoded, nothing normalised."""
        data = _as_bytes(text)
        found = strongest(self._search.raw(data, self._meter(data)))
        return _in_characters(text, data, [_finding(each.hit, each.place, View.RAW) for each in found])

    def scan_binary(self, data: bytes) -> list[Finding]:
        """Findings in bytes that are no text: of known secrets, and of rules that nothing there matches by chance."""
        return [
            _finding(each.hit, each.place, View.RAW) for each in strongest(self._search.binary(data, self._meter(data)))
        ]

    def scan_json(self, value: bytes) -> list[Finding]:
        """Findings in the values and keys of a JSON document, in all views. Unscannable when it is not JSON."""
        try:
            check_json(value)
        except MalformedJson as error:
            raise Unscannable(str(error)) from error
        return self._scan_document(value)

    def scan_value(self, value: Json) -> list[Finding]:
        """The same for a parsed JSON value. Unscannable when it is none, or deeper than can be written."""
        try:
            # The text that is looked at; nothing is hashed.
            text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), check_circular=False)  # noqa: TID251
        except (RecursionError, TypeError, ValueError) as error:
            raise Unscannable(f"the value cannot be written as JSON: {type(error).__name__}") from error
        return self._scan_document(text.encode("utf-8", "surrogatepass"))

    def present(self, *texts: str | bytes | None) -> Present:
        """What of each kind is in any of `texts`. Made for the submit path: stops when there is nothing left to learn.

        All three where a text is beyond the budget: what is not known to be clean is not clean.
        """
        seen: set[Category] = set()
        try:
            for text in texts:
                if text is not None and not self._all_seen(seen):
                    self._see(_as_bytes(text), seen)
        except ScanError:
            return Present(secrets=True, pii=True, platform=True)
        return Present(not SECRETS.isdisjoint(seen), Category.PII in seen, Category.PLATFORM_SECRET in seen)

    def scan_stream(self, chunks: Iterable[bytes]) -> Iterator[Finding]:
        """Findings in the raw view of a text that comes in pieces, in bounded memory; offsets in the whole."""
        for hit in scan_stream(self._search.engine, chunks):
            yield Finding(hit.detector, hit.category, hit.severity, hit.start, hit.end)

    @cached_property
    def _search(self) -> Search:
        return Search(self._rules, self._exact, Engine(self._rules, self._budget, fast=self._fast))

    def _meter(self, data: bytes) -> Meter:
        return Meter(self._budget, len(data))

    def _scan_document(self, data: bytes) -> list[Finding]:
        found = strongest(self._search.sightings(data, self._meter(data)))
        return _located(data, found) if found else []

    def _see(self, data: bytes, seen: set[Category]) -> None:
        for each in self._search.sightings(data, self._meter(data)):
            seen.add(each.hit.category)
            if self._all_seen(seen):
                return

    def _all_seen(self, seen: set[Category]) -> bool:
        secrets = Category.PLATFORM_SECRET in seen or (not self._exact and not SECRETS.isdisjoint(seen))
        return secrets and Category.PII in seen


def _as_bytes(text: Text) -> bytes:
    if isinstance(text, str):
        return text.encode("utf-8", "surrogatepass")
    if isinstance(text, bytes | bytearray | memoryview):
        return bytes(text)
    raise TypeError(f"a scan takes text or bytes, not `{type(text).__name__}`; `scan_value` takes a parsed JSON value")


def _finding(hit: Hit, place: Place, view: str) -> Finding:
    via = ">".join((view, *place.via))
    return Finding(hit.detector, hit.category, hit.severity, place.start, place.end, "", via, place.trail)


def _in_characters(text: Text, data: bytes, findings: list[Finding]) -> list[Finding]:
    """The same findings, with offsets in `text`; `data` is its UTF-8, which they have offsets in."""
    if not isinstance(text, str) or data.isascii() or not findings:
        return findings
    at, characters = 0, 0
    offsets: dict[int, int] = {}
    for byte in sorted({offset for finding in findings for offset in (finding.start, finding.end)}):
        characters += sum(map(_begins_character, data[at:byte]))
        offsets[byte], at = characters, byte
    return [replace(finding, start=offsets[finding.start], end=offsets[finding.end]) for finding in findings]


def _begins_character(byte: int) -> bool:
    return byte & 0xC0 != 0x80


def _located(data: bytes, found: Sequence[Sighting]) -> list[Finding]:
    """Findings in the leaves that hold what was found in the text of the document."""
    touched = list(leaves(data, [(each.place.start, each.place.end) for each in found]))
    starts, ends = [leaf.start for leaf in touched], [leaf.end for leaf in touched]
    located: dict[Finding, None] = {}
    for each in found:
        within = touched[bisect_right(ends, each.place.start) : bisect_left(starts, each.place.end)]
        if not within and not _STRUCTURE.fullmatch(data, each.place.start, each.place.end):
            raise Unscannable("what was found is nowhere in the document")
        located.update(dict.fromkeys(_in_leaf(each, leaf) for leaf in within))
    return list(located)


def _in_leaf(each: Sighting, leaf: Leaf) -> Finding:
    via, trail, size = each.place.via, each.place.trail, len(leaf.text.text)
    if via and via[0] in _UNDONE_BY_PARSING:
        via, trail = via[1:], trail[1:]
    start, end = max(each.place.start, leaf.start), min(each.place.end, leaf.end)
    start, end = leaf.text.span(start - leaf.start, end - leaf.start)
    if not leaf.quoted or (start == 0 and leaf.view is View.VALUE and is_by_name(each.hit.detector)):
        start, end = 0, size  # a number goes whole, and so does what is secret by its name
    hit = each.hit
    return Finding(hit.detector, hit.category, hit.severity, start, end, leaf.path, ">".join((leaf.view, *via)), trail)
