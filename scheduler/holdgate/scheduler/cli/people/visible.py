"""What others wrote, fit for a terminal: shown to the last character, and nothing in it acts.

What always holds: a character that would move a cursor, change colours, turn text around or show nothing is written as
its escape, such as `\\x1b` or `\\u202e`, so that whoever decides by the text sees that it is there; a backslash is left
as it is, since this is for eyes, and `--json` is for programs.
"""

from __future__ import annotations

import unicodedata

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Categories of Unicode: controls, format characters (bidirectional ones, zero-width ones, tags), surrogates, those for
private use or of no meaning yet, separators of lines and paragraphs."""
_ODD_SPACES = frozenset("\u2800\u3164\u115f\u1160\uffa0\u034f\u17b4\u17b5")
"""Letters and marks that look like nothing."""


def visible(text: object) -> str:
    """One line of `text`."""
    found = str(text)
    if found.isascii() and found.isprintable():
        return found
    return "".join(_shown(character) for character in found)


def visible_lines(text: object) -> str:
    """The same, where lines are meant."""
    return "\n".join(map(visible, str(text).split("\n")))


def _shown(character: str) -> str:
    if unicodedata.category(character) in _HIDDEN or character in _ODD_SPACES:
        return character.encode("ascii", "backslashreplace").decode() if ord(character) > 127 else _ascii(character)
    if unicodedata.category(character) == "Zs" and character != " ":
        return character.encode("ascii", "backslashreplace").decode()
    return character


def _ascii(character: str) -> str:
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character, f"\\x{ord(character):02x}")
