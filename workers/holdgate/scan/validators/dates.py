"""Dates inside numbers and texts, without a calendar of today: what a person's date of birth may be."""

from __future__ import annotations

import re
from calendar import monthrange

YEAR_MIN, YEAR_MAX = 1900, 2099
_NUMBERS = re.compile(r"\d+")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NAME = re.compile(r"[a-z]{3}", re.IGNORECASE)


def is_date(year: int, month: int, day: int) -> bool:
    """Whether there is such a day."""
    return 1 <= month <= 12 and 1 <= day <= monthrange(year, month)[1]


def is_date_of_any_century(year: int, month: int, day: int) -> bool:
    """The same for a year of two digits; 1900 had no 29 February, 2000 had one."""
    return is_date(2000 + year, month, day)


def birth_date(value: str) -> bool:
    """Whether a text of numbers, perhaps with the name of a month, is a day in some order of its parts."""
    numbers = [int(part) for part in _NUMBERS.findall(value)]
    name = _NAME.search(value)
    month = _MONTHS.index(name[0].lower()) + 1 if name and name[0].lower() in _MONTHS else None
    if month is not None and len(numbers) == 2:
        day, year = sorted(numbers) if max(numbers) > 31 else numbers
        return is_date(_full(year), month, day) and YEAR_MIN <= _full(year) <= YEAR_MAX
    if len(numbers) != 3:
        return False
    first, second, third = numbers
    orders = ((first, second, third),) if first > 31 else ((third, second, first), (third, first, second))
    return any(YEAR_MIN <= _full(year) <= YEAR_MAX and is_date(_full(year), month, day) for year, month, day in orders)


def _full(year: int) -> int:
    return year if year >= 100 else 1900 + year
