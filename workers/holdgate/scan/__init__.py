"""Finds secrets and personal data in what a job carries, and replaces them. A library: needs no server.

Each name is loaded when it is first used: a worker that hands out no secrets loads no pattern engine.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdgate.scan.errors import (
        EngineFailed,
        RedactionIncomplete,
        ScanError,
        ScanIncomplete,
        ScanTimedOut,
        Unscannable,
    )
    from holdgate.scan.findings import SECRETS, Category, Finding, Severity, View
    from holdgate.scan.redact import Redactor
    from holdgate.scan.scanner import Present, Scanner

__all__ = [
    "SECRETS",
    "Category",
    "EngineFailed",
    "Finding",
    "Present",
    "RedactionIncomplete",
    "Redactor",
    "ScanError",
    "ScanIncomplete",
    "ScanTimedOut",
    "Scanner",
    "Severity",
    "Unscannable",
    "View",
]
_IN_FINDINGS = frozenset({"SECRETS", "Category", "Finding", "Severity", "View"})
_HOMES = {"Redactor": "redact", "Present": "scanner", "Scanner": "scanner"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        msg = f"module `{__name__}` has no `{name}`"
        raise AttributeError(msg)
    home = "findings" if name in _IN_FINDINGS else _HOMES.get(name, "errors")
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return __all__
