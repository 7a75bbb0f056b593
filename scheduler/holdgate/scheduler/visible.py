"""What others wrote, fit for eyes: shown to the last character, and nothing in it acts or hides.

What always holds: a character that would move a cursor, change colours, turn text around or show nothing is written
out, as its escape in a terminal (`\\x1b`, `\\u202e`) and as `[U+202E]` on a page, so that whoever decides by the text
sees that it is there. All else is left as it is, a backslash too: for programs there is `--json`, and the API.
"""

from __future__ import annotations

import unicodedata

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Categories of Unicode: controls, format characters (bidirectional ones, zero-width ones, tags), surrogates, those for
private use or of no meaning yet, separators of lines and paragraphs."""
_ODD_SPACES = frozenset("\u2800\u3164\u115f\u1160\uffa0\u034f\u17b4\u17b5")
"""Letters and marks that look like nothing."""
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: object) -> str:
    """One line of `text` for a terminal."""
    return "".join(_escape(character) if _is_unseen(character) else character for character in str(text))


def visible_lines(text: object) -> str:
    """The same, where lines are meant."""
    return "\n".join(map(visible, str(text).split("\n")))


class _OnPage(dict[int, str]):
    """What `str.translate` asks for each character that it meets, once: a look at each one would hold up a page."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        shown = f"[U+{code:04X}]" if _is_unseen(character) and character not in "\n\t" else character
        if len(self) < KNOWN_MAX:
            self[code] = shown
        return shown


KNOWN_MAX = 10_000
"""Characters that are remembered; there are a million."""
_ON_PAGE = _OnPage()


def visible_on_page(text: object) -> str:
    """`text` for a page of the console; line breaks and tabs stay."""
    return str(text).translate(_ON_PAGE)


def _is_unseen(character: str) -> bool:
    if " " <= character <= "~":
        return False
    category = unicodedata.category(character)
    return category in _HIDDEN or character in _ODD_SPACES or (category == "Zs" and character != " ")


def _escape(character: str) -> str:
    if ord(character) > 127:
        return character.encode("ascii", "backslashreplace").decode()
    return _SHORT.get(character, f"\\x{ord(character):02x}")
