"""The whole table tried on a running `holdgate up`, with a line for each row and a record of what was seen."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx

from holdgate.kernel.clock import Clock, SystemClock
from holdgate.scheduler.up.closed.observe import Observation, observe
from holdgate.scheduler.up.closed.rows import ROWS, Row
from holdgate.scheduler.up.closed.running import NotHere, Running

TIMES = ("noticed_ms", "slowest_ms", "back_ms")


def run_closed(directory: Path, record: Path | None) -> int:
    """The exit code: 0 when every row that can be tried here is as the table says."""
    system = Running.of(directory)
    try:
        tried = [(row, try_row(system, row, number, SystemClock())) for number, row in enumerate(ROWS)]
    finally:
        system.close()
    if record is not None:
        seen = [recorded(row, found) for row, found in tried if isinstance(found, Observation)]
        record.write_text(json.dumps(seen, indent=1) + "\n")  # noqa: TID251  a file for people and a page
    return 1 if any(_differs(row, found) for row, found in tried) else 0


def try_row(system: Running, row: Row, number: int, clock: Clock) -> Observation | str:
    """What was seen, or why it was not tried or could not be seen; said on standard output."""
    try:
        found = observe(system, row, number, clock)
    except NotHere as reason:
        print(f"skip {row.name}: {reason}", flush=True)
        return f"skipped: {reason}"
    except (httpx.HTTPError, KeyError, OSError) as error:
        print(f"DIFF {row.name}: {type(error).__name__}: {error}", flush=True)
        return f"{type(error).__name__}: {error}"
    wrong = found.differences(row)
    print(f"{'DIFF' if wrong else 'ok  '} {row.name}: {found.post}, back after {found.back_ms} ms", flush=True)
    for difference in wrong:
        print(f"       {difference}", flush=True)
    return found


def recorded(row: Row, found: Observation) -> dict[str, Any]:
    """What is kept of an observation: without words that differ from run to run."""
    kept = {name: value for name, value in asdict(found).items() if name != "wrong"}
    return {**kept, "wrong": sorted(set(row.wrong) & set(found.wrong)), "metric": row.failing, "alert": row.alert}


def page(records: Iterable[dict[str, Any]]) -> str:
    """The table as Markdown."""
    lines = [
        "| away | `POST /jobs` | `GET` | a vote | due jobs | `/readyz` of the API | fires | noticed, slowest, back |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [_line(record) for record in records]
    return "\n".join(lines) + "\n"


def _line(record: dict[str, Any]) -> str:
    stored = {row.name: row.stored for row in ROWS}.get(record["name"])
    post = f"`{record['post']}`"
    if record["post"].startswith("503"):
        kept = {True: "the first may be kept", False: "nothing stored", None: "the first may be kept"}[stored]
        post += f", `Retry-After: {record['retry_after_s']}`; {kept}"
    failing = ", ".join(f"`{name}`" for name in record["wrong"])
    standing = f"`{record['standing']}`" + (f": {failing}" if failing else "")
    alert = record["alert"]
    fires = f"[{alert}](../runbooks/{alert}.md)"
    if record["metric"]:
        process, _, check = record["metric"].partition("/")
        fires += f'; `holdgate_check_failing{{process="{process}",check="{check}"}}`'
    times = ", ".join(f"{record[name] / 1000:.1f} s" for name in TIMES)
    due = "run" if record["runs"] else "wait"
    told = f"{post} | `{record['get']}` | `{record['vote']}`"
    return f"| {record['name']} | {told} | {due} | {standing} | {fires} | {times} |"


def _differs(row: Row, found: Observation | str) -> bool:
    if isinstance(found, str):
        return not found.startswith("skipped")
    return bool(found.differences(row))
