"""Second looks at what may be personal data: check digits, issuers, domains that are none."""

from __future__ import annotations

import re
from collections.abc import Callable

_ISSUERS = re.compile(
    r"(?:4\d{12}(?:\d{3}){0,2}"  # Visa
    r"|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}"  # Mastercard
    r"|3[47]\d{13}"  # American Express
    r"|(?:6011|65\d\d|64[4-9]\d)\d{12}(?:\d{3})?"  # Discover
    r"|35(?:2[89]|[3-8]\d)\d{12}"  # JCB
    r"|3(?:0[0-5]|[68]\d)\d{11}"  # Diners Club
    r"|62\d{14,17})\Z"  # UnionPay
)


def _card(value: str) -> bool:
    digits = re.sub(r"[ -]", "", value)
    if not _ISSUERS.match(digits) or len(set(digits)) < 3:
        return False
    total = 0
    for position, digit in enumerate(reversed(digits)):
        number = int(digit) * (1 + position % 2)
        total += number - 9 if number > 9 else number
    return total % 10 == 0


def _email(value: str) -> bool:
    local, _, domain = value.rpartition("@")
    last = domain.rpartition(".")[2].lower()
    return ".." not in value and not (
        local == "git" or last in {"png", "jpg", "jpeg", "gif", "svg", "webp", "local", "internal"}
    )


PERSONAL: dict[str, Callable[[str], bool]] = {
    "card": _card,
    "email": _email,
}
