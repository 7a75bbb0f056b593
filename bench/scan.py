"""How fast the scanner is, on ordinary and on hostile texts, beside detect-secrets and a plain loop of `re`.

Run alone: `python -m bench.scan`; `--vectors FILE` scores it on a labelled set, `--anchors` names the rules that cost.
"""

from __future__ import annotations

import argparse
import logging
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.scan_quality import score
from bench.scan_texts import MB, hostile_texts, log_document, log_lines, source_code
from holdgate.scan import ScanError, Scanner
from holdgate.scan.engine import PIECE_BYTES, Budget, Engine
from holdgate.scan.ruleset import Rule, builtin_rules

COMPARED_BYTES = MB // 8
"""Of the same text, for those that take seconds for a megabyte."""
MEMORY_BYTES = 32 * MB
AIMS = {
    "raw, MB/s": "50",
    "raw with hyperscan, MB/s": "150",
    "all views of a text, MB/s": "20",
    "a JSON document as the gate does, MB/s": "20",
    "detect-secrets, MB/s": "",
    "loop of `re`, MB/s": "",
    "raw against detect-secrets": "",
    "raw against a loop of `re`": "",
    "1 KB raw, us": "20",
    "1 KB all views, us": "120",
    "slowest hostile text raw, MB/s": "5, or ends within budget",
    "slowest hostile text all views, MB/s": "5, or ends within budget",
    "memory, x document above 64 MB": "4",
}


def measure() -> dict[str, Any]:
    """Rates, latencies, hostile texts and memory of one run."""
    text, document = log_lines(MB), log_document(MB)
    both = {"re2": _scans(text, document, fast=False), "fast": _scans(text, document, fast=True)}
    result: dict[str, Any] = {
        "rules": len(builtin_rules()),
        **{
            f"{name}_mb_s": {engine: _rate(scans[name], MB) for engine, scans in both.items()}
            for name in ("raw", "views", "json")
        },
        **{
            f"{name}_us": {engine: _latency_us(scans[name]) for engine, scans in both.items()}
            for name in ("raw_1kb", "views_1kb")
        },
        "detect_secrets_mb_s": _rate_of_detect_secrets(text[:COMPARED_BYTES]),
        "re_loop_mb_s": _rate_of_re(text[:COMPARED_BYTES]),
        "hostile": _hostile(Scanner()),
        "memory": _memory(),
    }
    raw = result["raw_mb_s"]["re2"]
    result["raw_against_detect_secrets"] = round(raw / result["detect_secrets_mb_s"], 1)
    result["raw_against_re_loop"] = round(raw / result["re_loop_mb_s"], 1)
    return result


def _scans(text: bytes, document: bytes, *, fast: bool) -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    scanner = Scanner(fast=fast)
    whole, short = text.decode(), text[:1024].decode()
    return {
        "raw": partial(scanner.scan_raw, text),
        "views": partial(scanner.scan, whole),
        "json": partial(scanner.scan_json, document),
        "raw_1kb": partial(scanner.scan_raw, text[:1024]),
        "views_1kb": partial(scanner.scan, short),
    }


def rows(result: dict[str, Any]) -> dict[str, str]:
    """The figures by the names that `AIMS` has."""
    slowest = {
        kind: min(result["hostile"].values(), key=lambda row: row[kind]["mb_s"])[kind] for kind in ("raw", "views")
    }
    figures = (
        result["raw_mb_s"]["re2"],
        result["raw_mb_s"]["fast"],
        *(f"{result[name]['re2']}, with hyperscan {result[name]['fast']}" for name in ("views_mb_s", "json_mb_s")),
        result["detect_secrets_mb_s"],
        result["re_loop_mb_s"],
        f"{result['raw_against_detect_secrets']} x",
        f"{result['raw_against_re_loop']} x",
        *(f"{result[name]['re2']}, with hyperscan {result[name]['fast']}" for name in ("raw_1kb_us", "views_1kb_us")),
        *(f"{row['mb_s']} ({row['end']})" for row in slowest.values()),
        max(row["factor"] for row in result["memory"].values()),
    )
    return dict(zip(AIMS, map(str, figures), strict=True))


def _rate(act: Callable[[], object], size: int, times: int = 5) -> float:
    """MB/s of a core, of the quickest run: what else the machine does is not the scanner's."""
    return round(size / min(_taken_s(act, time.process_time) for _ in range(times)) / MB, 2)


def _latency_us(act: Callable[[], object], times: int = 2_000) -> float:
    act()
    return round(statistics.median(_taken_s(act) for _ in range(times)) * 1e6, 1)


def _taken_s(act: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    started = clock()
    act()
    return clock() - started


def _rate_of_detect_secrets(text: bytes) -> float:
    from detect_secrets.core.secrets_collection import SecretsCollection
    from detect_secrets.settings import default_settings

    with tempfile.NamedTemporaryFile(suffix=".log") as file, default_settings():
        file.write(text)
        file.flush()
        return _rate(lambda: SecretsCollection().scan_file(file.name), len(text), times=1)


def _rate_of_re(text: bytes) -> float:
    patterns = [re.compile(rule.regex.encode("ascii")) for rule in builtin_rules()]
    return _rate(lambda: [list(pattern.finditer(text)) for pattern in patterns], len(text), times=1)


def _hostile(scanner: Scanner, size: int = 2 * MB) -> dict[str, Any]:
    """Each text raw and in all views: to the end, or to the budget, which then is what it took."""
    return {
        name: {
            "raw": _ended(partial(scanner.scan_raw, text), len(text)),
            "views": _ended(partial(scanner.scan, text), len(text)),
        }
        for name, text in hostile_texts(size).items()
    }


def _ended(act: Callable[[], object], size: int) -> dict[str, Any]:
    started = time.perf_counter()
    try:
        act()
        end = "scanned"
    except ScanError as error:
        end = error.code
    taken_s = time.perf_counter() - started
    return {"end": end, "s": round(taken_s, 3), "mb_s": round(size / taken_s / MB, 2)}


def _memory() -> dict[str, Any]:
    """Peaks of processes that scan one document each, above what the process had with the document in it."""
    found = {}
    for kind in ("raw", "views", "json"):
        command = [sys.executable, "-m", "bench.scan", "--peak", kind]
        peak = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        factor = round(max(0, peak - 64 * MB) / MEMORY_BYTES, 2)
        found[kind] = {"document_mb": MEMORY_BYTES // MB, "above_mb": round(peak / MB), "factor": factor}
    return found


def _peak(kind: str) -> int:
    """Bytes that the scan of `MEMORY_BYTES` takes at most, the scanner's own set-up included."""
    document = (log_document if kind == "json" else log_lines)(MEMORY_BYTES)
    text = document.decode() if kind != "json" else ""
    with Path("/proc/self/clear_refs").open("w") as refs:
        refs.write("5")  # the peak begins again here
    before = _resident("VmRSS")
    scanner = Scanner(budget=Budget(seconds=120.0))
    act = {"raw": scanner.scan_raw, "views": scanner.scan}.get(kind)
    act(text) if act else scanner.scan_json(document)
    return _resident("VmHWM") - before


def _resident(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise LookupError(name)


def anchors(size: int = 4 * MB) -> Table:
    """Rules by what they cost on ordinary text: in how many pieces their anchor fires, and time."""
    text = log_lines(size // 2) + source_code(size // 2)
    engine = Engine(builtin_rules(), Budget(seconds=600.0))
    fired: Counter[int] = Counter()
    for start in range(0, len(text), PIECE_BYTES):
        fired.update(engine.fired(text, start))
    pieces = len(text) // PIECE_BYTES
    shown = Table("rule", "fires in, % of pieces", "us a piece", title=f"{len(builtin_rules())} rules, {size // MB} MB")
    alone = [
        (_cost_us(rule, text, pieces), count, rule)
        for index, count in fired.items()
        for rule in [builtin_rules()[index]]
    ]
    for cost, count, rule in sorted(alone, key=lambda row: -row[0])[:40]:
        shown.add_row(rule.id, f"{100 * count / pieces:.1f}", f"{cost:.2f}")
    return shown


def _cost_us(rule: Rule, text: bytes, pieces: int) -> float:
    """What the rule adds to a scan that has none."""
    budget = Budget(seconds=600.0)
    none, one = Engine([], budget), Engine([rule], budget)
    taken = [[_taken_s(lambda: list(engine.hits(text)), time.process_time) for _ in range(3)] for engine in (none, one)]  # noqa: B023
    return (min(taken[1]) - min(taken[0])) / pieces * 1e6


def table(result: dict[str, Any]) -> Table:
    """Figures beside what was aimed at."""
    shown = Table("figure", "measured", "aim", title=f"Scanner, {result['rules']} rules")
    for name, value in rows(result).items():
        shown.add_row(name, value, AIMS[name])
    return shown


def main() -> int:
    """One of the measurements, printed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors", type=Path, metavar="FILE", help="a labelled set: recall and false findings")
    parser.add_argument("--anchors", action="store_true", help="what each rule costs on ordinary text")
    parser.add_argument("--peak", choices=("raw", "views", "json"), help="memory of one scan, in bytes")
    given = parser.parse_args()
    logging.basicConfig()
    console = Console()
    if given.peak:
        print(_peak(given.peak))
    elif given.anchors:
        console.print(anchors())
    elif given.vectors:
        quality = score(Scanner().scan, given.vectors)
        console.print(quality.as_dict())
        for share, rule, count in quality.missed:
            console.print(f"  {share:5.2f}  {rule} ({count} texts)")
    else:
        result = measure()
        console.print(table(result))
        console.print(result["hostile"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
