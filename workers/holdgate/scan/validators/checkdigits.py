"""Check digits that numbers of many countries share. Each takes a text of digits, its check digit last."""

from __future__ import annotations

from collections.abc import Sequence

_DIHEDRAL = (
    *("0123456789", "1234067895", "2340178956", "3401289567", "4012395678"),
    *("5987604321", "6598710432", "7659821043", "8765932104", "9876543210"),
)
_PERMUTED = (
    *("0123456789", "1576283094", "5803796142", "8916043527"),
    *("9453126870", "4286573901", "2793806415", "7046913258"),
)


def weighted(digits: str, weights: Sequence[int]) -> int:
    """The sum of each digit times its weight, as far as there are weights."""
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=False))


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        number = int(digit) * (1 + position % 2)
        total += number - 9 if number > 9 else number
    return total % 10 == 0


def verhoeff(digits: str) -> bool:
    """Verhoeff (1969): the dihedral group D5 and a permutation by place."""
    check = 0
    for position, digit in enumerate(reversed(digits)):
        check = int(_DIHEDRAL[check][int(_PERMUTED[position % 8][int(digit)])])
    return check == 0


def mod_11_10(digits: str) -> bool:
    """ISO/IEC 7064, MOD 11,10."""
    check = 5
    for digit in digits:
        check = (((check or 10) * 2) % 11 + int(digit)) % 10
    return check == 1


def mod_97(text: str) -> bool:
    """ISO/IEC 7064, MOD 97-10, of a text whose letters count as 10 to 35, its check digits last."""
    return int("".join(str(int(char, 36)) for char in text)) % 97 == 1


def ean(digits: str) -> bool:
    """GS1: every second digit three times."""
    return sum(int(digit) * (3 if position % 2 else 1) for position, digit in enumerate(reversed(digits))) % 10 == 0
