"""Findings for other programs: GitHub's workflow commands, and SARIF 2.1.0 (OASIS). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from holdgate.bundles.lint.catalog import BY_CODE
from holdgate.bundles.lint.findings import Finding, Severity

_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}
_SARIF = "https://json.schemastore.org/sarif-2.1.0.json"
_PAGE = "https://github.com/holdgate/holdgate/blob/main/docs/reference/lint.md"


def github_lines(findings: Sequence[Finding]) -> list[str]:
    """A workflow command for each: what GitHub shows beside the line (docs.github.com, workflow commands)."""
    return [
        f"::{_LEVELS[item.severity]} file={_property(item.file)},line={item.line},title={_property(item.code)}::"
        + _data(f"{item.rule or item.bundle}: {item.message}")
        for item in findings
    ]


def sarif(findings: Sequence[Finding]) -> dict[str, Any]:
    """One run of a tool `holdgate bundle lint`. SARIF has the same three levels."""
    codes = sorted({item.code for item in findings})
    rules = [
        {
            "id": code,
            "shortDescription": {"text": BY_CODE[code].what},
            "fullDescription": {"text": BY_CODE[code].why},
            "help": {"text": BY_CODE[code].instead},
            "helpUri": _PAGE,
        }
        for code in codes
    ]
    driver = {"name": "holdgate bundle lint", "informationUri": _PAGE, "rules": rules}
    return {
        "$schema": _SARIF,
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": _results(findings)}],
    }


def _results(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    return [
        {
            "ruleId": item.code,
            "level": str(item.severity),
            "message": {"text": f"{item.rule or item.bundle}: {item.message}"},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": item.file},
                        "region": {"startLine": max(item.line, 1)},
                    }
                }
            ],
        }
        for item in findings
    ]


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
