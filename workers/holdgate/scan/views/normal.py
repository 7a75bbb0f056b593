"""Characters that look like others, or like nothing: what they are read as.

Full-width, styled and circled letters by their compatibility forms (Unicode, NFKC); letters of other scripts that
cannot be told from Latin ones by a small table after Unicode's confusables; what cannot be seen is left out; tags,
which mirror ASCII, are what they mirror. What always holds: a letter of another script counts as a look-alike only
beside ASCII, so that prose in that script stays what it is.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from itertools import chain

_COMPATIBLE = (
    (0xAA, 0xBA), (0x132, 0x17F), (0x1C4, 0x1CC), (0x2B0, 0x2B8), (0x2E0, 0x2E3), (0x1D2C, 0x1D6A), (0x2070, 0x209C),
    (0x2100, 0x217F), (0x2460, 0x24EA), (0xFB00, 0xFB06), (0xFE33, 0xFE6B), (0xFF01, 0xFF5E), (0x1D400, 0x1D7FF),
    (0x1F100, 0x1F149), (0x1FBF0, 0x1FBF9),
)  # fmt: skip
_UNSEEN = (
    (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0), (0xE0001, 0xE001F), (0xE007F, 0xE007F), (0xE0100, 0xE01EF),
)  # fmt: skip
_TAGS = (0xE0020, 0xE007E)
_ALIKE = (
    ("\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u0501\u051b", "aeopcyxijsdq"),
    ("\u051d\u04bb\u04cf\u0475", "whlv"),
    ("\u043a\u0442\u043f\u0433\u0432\u043c\u043d\u0431\u0437\u0454\u04af\u0491", "ktnrbmh63eyr"),
    ("\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425\u0423", "ABEKMHOPCTXY"),
    ("\u0405\u0406\u0408\u0417\u050c\u051a\u051c\u0474\u04ae\u04c0", "SIJ3GQWVYI"),
    ("\u03b1\u03bf\u03bd\u03c1\u03b9\u03ba\u03c5\u03b3\u03c4\u03b7\u03c7\u03c9", "aovpikuytnxw"),
    ("\u03c3\u03f2\u03f3\u03b5\u03b2", "ocjeb"),
    ("\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4", "ABEZHIKMNOPT"),
    ("\u03a5\u03a7\u03f9\u037f", "YXCJ"),
    ("\u0585\u057d\u0578\u0570\u0581\u0566\u0561\u0575\u054f\u0555\u054d\u0540", "ounhgqwjSOUH"),
    ("\u13aa\u13f4\u13df\u13a0\u13ac\u13c0\u13bb\u13ab\u13e6\u13de\u13b7\u13e2", "ABCDEGHJKLMP"),
    ("\u13a1\u13da\u13a2\u13d9\u13b3\u13c3", "RSTVWZ"),
    ("\u0131\u0251\u0261\u0269\u029f\u0274\u1d04\u1d0f\u1d1c\u1d20\u1d21\u1d22", "iagilncouvwz"),
    ("\u2010\u2011\u2012\u2013\u2212\u02d7\u2043\u2024\u2044\u2215\u05f4", '-------.//"'),
)
_WORD = r"[A-Za-z0-9_.+/-]"


@cache
def readings() -> dict[bytes, bytes]:
    """What each such character, in UTF-8, is read as."""
    table = {_utf8(number): b"" for first, last in _UNSEEN for number in range(first, last + 1)}
    for number in chain.from_iterable(range(first, last + 1) for first, last in _COMPATIBLE):
        text = unicodedata.normalize("NFKC", chr(number))
        if text != chr(number) and text.isascii() and text.isprintable() and " " not in text:
            table[_utf8(number)] = text.encode()
    table.update((_utf8(number), bytes((number - 0xE0000,))) for number in range(_TAGS[0], _TAGS[1] + 1))
    return {**table, **_alike()}


@cache
def lookalike_pattern() -> str:
    """A pattern of bytes, written in ASCII, of the runs that are read as something else."""
    alike = _alike()
    weak = _either(alike)
    strong = _either(key for key in readings() if key not in alike)
    beside = f"(?:{_WORD}(?:{weak})+|(?:{weak})+{_WORD})(?:{_WORD}*(?:{weak})+)*"
    return f"(?:{strong})+|{beside}"


def read(match: bytes) -> bytes:
    """What a match of the pattern is read as."""
    return _characters().sub(lambda found: readings().get(found.group(), found.group()), match)


@cache
def _alike() -> dict[bytes, bytes]:
    return {
        letter.encode(): latin.encode()
        for letters, latins in _ALIKE
        for letter, latin in zip(letters, latins, strict=True)
    }


@cache
def _characters() -> re.Pattern[bytes]:
    return re.compile(rb"[\xc2-\xf4][\x80-\xbf]{1,3}")


def _utf8(number: int) -> bytes:
    return chr(number).encode()


def _either(keys: Iterable[bytes]) -> str:
    """Any of `keys`, with what they begin with in common written once."""
    by_head: dict[bytes, list[int]] = {}
    for key in keys:
        by_head.setdefault(key[:-1], []).append(key[-1])
    return "|".join(
        _escaped(head) + "[" + _escaped(bytes(sorted(tails))) + "]" for head, tails in sorted(by_head.items())
    )


def _escaped(data: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in data)
