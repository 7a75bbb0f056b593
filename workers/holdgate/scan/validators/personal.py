"""Second looks at what may be personal data: check digits, issuers, plans of numbers, addresses that are nobody's."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

from holdgate.scan.validators.checkdigits import luhn, mod_97
from holdgate.scan.validators.dates import birth_date
from holdgate.scan.validators.europe import EUROPE, compact
from holdgate.scan.validators.world import WORLD

_ISSUERS = re.compile(
    r"(?:4\d{12}(?:\d{3}){0,2}"  # Visa
    r"|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}"  # Mastercard
    r"|3[47]\d{13}"  # American Express
    r"|(?:6011|65\d\d|64[4-9]\d)\d{12}(?:\d{3})?"  # Discover
    r"|35(?:2[89]|[3-8]\d)\d{12}"  # JCB
    r"|3(?:0[0-5]|[689]\d)\d{11}"  # Diners Club
    r"|62\d{14,17}"  # UnionPay
    r"|(?:5018|5020|5038|6304|6759|676[1-3])\d{8,15}"  # Maestro
    r"|220[0-4]\d{12}"  # Mir
    r"|(?:508[5-9]|60698[5-9]|60699\d|607\d\d\d|6521|6522)\d{10,12}"  # RuPay
    r"|(?:636368|438935|504175|451416|5067\d\d|6550\d\d|6516\d\d)\d{10})\Z"  # Elo
)
_IBAN_CHARS = {
    size: frozenset(codes.split())
    for size, codes in {
        15: "NO",
        16: "BE",
        18: "DK FI FO GL NL SD FK",
        19: "MK SI",
        20: "AT BA EE KZ LT LU XK MN",
        21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA",
        23: "AE GI IL IQ OM TL SO",
        24: "AD CZ DZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST",
        26: "IS TR",
        27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HU LB NI PL SV",
        29: "BR EG PS QA UA",
        30: "JO KW MU YE",
        31: "MT SC",
        32: "LC",
        33: "RU",
    }.items()
}
"""Countries by the length of their account numbers (the register of SWIFT)."""
_REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "NL", "BE", "PL", "SE", "CH", "AT", "PT", "BR", "IN", "AU", "JP", "CN")
"""Where a number without a country is looked up, in this order."""
_NO_PEOPLE = {"png", "jpg", "jpeg", "gif", "svg", "webp", "local", "internal"}
_MRZ = {char: value for value, char in enumerate("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")} | {"<": 0}


def _card(value: str) -> bool:
    digits = compact(value)
    return bool(_ISSUERS.match(digits)) and len(set(digits)) > 1 and luhn(digits)


def _email(value: str) -> bool:
    local, _, domain = value.rpartition("@")
    last = domain.rpartition(".")[2].lower()
    return ".." not in value and local != "git" and last not in _NO_PEOPLE


def _iban(value: str) -> bool:
    number = compact(value)
    return number[:2] in _IBAN_CHARS.get(len(number), ()) and mod_97(number[4:] + number[:4])


def _phone(value: str) -> bool:
    """With the code of its country."""
    import phonenumbers  # its tables of all countries are loaded for whoever meets a candidate

    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(value))
    except phonenumbers.NumberParseException:
        return False


def _national_phone(value: str) -> bool:
    """As people of some large country write it at home."""
    import phonenumbers

    for region in _REGIONS:
        try:
            if phonenumbers.is_valid_number(phonenumbers.parse(value, region)):
                return True
        except phonenumbers.NumberParseException:
            return False
    return False


def _ip_address(value: str) -> bool:
    """Of somebody: public, no resolver that everybody uses, no network, no version number."""
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return False
    if not address.is_global:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped is None
    parts = address.packed
    return parts[3] not in (0, 255) and len(set(parts)) > 1 and max(parts) > 31


def _travel_document(value: str) -> bool:
    """The second line of a passport's machine-readable zone (ICAO 9303-4): number, birth, expiry, each with a check."""
    return all(
        sum(_MRZ[char] * (7, 3, 1)[place % 3] for place, char in enumerate(value[start:end])) % 10 == _MRZ[value[end]]
        for start, end in ((0, 9), (13, 19), (21, 27))
    )


def _document_number(value: str) -> bool:
    """Mostly digits, and not one of them over and over."""
    digits = [char for char in value if char.isdigit()]
    return len(digits) >= 6 and len(set(digits)) > 2


def _total(check: Callable[[str], bool]) -> Callable[[str], bool]:
    """`check` for any text: one of another form than it reads is not what it looks for."""

    def checked(value: str) -> bool:
        try:
            return check(value)
        except (ValueError, IndexError, KeyError):
            return False

    return checked


PERSONAL: dict[str, Callable[[str], bool]] = {
    name: _total(check)
    for name, check in {
        "birth_date": birth_date,
        "card": _card,
        "document_number": _document_number,
        "email": _email,
        "iban": _iban,
        "ip_address": _ip_address,
        "national_phone": _national_phone,
        "phone": _phone,
        "travel_document": _travel_document,
        **EUROPE,
        **WORLD,
    }.items()
}
