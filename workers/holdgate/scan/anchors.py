"""What the multi-pattern engine looks for in place of a rule's anchor: a pattern that matches wherever the anchor does.

One automaton looks for all rules at once, and its size is the product of what they remember. Literal letters cost
nothing; a gap (`[\\w .-]{0,20}`) or a long counted class behind a word must remember how far it is, for each rule and
each start of its own: a text full of such words then takes a new state a byte (under 1 MB/s). So an anchor is cut where
the remembering begins; what it would have checked there, the rule's `regex` checks. Classes are written out as bytes,
as RE2 reads them, so that another engine reads the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from holdgate.kernel.patterns import parsed

LITERALS_MIN = 2
"""An anchor is not cut before every way through it has so many letters of its own."""
COUNTED_MAX = 8
"""A class is counted so far behind the letters; a longer count hardly tells more and remembers more."""
GROUP_WIDTH_MAX = 64
WORD_MIN = 4
"""Words shorter than this are in too many others."""
WORDS_OPENING = "(?i:"
_ENDLESS = 1001
"""RE2 counts to 1000; above that stands what has no bound."""
_WORD = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")
_DIGITS = frozenset(b"0123456789")
_SPACE = frozenset(b"\t\n\f\r ")
_ANY = frozenset(range(256))
_RARE = frozenset(b"\x1c\x1d\x1e\x1f!#$%&*<>@\\^`|~")
_CATEGORIES = {
    "CATEGORY_WORD": _WORD,
    "CATEGORY_NOT_WORD": _ANY - _WORD,
    "CATEGORY_DIGIT": _DIGITS,
    "CATEGORY_NOT_DIGIT": _ANY - _DIGITS,
    "CATEGORY_SPACE": _SPACE,
    "CATEGORY_NOT_SPACE": _ANY - _SPACE,
}
_PLACES = {
    "AT_BOUNDARY": r"\b",
    "AT_BEGINNING": "(?m:^)",
    # The end of a piece is not the end of the text: what must stand there is left to the rule's `regex`.
    "AT_END": "",
    "AT_END_STRING": "",
}


class _Unknown(Exception):
    """A construct that is not rewritten."""


@cache
def cheap_anchor(pattern: str) -> str:
    """`pattern`, cut where its automaton would grow; `pattern` itself where it cannot be read or cut.

    One that is cut at a gap is the words before it, where they are hardly more.
    """
    try:
        tree = parsed(pattern)
        writer = _Writer(bool(tree.state.flags & re.IGNORECASE))
        written, cut = writer.sequence(tree)
    except (re.error, _Unknown):
        return pattern
    if cut and writer.literals < LITERALS_MIN:
        return pattern
    whole = f"(?i){written}" if tree.state.flags & re.IGNORECASE else written
    if not writer.gap:
        return whole
    words = _words(parsed(whole))
    shortest = min(map(len, words), default=0)
    return words_anchor(words) if shortest >= WORD_MIN and writer.literals <= shortest + 1 else whole


def rare_bytes(pattern: str) -> tuple[bytes, ...]:
    """Bytes that each match of `pattern` holds and few texts do: control characters and signs."""
    try:
        return tuple(sorted({bytes([value]) for value in _required(parsed(pattern)) if value in _RARE}))
    except re.error:
        return ()


def _required(items: Iterable[tuple[Any, Any]]) -> Iterator[int]:
    for code, value in items:
        kind = str(code)
        if kind == "LITERAL":
            yield value
        elif kind == "SUBPATTERN":
            yield from _required(value[3])
        elif kind in {"MAX_REPEAT", "MIN_REPEAT"} and value[0]:
            yield from _required(value[2])


def words_anchor(words: Iterable[str]) -> str:
    """Any of `words`, in any case of letters."""
    return WORDS_OPENING + "|".join("".join(_class({ord(letter)}) for letter in word) for word in sorted(words)) + ")"


def _words(items: Iterable[tuple[Any, Any]]) -> frozenset[str]:
    """Lower-case words of which each match has one; of several such sets the one whose shortest word is longest."""
    best: frozenset[str] = frozenset()
    run = ""
    for code, value in [*items, ("END", None)]:
        kind = str(code)
        if kind == "LITERAL":
            run += chr(value).lower()
            continue
        found: frozenset[str] = frozenset()
        if kind == "SUBPATTERN":
            found = _words(value[3])
        elif kind == "BRANCH":
            branches = [_words(branch) for branch in value[1]]
            found = frozenset().union(*branches) if all(branches) else found
        elif kind in {"MAX_REPEAT", "MIN_REPEAT"} and value[0]:
            found = _words(value[2])
        best = max(best, found, frozenset({run} if run else ()), key=lambda words: min(map(len, words), default=0))
        run = ""
    return best


@dataclass(slots=True)
class _Writer:
    """Writes a parsed pattern from its beginning to where it is cut."""

    fold: bool
    literals: int = 0
    gap: bool = False
    letters: set[int] = field(default_factory=set)

    def sequence(self, items: Iterable[tuple[Any, Any]]) -> tuple[str, bool]:
        """The pattern of `items`, and whether it was cut: then nothing may follow."""
        written = []
        for kind, value in items:
            text, cut = self._item(str(kind), value)
            written.append(text)
            if cut:
                return "".join(written), True
        return "".join(written), False

    def _item(self, kind: str, value: Any) -> tuple[str, bool]:
        if kind == "LITERAL":
            self.literals += 1
            self.letters.add(value)
            return _class({value}), False
        if kind == "AT" and str(value) in _PLACES:
            return _PLACES[str(value)], False
        if kind == "BRANCH":
            return self._branches(value[1])
        if kind == "SUBPATTERN":
            return self._group(*value[1:])
        if kind in {"MAX_REPEAT", "MIN_REPEAT"}:
            return self._repeat(*value)
        return _class(self._characters(kind, value)), False

    def _branches(self, branches: Iterable[Any]) -> tuple[str, bool]:
        before, least, cut, written = self.literals, None, False, []
        for branch in branches:
            self.literals = before
            text, ended = self.sequence(branch)
            written.append(text)
            cut = cut or ended
            least = self.literals if least is None else min(least, self.literals)
        self.literals = least or before
        return f"(?:{'|'.join(written)})", cut

    def _group(self, added: int, removed: int, items: Any) -> tuple[str, bool]:
        outer = self.fold
        self.fold = (outer or bool(added & re.IGNORECASE)) and not removed & re.IGNORECASE
        text, cut = self.sequence(items)
        flag = "" if self.fold == outer else ("i" if self.fold else "-i")
        self.fold = outer
        return f"(?{flag}:{text})", cut

    def _repeat(self, low: int, high: int, items: Any) -> tuple[str, bool]:
        least = self.literals
        if len(items) == 1 and str(items[0][0]) in {"IN", "ANY", "NOT_LITERAL"}:
            return self._counted(low, high, self._characters(str(items[0][0]), items[0][1]))
        width = items.getwidth()[1] * high if high < _ENDLESS else GROUP_WIDTH_MAX + 1
        text, cut = self.sequence(items)
        if low == 0:
            self.literals = least
        if (cut or width > GROUP_WIDTH_MAX) and least >= LITERALS_MIN:
            self.gap = True
            return (f"(?:{text})" if low else ""), True
        if cut:
            raise _Unknown
        return f"(?:{text}){_times(low, high)}", False

    def _counted(self, low: int, high: int, characters: frozenset[int]) -> tuple[str, bool]:
        text = _class(characters)
        endless = high >= _ENDLESS
        if self.literals < LITERALS_MIN or (not endless and high <= COUNTED_MAX):
            return text + _times(low, high), False
        if low >= COUNTED_MAX:
            return f"{text}{{{COUNTED_MAX}}}", True
        if not endless and self._ends_before_another_start(characters):
            return text + _times(low, high), False
        self.gap = True
        return (text + _times(low, low) if low else ""), True

    def _ends_before_another_start(self, characters: frozenset[int]) -> bool:
        """Whether a run of `characters` cannot hold the letters that led to it, nor the words of a sentence."""
        return ord(" ") not in characters and not _folded(self.letters) <= _folded(characters)

    def _characters(self, kind: str, value: Any) -> frozenset[int]:
        if kind == "ANY":
            return _ANY
        if kind == "NOT_LITERAL":
            return _ANY - self._cased({value})
        if kind != "IN":
            raise _Unknown
        found: set[int] = set()
        for code, argument in value:
            item = str(code)
            if item == "LITERAL":
                found |= self._cased({argument})
            elif item == "RANGE":
                found |= self._cased(set(range(argument[0], argument[1] + 1)))
            elif item == "CATEGORY":
                found |= _CATEGORIES[str(argument)]
            elif item != "NEGATE":
                raise _Unknown
        negated = str(value[0][0]) == "NEGATE"
        return _ANY - found if negated else frozenset(found)

    def _cased(self, characters: set[int]) -> set[int]:
        return characters | _folded(characters) | _raised(characters) if self.fold else characters


def _folded(characters: Iterable[int]) -> set[int]:
    return set(bytes(characters).lower())


def _raised(characters: Iterable[int]) -> set[int]:
    return set(bytes(characters).upper())


def _times(low: int, high: int) -> str:
    if high == low:
        return f"{{{low}}}"
    return f"{{{low},}}" if high >= _ENDLESS else f"{{{low},{high}}}"


def _class(characters: Iterable[int]) -> str:
    """The characters as ranges of bytes."""
    ordered = sorted(characters)
    ranges: list[list[int]] = []
    for character in ordered:
        if ranges and ranges[-1][1] == character - 1:
            ranges[-1][1] = character
        else:
            ranges.append([character, character])
    if len(ordered) == 1:
        return _byte(ordered[0])
    return "[" + "".join(_byte(low) if low == high else f"{_byte(low)}-{_byte(high)}" for low, high in ranges) + "]"


def _byte(character: int) -> str:
    letter = chr(character)
    return letter if letter.isascii() and letter.isalnum() else f"\\x{character:02x}"
