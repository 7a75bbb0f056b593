"""Pages of the reference that are made from the code: `python docs/pages.py` writes them, a test holds them current."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

from prometheus_client.metrics import MetricWrapperBase

from holdgate.scheduler.api.problems import KINDS

REFERENCE = Path(__file__).parent / "reference"
METRIC_MODULES = {
    "Kernel, and whoever asks it": "holdgate.kernel.metrics",
    "Policy": "holdgate.bundles.metrics",
    "HTTP": "holdgate.scheduler.api.metrics",
    "Submit gate": "holdgate.scheduler.gates.metrics",
    "Jobs, dispatch, audit": "holdgate.scheduler.metrics",
    "Output gate": "holdgate.scheduler.gates.output.metrics",
    "Worker": "holdgate.workers.metrics",
}


def errors() -> str:
    """Every `code` that a problem of the HTTP API can carry."""
    lines = [
        "# Errors",
        "",
        "Every refusal is an RFC 9457 problem (`application/problem+json`) with a `code` that stays the same, beside",
        "`job_id`, `decision` and `errors[]` where there are any. Where trying again helps there is a `Retry-After`.",
        "",
        "| code | status | says | try again |",
        "| --- | --- | --- | --- |",
    ]
    for code, kind in sorted(KINDS.items()):
        again = "" if kind.retry_after_s is None else f"after {kind.retry_after_s} s or as the reply says"
        lines.append(f"| `{code}` | {kind.status} | {kind.title} | {again} |")
    return "\n".join(lines) + "\n"


def metrics() -> str:
    """Every metric with its labels."""
    lines = [
        "# Metrics",
        "",
        "Prometheus, on port 9090 of `holdgate up` for all processes together, or on `HOLDGATE_METRICS_LISTEN` of",
        "each.",
        "Label values are bounded: never an id, never a tenant.",
    ]
    for title, name in METRIC_MODULES.items():
        lines += ["", f"## {title}", "", "| metric | kind | labels | says |", "| --- | --- | --- | --- |"]
        lines += [_row(metric) for metric in _metrics_of(importlib.import_module(name))]
    return "\n".join(lines) + "\n"


PAGES = {"errors.md": errors, "metrics.md": metrics}


def _metrics_of(module: ModuleType) -> list[MetricWrapperBase]:
    return [value for value in vars(module).values() if isinstance(value, MetricWrapperBase)]


def _row(metric: MetricWrapperBase) -> str:
    described = metric.describe()[0]
    suffix = "_total" if described.type == "counter" else ""
    labels = ", ".join(f"`{label}`" for label in metric._labelnames)
    return f"| `{described.name}{suffix}` | {described.type} | {labels} | {described.documentation.rstrip('.')} |"


if __name__ == "__main__":
    for page, make in PAGES.items():
        (REFERENCE / page).write_text(make(), encoding="utf-8")
