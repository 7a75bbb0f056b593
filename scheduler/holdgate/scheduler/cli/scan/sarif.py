"""Findings as SARIF 2.1.0 (OASIS), for code scanning. Never a value, nor a hash of one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from holdgate.scan import Finding, Severity
from holdgate.scheduler.cli.scan.look import Found, Looked
from holdgate.scheduler.cli.scan.places import Place, member_of
from holdgate.scheduler.visible import visible

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
HOME = "https://github.com/holdgate/holdgate"
_LEVELS: Mapping[Severity, str] = {
    Severity.LOW: "note",
    Severity.MEDIUM: "warning",
    Severity.HIGH: "error",
    Severity.CRITICAL: "error",
}
_SCORES: Mapping[Severity, str] = {
    Severity.LOW: "2.0",
    Severity.MEDIUM: "5.0",
    Severity.HIGH: "8.0",
    Severity.CRITICAL: "9.5",
}
"""What GitHub sorts by (`security-severity`, as CVSS has it): below 4 low, below 7 medium, below 9 high."""


def sarif(looked: Sequence[Looked], version: str, docs: Mapping[str, str]) -> dict[str, Any]:
    """A log of one run. `docs`: by detector, where its format is documented."""
    found = [each for item in looked for each in item.found]
    rules = _rules((each.finding for each in found), docs)
    numbers = {rule["id"]: number for number, rule in enumerate(rules)}
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {"name": "holdgate", "version": version, "informationUri": HOME, "rules": rules},
                },
                "columnKind": "unicodeCodePoints",
                "invocations": [_invocation(looked)],
                "results": [_result(each, numbers) for each in found],
            }
        ],
    }


def _rules(findings: Iterable[Finding], docs: Mapping[str, str]) -> list[dict[str, Any]]:
    """Those that found something, each once."""
    by_id = {finding.detector: finding for finding in findings}
    return [_rule(finding, docs.get(name, "")) for name, finding in sorted(by_id.items())]


def _rule(finding: Finding, documented: str) -> dict[str, Any]:
    kind = str(finding.category).replace("_", " ")
    rule: dict[str, Any] = {
        "id": finding.detector,
        "name": "".join(word.capitalize() for word in finding.detector.split("-")),
        "shortDescription": {"text": f"{finding.detector} ({kind})"},
        "help": {"text": f"Take it out; what was a {kind} and was read by others is to be revoked or renewed."},
        "defaultConfiguration": {"level": _LEVELS[finding.severity]},
        "properties": {
            "category": str(finding.category),
            "security-severity": _SCORES[finding.severity],
            "tags": ["security", str(finding.category)],
        },
    }
    return {**rule, "helpUri": documented} if documented.startswith("https://") else rule


def _result(found: Found, numbers: Mapping[str, int]) -> dict[str, Any]:
    finding = found.finding
    location = {"artifactLocation": {"uri": _uri(found.file)}, "region": _region(found.place)}
    member = member_of(finding)
    inside = f" in `{_literal(member)}`" if member else ""
    return {
        "ruleId": finding.detector,
        "ruleIndex": numbers[finding.detector],
        "level": _LEVELS[finding.severity],
        "message": {
            "text": f"{finding.detector}: {finding.category}, {finding.severity}, seen as {finding.via}{inside}"
        },
        "locations": [{"physicalLocation": location}],
        "properties": {"category": str(finding.category), "via": str(finding.via)},
    }


def _region(place: Place | None) -> dict[str, int]:
    """Of what lies in an archive the first line of the archive: what has no line is not shown by code scanning."""
    if place is None:
        return {"startLine": 1}
    return {
        "startLine": place.line,
        "startColumn": place.column,
        "endLine": place.end_line,
        "endColumn": place.end_column,
    }


def _literal(name: str) -> str:
    """A name that somebody chose makes no link (section 3.11.6 of the standard)."""
    return re.sub(r"[\\\[\]]", r"\\\g<0>", visible(name))


def _invocation(looked: Sequence[Looked]) -> dict[str, Any]:
    problems = [each for each in looked if each.problem is not None and not each.is_skipped]
    return {
        "executionSuccessful": not problems,
        "toolExecutionNotifications": [
            {
                "level": "error",
                "message": {"text": f"not scanned: {each.problem}"},
                "locations": [{"physicalLocation": {"artifactLocation": {"uri": _uri(each.file)}}}],
            }
            for each in problems
        ],
    }


def _uri(file: str) -> str:
    """A relative reference, or a `file:` address for an absolute path (RFC 3986)."""
    path = PurePath(file)
    if path.is_absolute():
        return path.as_uri()
    # Without `./`, a first segment with a colon would be a scheme.
    return quote(path.as_posix(), safe="/", errors="surrogateescape")
