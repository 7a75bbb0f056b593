"""Pages of the reference that are made from the code: `python docs/pages.py` writes them, a test holds them current."""

from __future__ import annotations

import importlib
from functools import partial
from pathlib import Path
from types import ModuleType

from prometheus_client.metrics import MetricWrapperBase

from holdgate.bundles.lint.catalog import CHECKS
from holdgate.bundles.lint.findings import Severity
from holdgate.bundles.lint.grants import WRITE_WORDS
from holdgate.bundles.schema import SCHEMAS, schema_text
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


def lint() -> str:
    """Every check of `holdgate bundle lint`."""
    lines = [
        "# Lint",
        "",
        "`holdgate bundle lint DIR|FILE...` looks for rules that load and do not do what their author meant.",
        "Every publish does, too, and refuses errors. What is found has a code that stays the same, a severity,",
        "the rule, and the file and line where it stands. The exit code is 1 where there is an error, with",
        "`--strict` also where there is a warning, and 2 where something could not be read. `--json`, `--format",
        "github` and `--format sarif` are for programs; `--ignore CODE` leaves a check out.",
        "",
        "Bundles are looked at as being in force together. `--with FILE` adds one that is in force already: of",
        "that, only what is so because of the others is told. `--roles a,b`, or `--root` and `--pins`, say which",
        "approver roles somebody has, and the `vocabulary` of bundle.yaml which topics, labels and capabilities",
        "jobs use; without them the checks of such words keep quiet.",
        "",
        "A rule that is said to be without effect has none for any job there can be, its `when` failing included:",
        "lint says only what it can show, and so may miss one, above all where several rules together cover",
        "another.",
        "",
        "| code | severity | what | why it matters | what to do |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| `{check.code}` | {check.severity} | {_cell(check.what)} | {_cell(check.why)} | {_cell(check.instead)} |"
        for check in sorted(CHECKS, key=lambda check: list(Severity).index(check.severity))
    ]
    words = ", ".join(f"`{word}`" for word in sorted(WRITE_WORDS))
    lines += [
        "",
        "## Capabilities that change something",
        "",
        "Those in `vocabulary.write_capabilities`. Without any there: those, and for a rule that names no capability",
        f"those topics, whose last word is one of {words}.",
    ]
    return "\n".join(lines) + "\n"


PAGES = {
    "errors.md": errors,
    "metrics.md": metrics,
    "lint.md": lint,
    **{f"schema/{kind}.json": partial(schema_text, kind) for kind in SCHEMAS},
}


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _metrics_of(module: ModuleType) -> list[MetricWrapperBase]:
    return [value for value in vars(module).values() if isinstance(value, MetricWrapperBase)]


def _row(metric: MetricWrapperBase) -> str:
    described = metric.describe()[0]
    suffix = "_total" if described.type == "counter" else ""
    labels = ", ".join(f"`{label}`" for label in metric._labelnames)
    return f"| `{described.name}{suffix}` | {described.type} | {labels} | {described.documentation.rstrip('.')} |"


if __name__ == "__main__":
    (REFERENCE / "schema").mkdir(exist_ok=True)
    for page, make in PAGES.items():
        (REFERENCE / page).write_text(make(), encoding="utf-8")
