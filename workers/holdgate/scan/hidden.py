"""Text that a person does not see and a model reads: tags, bidi controls, smuggled bits; orders in other scripts.

What always holds: the work is linear in the text, and a text of none of these characters costs one or two searches.
Offsets are characters of the text. RE2 sees latin-1 only, so whatever lies beyond it is looked for here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from heapq import merge

from holdgate.scan.engine import Hit
from holdgate.scan.findings import Category, Severity
from holdgate.scan.scripts import SCRIPTS

HIDDEN_DETECTORS = {
    "hidden-tags": Severity.HIGH,
    "hidden-variation-selectors": Severity.HIGH,
    "hidden-zero-width": Severity.MEDIUM,
    "hidden-blanks": Severity.MEDIUM,
    "hidden-bidi": Severity.MEDIUM,
    "instruction-override-script": Severity.MEDIUM,
}
"""What `hidden_hits` may report, beside the rules that are data; all of category `untrusted_instructions`."""

_SLICE = 32 * 1024
_REACH = 256
"""How far behind its slice a hit may go on; what is longer becomes two."""
_ZERO_WIDTH = "\u200b\u200c\u200d\u2060-\u2064\ufeff\u180e\u206a-\u206f"
_SUSPECT = re.compile(
    f"[\U000e0000-\U000e01ef\ufe00-\ufe0f{_ZERO_WIDTH}\u202a-\u202e\u2066-\u2069\u115f\u1160\u3164\uffa0]"
)
_TAGS = re.compile("(\U0001f3f4)?([\U000e0000-\U000e007f]{2,})")
_REGION = re.compile("[\U000e0061-\U000e007a]{2}[\U000e0030-\U000e0039\U000e0061-\U000e007a]{1,4}\U000e007f")
"""The tags behind a black flag that make it the flag of a region: the only use that tag characters still have."""
_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{2,}")
_RUN = re.compile(f"[{_ZERO_WIDTH}]{{6,}}")
_SPREAD = re.compile(f"[!-~][{_ZERO_WIDTH}]+(?:[ -~]{{1,3}}[{_ZERO_WIDTH}]+){{7,}}")
_BLANKS = re.compile("[\u115f\u1160\u3164\uffa0]{6,}")
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")
_LINE = re.compile("[^\n\u2028\u2029]*[\u202a-\u202e\u2066-\u2069][^\n\u2028\u2029]*")
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_OVERRIDES = "\u202d\u202e"
_OPENS, _CLOSES = "\u202a\u202b\u202d\u202e\u2066\u2067\u2068", "\u202c\u2069"


def hidden_hits(text: str, spend: Callable[[int], None] | None = None) -> Iterator[Hit]:
    """What is hidden in `text`, and orders to a model in scripts beyond latin-1. For text that is not ASCII.

    `spend` is told before how many characters are looked at next; it ends a scan that costs too much.
    """
    start = 0
    while start < len(text):
        end = _end_of_slice(text, start)
        if spend is not None:
            spend(end - start)
        for hit in _in_slice(text[start : end + _REACH]):
            if start + hit.start < end:
                yield replace(hit, start=start + hit.start, end=start + hit.end)
        start = end


def _end_of_slice(text: str, start: int) -> int:
    """Behind a line where there is one, since controls of direction are judged by the line."""
    end = start + _SLICE
    return end if end >= len(text) else (text.rfind("\n", start, end) + 1 or end)


def _in_slice(text: str) -> Iterator[Hit]:
    """By place, each kind in its order, so that nobody waits for all of them before a budget can end it."""
    found = [
        _all("instruction-override-script", each, text) for letters, each in SCRIPTS.values() if letters.search(text)
    ]
    if _SUSPECT.search(text):
        found += [
            _tags(text),
            _all("hidden-variation-selectors", _SELECTORS, text),
            _all("hidden-zero-width", _RUN, text),
            _all("hidden-zero-width", _SPREAD, text),
            _all("hidden-blanks", _BLANKS, text),
            _bidi(text),
        ]
    yield from merge(*found, key=lambda hit: hit.start)


def _tags(text: str) -> Iterator[Hit]:
    for match in _TAGS.finditer(text):
        start, end = match.span(2)
        flag = _REGION.match(text, start, end) if match[1] else None
        if flag is None or flag.end() < end:
            yield _hit("hidden-tags", flag.end() if flag else start, end)


def _bidi(text: str) -> Iterator[Hit]:
    """Controls that turn the order around, or are left open, or stand in a line that has nothing to be turned."""
    if not _BIDI.search(text):
        return
    for line in _LINE.finditer(text):
        controls = [match.start() for match in _BIDI.finditer(text, line.start(), line.end())]
        shown = [text[at] for at in controls]
        opened = sum(map(_OPENS.count, shown))
        closed = sum(map(_CLOSES.count, shown))
        lawful = opened == closed and _RIGHT_TO_LEFT.search(text, line.start(), line.end())
        if not lawful or any(control in _OVERRIDES for control in shown):
            yield _hit("hidden-bidi", controls[0], controls[-1] + 1)


def _all(detector: str, pattern: re.Pattern[str], text: str) -> Iterator[Hit]:
    for match in pattern.finditer(text):
        yield _hit(detector, *match.span())


def _hit(detector: str, start: int, end: int) -> Hit:
    return Hit(detector, Category.UNTRUSTED_INSTRUCTIONS, HIDDEN_DETECTORS[detector], start, end)
