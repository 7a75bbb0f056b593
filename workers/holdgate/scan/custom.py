"""Detectors of bundles as rules of the scanner, and inspectors that look with them too.

What always holds: the built-in detectors look at everything, whatever a bundle says; of inspectors for several sets of
detectors only the latest are kept, and all share the one engine of the built-in rules.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock

from holdgate.kernel.detectors import Detector
from holdgate.scan.engine import Budget
from holdgate.scan.inspector import OutputInspector
from holdgate.scan.ruleset import Rule, parse_rule
from holdgate.scan.scanner import Scanner

KEPT_MAX = 16
_LOOKS_FOR = (
    "id", "category", "severity", "regex", "max_len", "anchor", "before", "group", "keywords", "context", "near",
    "entropy", "stop",
)  # fmt: skip
"""What a detector looks for; the rest says for whom, and whence it is."""


def rules_of(detectors: Sequence[Detector]) -> list[Rule]:
    """The same detectors as the scanner takes them, checked like its own. RulesInvalid."""
    rules = []
    for detector in detectors:
        shown = detector.as_dict()
        said = {name: shown[name] for name in _LOOKS_FOR if shown[name] not in (None, [])}
        rules.append(parse_rule(said, detector.id))
    return rules


class Inspectors:
    """Makes and keeps inspectors; threads may share it."""

    def __init__(self, scanner: Scanner, fingerprint_key: bytes, budget: Budget | None = None) -> None:
        self._scanner = scanner
        self._key = fingerprint_key
        self._budget = budget
        self._plain = OutputInspector(scanner, fingerprint_key)
        self._kept: OrderedDict[tuple[Detector, ...], OutputInspector] = OrderedDict()
        self._lock = Lock()

    def of(self, detectors: tuple[Detector, ...] = ()) -> OutputInspector:
        """The inspector that looks with `detectors` beside the built-in ones. RulesInvalid when one cannot be used."""
        if not detectors:
            return self._plain
        with self._lock:
            found = self._kept.pop(detectors, None)
            if found is None:
                custom = Scanner(rules=rules_of(detectors), budget=self._budget)
                found = OutputInspector(self._scanner, self._key, custom)
            self._kept[detectors] = found
            if len(self._kept) > KEPT_MAX:
                self._kept.popitem(last=False)
            return found
