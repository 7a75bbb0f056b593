"""What a scan found, for people and for programs. Never a value."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from holdgate.scheduler.cli.scan.look import Found, Looked
from holdgate.scheduler.cli.scan.places import member_of
from holdgate.scheduler.visible import visible

RULE_COLUMNS = ("detector", "category", "severity", "documented at")
COLUMNS = ("where", "detector", "category", "severity", "via")


def print_table(looked: Sequence[Looked]) -> None:
    """Findings, a row each; nothing where there are none."""
    rows = [_row(found) for each in looked for found in each.found]
    if rows:
        # Here, so that a clean scan, the usual case, does not load what draws tables.
        from holdgate.scheduler.cli.people.output import Out

        Out(as_json=False).table(COLUMNS, rows)


def print_lines(looked: Sequence[Looked]) -> None:
    """An object a line, of what was found and of what was not scanned."""
    for each in looked:
        for found in each.found:
            _print_json(_object(found))
        if each.problem is not None:
            _print_json({"file": each.file, "error": each.problem, "skipped": each.is_skipped})


def print_rules(rules: Sequence[Mapping[str, str]], *, as_json: bool) -> None:
    """The detectors, an object or a row each."""
    from holdgate.scheduler.cli.people.output import Out

    out = Out(as_json)
    if not as_json:
        out.table(RULE_COLUMNS, [tuple(rule.values()) for rule in rules])
        return
    for rule in rules:
        out.line(rule)


def print_lint(count: int, problems: Sequence[tuple[str, bool]]) -> None:
    """What the linter says of so many rules."""
    for line, is_error in problems:
        print(f"{'error' if is_error else 'warning'}: {visible(line)}")
    errors = sum(is_error for _, is_error in problems)
    print(f"{_counted(count, 'rule')}, {_counted(errors, 'error')}")


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"


def print_document(document: dict[str, Any]) -> None:
    """One JSON document."""
    print(json.dumps(document, indent=2, ensure_ascii=True))  # noqa: TID251  for programs; never hashed or signed


def print_problems(looked: Iterable[Looked]) -> None:
    """What was not scanned, to standard error; what nobody named only as a number."""
    skipped = 0
    for each in looked:
        if each.is_skipped:
            skipped += 1
        elif each.problem is not None:
            tell(f"{each.file}: not scanned: {each.problem}")
    if skipped:
        tell(f"passed by, being neither text nor archives that are read here: {skipped}; `--json` names them")


def tell(text: str) -> None:
    """A line for whoever sits there."""
    print(visible(f"holdgate scan: {text}"), file=sys.stderr, flush=True)


def where(found: Found) -> str:
    """`file:line:column`, and of a member of an archive its path and characters."""
    if found.place is not None:
        return f"{found.file}:{found.place.line}:{found.place.column}"
    member = member_of(found.finding)
    inside = f"!/{member}" if member else ""
    return f"{found.file}{inside}:{found.finding.start}-{found.finding.end}"


def _row(found: Found) -> tuple[object, ...]:
    finding = found.finding
    return where(found), finding.detector, str(finding.category).replace("_", " "), finding.severity, finding.via


def _object(found: Found) -> dict[str, Any]:
    finding, place = found.finding, found.place
    shown: dict[str, Any] = {
        "file": found.file,
        "detector": finding.detector,
        "category": str(finding.category),
        "severity": str(finding.severity),
        "via": str(finding.via),
        "path": finding.path,
        "start": finding.start,
        "end": finding.end,
    }
    if place is not None:
        shown |= {
            "line": place.line,
            "column": place.column,
            "end_line": place.end_line,
            "end_column": place.end_column,
        }
    return shown


def _print_json(value: dict[str, Any]) -> None:
    print(json.dumps(value, ensure_ascii=True))  # noqa: TID251  for programs; never hashed or signed
