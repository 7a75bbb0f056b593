"""Ordinary text, generated: what most outputs are made of and no detector should stop at."""

from __future__ import annotations

import re
from itertools import cycle, islice

_WORDS = re.findall(
    r"\w+",
    "the order was sent to its customer after two days and a reply came back with the total of all items in it while "
    "another service keeps account of requests per user so that access to each key value store is fast enough for most "
    "of them who test new versions on a smaller network before they pass a last review or sign in with a friend",
)
_NAMES = (
    "request_id",
    "user_name",
    "status",
    "total",
    "items",
    "page",
    "size",
    "next_page",
    "key",
    "value",
    "level",
    "path",
)


def ordinary_text(bytes_min: int) -> str:
    """At least so many bytes of logs, prose, code and tables; the same each time."""
    lines: list[str] = []
    size, number, words = 0, 1, cycle(_WORDS)
    while size < bytes_min:
        number = number * 48_271 % 2_147_483_647  # a plain generator: digits that look drawn, the same on each machine
        lines += _lines(number, " ".join(islice(words, 14)))
        size += sum(len(line) + 1 for line in lines[-6:])
    return "\n".join(lines)


def _lines(number: int, prose: str) -> list[str]:
    name, other = _NAMES[number % len(_NAMES)], _NAMES[number // 7 % len(_NAMES)]
    second, digits, hexed = number % 60, number % 100_000, f"{number:08x}"
    return [
        f"2026-03-0{1 + number % 9}T12:{second:02d}:{number % 59:02d}.{digits % 1000:03d}Z INFO app[{digits}]: {prose}",
        f'{{"level":"info","{name}":{digits},"{other}":"{prose[:24]}","duration_ms":{number % 900}.{second}}}',
        f"    def {name}_{other}(self, {name}: str, limit: int = {second}) -> list[str]:",
        f'        return [item for item in self.{other}[{second}:] if item.{name} != "{prose[:9]}"]  # {prose[9:40]}',
        f"{digits},{prose[:12]},{number % 90}.{second:02d},EUR,2026-0{1 + second % 9}-12,{hexed},/var/log/{name}.log",
        f"{prose.capitalize()}. See https://docs.example.com/{name}/{other}?page={second}#{hexed} for {prose[-20:]}.",
    ]
