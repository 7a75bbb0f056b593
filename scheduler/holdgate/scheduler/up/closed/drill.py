"""The whole table tried on a running `holdgate up`, with a line for each row and a record of what was seen."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx

from holdgate.kernel.clock import Clock, SystemClock
from holdgate.scheduler.up.closed.observe import Observation, observe
from holdgate.scheduler.up.closed.rows import ROWS, Row
from holdgate.scheduler.up.closed.running import NO_ANSWER, NotHere, Running

BACK_S_MAX = 5.0
"""From the return of a part until all is well, unless somebody says otherwise."""
WRONG = {"SLOW": "back late", "DIFF": "not as expected"}
"""Outcomes that fail a drill."""
TIMES = ("noticed_ms", "slowest_ms", "back_ms")


def run_closed(directory: Path, record: Path | None, *, back_s_max: float = BACK_S_MAX, as_json: bool = False) -> int:
    """The exit code: 0 when every row that can be tried here is as the table says, and back in time."""
    system = Running.of(directory)
    tried: list[Tried] = []
    try:
        for number, row in enumerate(ROWS):
            tried.append(Tried(row, try_row(system, row, number, SystemClock()), back_s_max))
            _tell(tried[-1], as_json=as_json)
    finally:
        system.close()
    if record is not None:
        seen = [recorded(one.row, one.found) for one in tried if isinstance(one.found, Observation)]
        record.write_text(json.dumps(seen, indent=1) + "\n")  # noqa: TID251  a file for people and a page
    if not as_json:
        print(summary(tried), flush=True)
    return 1 if any(one.outcome in WRONG for one in tried) else 0


def try_row(system: Running, row: Row, number: int, clock: Clock) -> Observation | str:
    """What was seen, or why it was not tried or could not be seen."""
    try:
        return observe(system, row, number, clock)
    except NotHere as reason:
        return f"skipped: {reason}"
    except (httpx.HTTPError, KeyError, OSError) as error:
        return f"{type(error).__name__}: {error}"


@dataclass(frozen=True, slots=True)
class Tried:
    """A row and what was found, held to the table and to `back_s_max`."""

    row: Row
    found: Observation | str
    back_s_max: float

    @property
    def differences(self) -> list[str]:
        """What is not as it has to be, as sentences; none of a row that was skipped."""
        if isinstance(self.found, str):
            return [] if self.found.startswith("skipped") else [self.found]
        late = self.found.back_ms > self.back_s_max * 1000
        slow = [f"back after {self.found.back_ms} ms, not {self.back_s_max:g} s"] if late else []
        return self.found.differences(self.row) + slow

    @property
    def outcome(self) -> str:
        """`ok`, `skip`, `SLOW` where all is right but came late, `DIFF`."""
        if isinstance(self.found, str):
            return "skip" if self.found.startswith("skipped") else "DIFF"
        if self.found.differences(self.row):
            return "DIFF"
        return "SLOW" if self.differences else "ok"


def summary(tried: Sequence[Tried]) -> str:
    """How many rows ended how, in a line."""
    counts = Counter(one.outcome for one in tried)
    told = [f"{counts['ok']} as expected", f"{counts['skip']} skipped"]
    told += [f"{counts[kind]} {said}" for kind, said in WRONG.items() if counts[kind]]
    return ", ".join(told)


def _tell(tried: Tried, *, as_json: bool) -> None:
    row, found = tried.row, tried.found
    if as_json:
        seen = recorded(row, found) if isinstance(found, Observation) else {"name": row.name, "said": found}
        line = {**seen, "outcome": tried.outcome.lower(), "differences": tried.differences}
        print(json.dumps(line), flush=True)  # noqa: TID251  for scripts
        return
    said = found if isinstance(found, str) else f"{found.post}, back after {found.back_ms} ms"
    print(f"{tried.outcome:<4} {row.name}: {said}", flush=True)
    for difference in tried.differences if isinstance(found, Observation) else ():
        print(f"       {difference}", flush=True)


def recorded(row: Row, found: Observation) -> dict[str, Any]:
    """What is kept of an observation: without words that differ from run to run."""
    kept = {name: value for name, value in asdict(found).items() if name != "wrong"}
    return {**kept, "wrong": sorted(set(row.wrong) & set(found.wrong)), "metric": row.failing, "alert": row.alert}


def page(records: Iterable[dict[str, Any]]) -> str:
    """Two tables as Markdown: what callers see, and what goes on inside."""
    kept = list(records)
    lines = [
        "| away | `POST /jobs` | `GET` | a vote | due jobs | `/readyz` of the API | fires | noticed, slowest, back |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *map(_line, kept),
        "",
        "| away | a job that ran then | `/readyz` of the others, where it is not `ready` |",
        "| --- | --- | --- |",
        *(_line_inside(record) for record in kept if "others" in record),
    ]
    return "\n".join(lines) + "\n"


def _line_inside(record: dict[str, Any]) -> str:
    first = "its handler goes on, its result counts"
    ran = first if record["attempts"] == 1 else "its handler is gone; runs again"
    again = f"{ran}: `{record['ran']}` in attempt {record['attempts']}"
    others = {name: said for name, said in record["others"].items() if said != "ready" and name != "api"}
    told = "; ".join(f"{name} {_said(said)}" for name, said in sorted(others.items()))
    return f"| {record['name']} | {again} | {told or 'all `ready`'} |"


def _said(standing: str) -> str:
    word, colon, failing = standing.partition(": ")
    if not colon:
        return word if word == NO_ANSWER else f"`{word}`"
    return f"`{word}`: " + ", ".join(f"`{name}`" for name in failing.split(", "))


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
