"""National ids of Europe: structure, date of birth where they hold one, check digits; from the issuers' papers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping

from holdgate.scan.validators.checkdigits import ean, luhn, mod_11_10, weighted
from holdgate.scan.validators.dates import is_date, is_date_of_any_century

_NOT_IN_NUMBERS = re.compile(r"[\s./-]")
_DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
_HETU_LETTERS = "0123456789ABCDEFHJKLMNPRSTUVWXY"
_PPS_LETTERS = "WABCDEFGHIJKLMNOPQRSTUV"
_NINO_NOT = {"BG", "GB", "KN", "NK", "NT", "TN", "ZZ"}
_CF = re.compile(r"[A-Z]{6}[\dLMNP-V]{2}[ABCDEHLMPRST][\dLMNP-V]{2}[A-Z][\dLMNP-V]{3}[A-Z]\Z")
_CF_MONTHS = "ABCDEHLMPRST"
_CF_DIGITS = str.maketrans("LMNPQRSTUV", "0123456789")
_CF_ODD = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (*(1, 0, 5, 7, 9, 13, 15, 17, 19, 21) * 2, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23),
        strict=True,
    )
)


def compact(value: str) -> str:
    """`value` without what groups its digits, in upper case."""
    return _NOT_IN_NUMBERS.sub("", value).upper()


def _nino(value: str) -> bool:
    number = compact(value)
    prefix = number[:2]
    return prefix[0] not in "DFIQUV" and prefix[1] not in "DFIQUVO" and prefix not in _NINO_NOT


def _nhs(value: str) -> bool:
    digits = compact(value)
    return len(set(digits)) > 1 and weighted(digits, (*range(10, 1, -1), 1)) % 11 == 0


def _steuer_id(value: str) -> bool:
    digits = compact(value)
    repeated = [count for count in Counter(digits[:10]).values() if count > 1]
    return digits[0] != "0" and repeated in ([2], [3]) and mod_11_10(digits)


def _nir(value: str) -> bool:
    number = compact(value)
    month = int(number[3:5])
    if number[0] not in "123478" or not (1 <= month <= 12 or 20 <= month <= 42 or 50 <= month <= 99):
        return False
    digits = number.replace("2A", "19").replace("2B", "18") if number[5:7] in ("2A", "2B") else number
    return digits.isdigit() and 97 - int(digits[:13]) % 97 == int(digits[13:])


def _dni(value: str) -> bool:
    number = compact(value)
    return _DNI_LETTERS[int(number[:8]) % 23] == number[8]


def _nie(value: str) -> bool:
    number = compact(value)
    return _dni(str("XYZ".index(number[0])) + number[1:])


def _codice_fiscale(value: str) -> bool:
    code = compact(value)
    if not _CF.match(code):
        return False
    year, day = (int(part.translate(_CF_DIGITS)) for part in (code[6:8], code[9:11]))
    if not is_date_of_any_century(year, _CF_MONTHS.index(code[8]) + 1, day % 40):
        return False
    total = sum(_cf_value(c, place) for place, c in enumerate(code[:15]))
    return chr(ord("A") + total % 26) == code[15]


def _cf_value(char: str, place: int) -> int:
    """Places count from one in the specification, so the first is odd."""
    if place % 2 == 0:
        return _CF_ODD[char]
    return int(char) if char.isdigit() else ord(char) - ord("A")


def _bsn(value: str) -> bool:
    digits = compact(value).zfill(9)
    return len(set(digits)) > 1 and weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0


def _belgian(value: str) -> bool:
    digits = compact(value)
    check = int(digits[9:])
    for century, prefix in ((1900, ""), (2000, "2")):
        if 97 - int(prefix + digits[:9]) % 97 == check:
            # Months from 20 or 40: a number given before the sex or the birthday was known; days and months may be 0.
            month = int(digits[2:4]) % 20
            return month <= 12 and (not month or is_date(century + int(digits[:2]), month, int(digits[4:6]) or 1))
    return False


def _pesel(value: str) -> bool:
    digits = compact(value)
    century, month = divmod(int(digits[2:4]), 20)
    year = (1900, 2000, 2100, 2200, 1800)[century] + int(digits[:2])
    return is_date(year, month, int(digits[4:6])) and weighted(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0


def _personnummer(value: str) -> bool:
    digits = compact(value.replace("+", ""))[-10:]
    day = int(digits[4:6])
    return luhn(digits) and is_date_of_any_century(int(digits[:2]), int(digits[2:4]), day - 60 if day > 60 else day)


def _hetu(value: str) -> bool:
    number = value.strip().upper()
    birth, serial = number[:6], number[7:10]
    if int(serial) < 2 or not is_date_of_any_century(int(birth[4:6]), int(birth[2:4]), int(birth[:2])):
        return False
    return _HETU_LETTERS[int(birth + serial) % 31] == number[10]


def _fodselsnummer(value: str) -> bool:
    digits = compact(value)
    day, month = int(digits[:2]), int(digits[2:4])
    if not is_date_of_any_century(int(digits[4:6]), month % 40, day % 40):
        return False
    return (
        weighted(digits, (3, 7, 6, 1, 8, 9, 4, 5, 2, 1)) % 11 == 0
        and weighted(digits, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)) % 11 == 0
    )


def _cpr(value: str) -> bool:
    """No check digit: numbers given since 2007 need not have one."""
    digits = compact(value)
    return is_date_of_any_century(int(digits[4:6]), int(digits[2:4]), int(digits[:2]))


def _nif(value: str) -> bool:
    """Of people, not of companies."""
    digits = compact(value)
    check = -weighted(digits[:8], range(9, 1, -1)) % 11
    return (digits[0] in "123" or digits[:2] == "45") and check % 10 == int(digits[8])


def _pps(value: str) -> bool:
    number = compact(value)
    total = weighted(number[:7], range(8, 1, -1))
    if len(number) == 9:
        total += 9 * _PPS_LETTERS.index(number[8].replace("T", "W"))  # both stand for nothing
    return _PPS_LETTERS[total % 23] == number[7]


def _austrian(value: str) -> bool:
    digits = compact(value)
    month = int(digits[6:8])
    if digits[0] == "0" or not 1 <= int(digits[4:6]) <= 31 or not 1 <= month <= 15:
        return False
    return weighted(digits[:3] + digits[4:], (3, 7, 9, 5, 8, 4, 2, 1, 6)) % 11 == int(digits[3])


def _ahv(value: str) -> bool:
    digits = compact(value)
    return digits.startswith("756") and ean(digits)


def _rodne_cislo(value: str) -> bool:
    digits = compact(value)
    month = int(digits[2:4]) % 50 % 20
    if not is_date_of_any_century(int(digits[:2]), month, int(digits[4:6])):
        return False
    return int(digits[:9]) % 11 % 10 == int(digits[9])


def _cnp(value: str) -> bool:
    digits = compact(value)
    check = weighted(digits[:12], (2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9)) % 11
    return (
        digits[0] in "12345678"
        and is_date_of_any_century(int(digits[1:3]), int(digits[3:5]), int(digits[5:7]))
        and (1 if check == 10 else check) == int(digits[12])
    )


def _egn(value: str) -> bool:
    digits = compact(value)
    month = int(digits[2:4]) % 20
    check = weighted(digits[:9], (2, 4, 8, 5, 10, 9, 7, 3, 6)) % 11
    return check % 10 == int(digits[9]) and is_date_of_any_century(int(digits[:2]), month, int(digits[4:6]))


def _baltic(value: str) -> bool:
    """Estonia and Lithuania share one form."""
    digits = compact(value)
    check = weighted(digits[:10], (1, 2, 3, 4, 5, 6, 7, 8, 9, 1)) % 11
    if check == 10:
        check = weighted(digits[:10], (3, 4, 5, 6, 7, 8, 9, 1, 2, 3)) % 11 % 10
    year = 1800 + 100 * ((int(digits[0]) - 1) // 2) + int(digits[1:3])
    return digits[0] in "12345678" and is_date(year, int(digits[3:5]), int(digits[5:7])) and check == int(digits[10])


def _amka(value: str) -> bool:
    digits = compact(value)
    return luhn(digits) and is_date_of_any_century(int(digits[4:6]), int(digits[2:4]), int(digits[:2]))


EUROPE: Mapping[str, Callable[[str], bool]] = {
    "at_svnr": _austrian,
    "baltic_id": _baltic,
    "be_rrn": _belgian,
    "bg_egn": _egn,
    "ch_ahv": _ahv,
    "cz_rc": _rodne_cislo,
    "de_steuer_id": _steuer_id,
    "dk_cpr": _cpr,
    "es_dni": _dni,
    "es_nie": _nie,
    "fi_hetu": _hetu,
    "fr_nir": _nir,
    "gb_nhs": _nhs,
    "gb_nino": _nino,
    "gr_amka": _amka,
    "ie_pps": _pps,
    "it_cf": _codice_fiscale,
    "nl_bsn": _bsn,
    "no_fnr": _fodselsnummer,
    "pl_pesel": _pesel,
    "pt_nif": _nif,
    "ro_cnp": _cnp,
    "se_pnr": _personnummer,
}
"""Each takes a number of the form that its issuer gives; `personal.py` makes them fit for any text."""
