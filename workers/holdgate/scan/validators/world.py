"""National ids outside Europe: structure, date of birth where they hold one, check digits. From the issuers' papers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from holdgate.scan.validators.checkdigits import luhn, verhoeff, weighted
from holdgate.scan.validators.dates import is_date, is_date_of_any_century
from holdgate.scan.validators.europe import compact

_SSN_ADVERTISED = {"078051120", "219099999", "457555462", "123456789", "111111111", "333333333"}
"""Printed on cards in wallets, in forms and in manuals: nobody's."""
_ITIN_GROUPS = {*range(50, 66), *range(70, 89), 90, 91, 92, *range(94, 100)}
_CHINESE_CHECKS = "10X98765432"
_CHINESE_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHINESE_PROVINCES = (
    {*range(11, 16), *range(21, 24), *range(31, 38), *range(41, 47)}
    | {*range(50, 55), *range(61, 66)}
    | {71, 81, 82, 83}
)
_CURP = "0123456789ABCDEFGHIJKLMN\u00d1OPQRSTUVWXYZ"
_NRIC_LETTERS = {"S": "JZIHGFEDCBA", "T": "JZIHGFEDCBA", "F": "XWUTRQPNMLK", "G": "XWUTRQPNMLK", "M": "XWUTRQPNJLK"}
_NRIC_OFFSETS = {"S": 0, "T": 4, "F": 0, "G": 4, "M": 3}


def _ssn(value: str) -> bool:
    """No check digit."""
    digits = compact(value)
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    return (
        area not in ("000", "666")
        and area < "900"
        and group != "00"
        and serial != "0000"
        and digits not in _SSN_ADVERTISED
    )


def _itin(value: str) -> bool:
    digits = compact(value)
    return digits[0] == "9" and int(digits[3:5]) in _ITIN_GROUPS


def _sin(value: str) -> bool:
    digits = compact(value)
    return digits[0] not in "08" and luhn(digits)


def _cpf(value: str) -> bool:
    digits = compact(value)
    return len(set(digits)) > 1 and all(
        -weighted(digits[:size], range(size + 1, 1, -1)) % 11 % 10 == int(digits[size]) for size in (9, 10)
    )


def _cnpj(value: str) -> bool:
    digits = compact(value)
    weights = (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)
    return len(set(digits)) > 1 and all(
        -weighted(digits[:size], weights[13 - size :]) % 11 % 10 == int(digits[size]) for size in (12, 13)
    )


def _curp(value: str) -> bool:
    code = compact(value)
    month, day = int(code[6:8]), int(code[8:10])
    total = sum((18 - place) * _CURP.index(char) for place, char in enumerate(code[:17]))
    return is_date_of_any_century(int(code[4:6]), month, day) and -total % 10 == int(code[17])


def _rut(value: str) -> bool:
    number = compact(value)
    weights = (2, 3, 4, 5, 6, 7) * 2
    check = -weighted(number[-2::-1], weights) % 11
    return ("0123456789K"[check]) == number[-1]


def _tfn(value: str) -> bool:
    digits = compact(value)
    return len(set(digits)) > 1 and weighted(digits, (1, 4, 3, 7, 5, 8, 6, 9, 10)) % 11 == 0


def _medicare(value: str) -> bool:
    digits = compact(value)
    return digits[0] in "23456" and weighted(digits, (1, 3, 7, 9, 1, 3, 7, 9)) % 10 == int(digits[8])


def _aadhaar(value: str) -> bool:
    digits = compact(value)
    return digits[0] not in "01" and digits != digits[::-1] and verhoeff(digits)


def _chinese(value: str) -> bool:
    number = compact(value)
    return (
        int(number[:2]) in _CHINESE_PROVINCES
        and number[6:8] in ("19", "20")
        and is_date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
        and _CHINESE_CHECKS[weighted(number[:17], _CHINESE_WEIGHTS) % 11] == number[17]
    )


def _korean(value: str) -> bool:
    digits = compact(value)
    century = 1800 if digits[6] in "90" else 1900 if digits[6] in "1256" else 2000
    if not is_date(century + int(digits[:2]), int(digits[2:4]), int(digits[4:6])):
        return False
    return (11 - weighted(digits[:12], (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)) % 11) % 10 == int(digits[12])


def _my_number(value: str) -> bool:
    digits = compact(value)
    check = 11 - weighted(digits[:11], (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    return len(set(digits)) > 1 and (0 if check >= 10 else check) == int(digits[11])


def _south_african(value: str) -> bool:
    digits = compact(value)
    if digits[10] not in "012" or not luhn(digits):
        return False
    return is_date_of_any_century(int(digits[:2]), int(digits[2:4]), int(digits[4:6]))


def _turkish(value: str) -> bool:
    digits = compact(value)
    odd, even = (sum(map(int, digits[start:9:2])) for start in (0, 1))
    return (
        digits[0] != "0"
        and (odd * 7 - even) % 10 == int(digits[9])
        and sum(map(int, digits[:10])) % 10 == int(digits[10])
    )


def _israeli(value: str) -> bool:
    digits = compact(value)
    return len(set(digits)) > 1 and luhn(digits)


def _nric(value: str) -> bool:
    number = compact(value)
    total = weighted(number[1:8], (2, 7, 6, 5, 4, 3, 2)) + _NRIC_OFFSETS[number[0]]
    return _NRIC_LETTERS[number[0]][total % 11] == number[8]


WORLD: Mapping[str, Callable[[str], bool]] = {
    "au_medicare": _medicare,
    "au_tfn": _tfn,
    "br_cnpj": _cnpj,
    "br_cpf": _cpf,
    "ca_sin": _sin,
    "cl_rut": _rut,
    "cn_id": _chinese,
    "il_id": _israeli,
    "in_aadhaar": _aadhaar,
    "jp_my_number": _my_number,
    "kr_rrn": _korean,
    "mx_curp": _curp,
    "sg_nric": _nric,
    "tr_tckn": _turkish,
    "us_itin": _itin,
    "us_ssn": _ssn,
    "za_id": _south_african,
}
"""Each takes a number of the form that its issuer gives; `personal.py` makes them fit for any text."""
