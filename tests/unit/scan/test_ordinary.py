"""Ordinary text holds next to no false findings. `python -m bench.ordinary` asks the same of ten megabytes."""

from __future__ import annotations

from collections import Counter

from holdgate.scan import Scanner
from support.ordinary import KINDS, ordinary

SIZE = 1_500_000


def test_ordinary_text_holds_no_grave_finding_and_few_others() -> None:
    """In all views: logs, tables, code, prose, lock files, pictures, the standard library."""
    scanner, found, kinds, size = Scanner(), Counter[tuple[str, str]](), set(), 0
    for kind, text in ordinary(SIZE):
        size += len(text)
        kinds.add(kind.partition(" ")[0])
        found.update((str(finding.severity), finding.detector) for finding in scanner.scan(text))
    assert size >= SIZE
    assert {kind.partition(" ")[0] for kind in KINDS} | {"library"} == kinds
    assert {key: count for key, count in found.items() if key[0] in ("high", "critical")} == {}
    medium = sum(count for (severity, _), count in found.items() if severity == "medium")
    assert medium / size * 1e6 <= 30, found
