"""Bytes that are written as numbers: in hex, with whatever between them; in decimal, octal and binary; in dumps.

What always holds: a run is read only where ten numbers in a row are those of ASCII, which lists of numbers seldom are;
each line of a dump gives sixteen bytes, and what it shows beside them is a part of the run and not read.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import re2

from holdgate.scan.engine import Meter
from holdgate.scan.findings import View
from holdgate.scan.ruleset import latin1_options
from holdgate.scan.views.layer import Layer, Run

_BETWEEN = r"(?:\s*[,;:_.|-]?\s*(?:0x|\\{1,2}x)?)"
_ANY = r"[0-9a-fA-F]"
_HEX = (
    rf"[2-7]{_ANY}(?:{_BETWEEN}[2-7]{_ANY}){{9}}"
    # gzip, zlib and containers.
    rf"|1[fF]{_BETWEEN}8[bB]{_BETWEEN}08(?:{_BETWEEN}{_ANY}{{2}}){{10}}"
    rf"|\b(?:78(?:01|5[eE]|9[cC]|[dD][aA]){_ANY}{{20}}"
    r"|(?:504[bB]0[35]0[46]|425[aA]683[1-9]314159|[fF][dD]377[aA]585[aA]00|255044462[dD]|377[aA][bB][cC][aA][fF]271[cC]"
    rf"|526172211[aA]07|28[bB]52[fF][fF][dD]|[dD]0[cC][fF]11[eE]0){_ANY}{{60}})"
)
_APART = r"(?:\s*[,;]\s*|\s+|\)\s*[+.,&]\s*[cC][hH][rR]\()"
_DECIMAL = r"(?:3[2-9]|[4-9][0-9]|1[01][0-9]|12[0-6])"
_OCTAL = r"(?:0[4-7][0-7]|1[0-7][0-7])"
_BINARY = r"0[01]{7}"
_BEGINS = (
    rf"({_HEX})|\b({_DECIMAL}(?:{_APART}{_DECIMAL}){{9}})\b"
    rf"|\b({_OCTAL}(?:\s+{_OCTAL}){{9}})\b|\b({_BINARY}(?:\s*{_BINARY}){{9}})\b"
)
_WHOLE = re.compile(rb"[0-9a-fA-F]{4}(?:(?:\r?\n[ \t]*(?=[0-9a-fA-F]{8}))?[0-9a-fA-F]{2})*")
_GROUPS = re.compile(
    rb"(?:[0-9a-fA-F]{2})+(?:\s{0,64}[,;:_.|-]?\s{0,64}(?:0x|\\{1,2}x)?(?:[0-9a-fA-F]{2})+(?![0-9A-Za-z]))*"
)
_AT = r"(?:[0-9a-fA-F]{4,16}:[ \t]*|[0-9a-fA-F]{6,16}[ \t]{2,}|[0-9a-fA-F]{7}[ \t])[ \t]*"
_LINE = re.compile(rf"[ \t]*{_AT}((?:(?:{_ANY}{{2}}){{1,8}}[ \t]{{1,2}}){{2,}}(?:(?:{_ANY}{{2}}){{1,8}}\b)?)".encode())
"""Of a dump: where it is in the file, its bytes, and those that can be read."""
_LINE_HEAD = re.compile(rf"{_AT}(?:{_ANY}{{2,16}}[ \t]{{1,2}}){{0,16}}$".encode())
_LINE_HEAD_BYTES = 96
_SHOWN = re.compile(rb"[ \t]{2,}\|?|[ \t]*\|")
_LINE_END = re.compile(rb"[^\n\"]{0,16}?(?:\r?\n|\"\s{0,64},\s{0,64}\")")
_LINE_BYTES = 16
_RUNS = {
    2: (re.compile(rb"\d{1,3}(?:(?:\s*[,;]\s*|\s+|\)\s*[+.,&]\s*[cC][hH][rR]\()\d{1,3}\b)*"), 10),
    3: (re.compile(rb"[0-3][0-7]{2}(?:\s+[0-3][0-7]{2}\b)*"), 8),
    4: (re.compile(rb"[01]{8}(?:\s*[01]{8})*"), 2),
}
_JUNK = re.compile(rb"0x|[^0-9a-fA-F]+")
_NUMBER = re.compile(rb"\d{1,8}")


def number_runs(layer: Layer, meter: Meter) -> Iterator[Run]:
    """Bytes in `layer` that are written as numbers."""
    data, stop = layer.data, 0
    for match in _compiled().finditer(data):
        start, end = match.span()
        meter.spend(end - start)
        if start < stop:
            continue
        kind = next(group for group in range(1, 5) if match.span(group)[0] >= 0)
        runs = [_hex_run(data, start, end)] if kind == 1 else [_number_run(data, start, kind)]
        if kind == 1 and not data[start : start + 3].isalnum():
            runs.append(_number_run(data, start, 2))  # of numbers with two digits nobody can tell
        stop = max(end, *(run.end for run in runs))
        meter.spend(stop - start)
        for run in runs:
            if run.data and not layer.is_copied(run.start, run.end):
                meter.decoded(len(run.data))
                yield run


def unhexed(data: bytes) -> bytes:
    """What hex stands for, be it the lines of a dump."""
    if _LINE.match(data):
        return _undumped(data, 0)[0]
    return _plain(data)


def unnumbered(data: bytes) -> bytes:
    """What numbers in decimal, octal or binary stand for."""
    for group, (pattern, base) in reversed(_RUNS.items()):
        del group
        if pattern.fullmatch(data):
            return _bytes(data, base)
    raise ValueError("no numbers of bytes")


def _hex_run(data: bytes, start: int, end: int) -> Run:
    line = _line_start(data, start)
    dumped = _LINE.match(data, line)
    if dumped is not None and dumped.start(1) <= end:
        text, last = _undumped(data, line)
        if last >= end:
            return Run(line, last, text, View.HEX)
    whole = _WHOLE.match(data, start)
    if whole is None or whole.end() < end:
        whole = _GROUPS.match(data, start)
    last = whole.end() if whole else end
    return Run(start, last, _plain(data[start:last]), View.HEX)


def _line_start(data: bytes, start: int) -> int:
    """Where the line of a dump begins that `start` may be in."""
    low = max(0, start - _LINE_HEAD_BYTES)
    if (head := _LINE_HEAD.search(data[low:start])) is not None:
        return low + head.start()
    return max(data.rfind(mark, low, start) for mark in (b"\n", b'"')) + 1


def _number_run(data: bytes, start: int, kind: int) -> Run:
    pattern, base = _RUNS[kind]
    match = pattern.match(data, start)
    end = match.end() if match else start
    return Run(start, end, _bytes(data[start:end], base), View.NUMBERS)


def _undumped(data: bytes, start: int) -> tuple[bytes, int]:
    """The bytes of a dump's lines from `start` on, and where the last of them ends."""
    parts, last = [], start
    line = _LINE.match(data, start)
    while line is not None:
        digits = _JUNK.sub(b"", line[1])[: 2 * _LINE_BYTES]
        parts.append(digits)
        last = _line_stop(data, line.start(1) + len(line[1].rstrip()), len(digits) // 2)
        following = _LINE_END.match(data, last)
        line = _LINE.match(data, following.end()) if following else None
    return _plain(b"".join(parts)), last


def _line_stop(data: bytes, stop: int, size: int) -> int:
    """Where a line ends whose digits end at `stop`: behind as many characters, where they are shown."""
    shown = _SHOWN.match(data, stop)
    if shown is None:
        return stop
    text = data[shown.end() : shown.end() + size].partition(b"\n")[0].partition(b'"')[0]
    stop = shown.end() + len(text)
    return stop + (data[stop : stop + 1] == b"|")


def _plain(data: bytes) -> bytes:
    digits = _JUNK.sub(b"", data)
    return binascii.unhexlify(digits[: len(digits) // 2 * 2])


def _bytes(data: bytes, base: int) -> bytes:
    numbers = (int(number, base) for number in _NUMBER.findall(data))
    return bytes(number for number in numbers if number < 256)


@cache
def _compiled() -> Any:
    return re2.compile(_BEGINS.encode("ascii"), latin1_options())
