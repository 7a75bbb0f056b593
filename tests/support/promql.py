"""Names in PromQL, as far as tests of alerts and dashboards need them."""

from __future__ import annotations

import re
from pathlib import Path

from support.blocks import ROOT

ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yaml"
RECORDING = ROOT / "deploy" / "prometheus" / "recording.yaml"
METRIC = re.compile(r"\b((?:holdgate|process|python)_[a-z_]+|holdgate:[a-z_0-9:]+)\b")
OF_EVERY_PROCESS = frozenset(
    {"process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds", "process_max_fds"}
)
"""What the client library shows of each."""
ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \|", re.MULTILINE)


def known_metrics() -> dict[str, frozenset[str]]:
    """Every series that a process of Holdgate shows, with its labels: by the reference, which is made from the code."""
    found: dict[str, frozenset[str]] = dict.fromkeys(OF_EVERY_PROCESS, frozenset())
    for name, kind, shown in ROW.findall((ROOT / "docs" / "reference" / "metrics.md").read_text()):
        labels = frozenset(re.findall(r"`(\w+)`", shown))
        if kind == "histogram":
            found |= {f"{name}_sum": labels, f"{name}_count": labels, f"{name}_bucket": labels | {"le"}}
        else:
            found[name] = labels
    return found


def recorded() -> frozenset[str]:
    """Names that recording rules make."""
    return frozenset(re.findall(r"record: (\S+)", RECORDING.read_text()))


def metrics_in(expression: str) -> set[str]:
    """Metrics that an expression names, outside the values of labels."""
    return set(METRIC.findall(re.sub(r'"[^"]*"', '""', expression)))


def labels_in(expression: str) -> set[tuple[str, str]]:
    """Metric and label, for every label that chooses series of a metric of ours."""
    chosen = re.findall(r"\b(holdgate_[a-z_]+)\{([^}]*)\}", expression)
    return {(metric, label) for metric, matchers in chosen for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)}


def runbooks() -> list[Path]:
    """A page for each alert; the index is none."""
    return sorted(page for page in (ROOT / "docs" / "runbooks").glob("*.md") if page.name != "README.md")
