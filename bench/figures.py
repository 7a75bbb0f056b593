"""The table of approvals in `docs/reference/figures.md`, made of `bench/results.json`: `python -m bench.figures`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "figures.md"
RESULTS = Path(__file__).with_name("results.json")
BEGIN, END = "<!-- approvals: made by python -m bench.figures -->", "<!-- approvals: end -->"
ROWS = (
    ("the console's queue, 100 held", ("held_100", "console_queue_ms"), "under 100 ms"),
    ("the console's queue, 10,000 held", ("held_10000", "console_queue_ms"), "under 200 ms"),
    ("a held job's page, 10,000 held", ("held_10000", "console_job_ms"), ""),
    ("`GET /approvals`, 100 held", ("held_100", "api_list_ms"), ""),
    ("`GET /approvals`, 10,000 held", ("held_10000", "api_list_ms"), ""),
    ("`GET /approvals?order=expiring`, 10,000 held", ("held_10000", "api_list_expiring_ms"), ""),
    ("`GET /approvals/{job_id}`, 10,000 held", ("held_10000", "api_show_ms"), ""),
    ("submit to the event at a listener", ("live_update_ms",), "under 1 s"),
    ("approve to the handler's first line", ("approve_to_start_ms",), "p50 under 50 ms"),
)


def table(approvals: Mapping[str, Any]) -> str:
    """The rows, p50 and p99 of one run."""
    lines = ["| figure | p50 ms | p99 ms | aimed at |", "| --- | --- | --- | --- |"]
    for name, path, aim in ROWS:
        found = approvals
        for step in path:
            found = found[step]
        lines.append(f"| {name} | {found['p50']} | {found['p99']} | {aim} |")
    return "\n".join(lines)


def write(approvals: Mapping[str, Any]) -> None:
    """Put the table between its marks."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{table(approvals)}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    write(json.loads(RESULTS.read_text())["results"]["approvals"])
