"""Finds secrets and personal data in what a job carries, and replaces them. A library: needs no server."""

from holdgate.scan.errors import EngineFailed, RedactionIncomplete, ScanError, ScanIncomplete, ScanTimedOut, Unscannable
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
