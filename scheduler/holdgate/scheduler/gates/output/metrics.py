"""What the output gate counts. Label values are bounded: never ids, never tenants."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from holdgate.kernel.dataclass import DataClass
from holdgate.kernel.rules import OutputVerdict

VERDICTS = Counter("holdgate_output_policy_verdicts_total", "Verdicts on outputs", ["verdict"])
FAILURES = Counter(
    "holdgate_output_policy_failures_total", "Outputs on which there was no verdict yet; they stay sealed", ["reason"]
)
FINDINGS = Counter(
    "holdgate_output_findings_total",
    "Outputs in which something of a category and severity was found, by what becomes of that",
    ["category", "severity", "verdict"],
)
MARKS = Counter("holdgate_output_marks_total", "Outputs that carry a mark, such as `untrusted_instructions`", ["mark"])
SHADOWED = Counter(
    "holdgate_output_shadow_findings_total",
    "Outputs in which a detector in shadow found something; all detectors of bundles count as `custom`",
    ["detector"],
)
ALLOWED = Counter("holdgate_output_allowed_findings_total", "Outputs with findings that `allow_findings` lets through")
UNSCANNABLE = Counter("holdgate_output_unscannable_total", "Outputs of which something cannot be scanned", ["reason"])
CLASSES = Counter("holdgate_output_data_class_total", "Verdicts by the data class of the output", ["data_class"])
SCAN_BYTES = Counter("holdgate_output_scan_bytes_total", "Bytes of outputs that were inspected")
SCAN_SECONDS = Histogram(
    "holdgate_output_scan_seconds",
    "Time to inspect one output, in a process of its own when it is large",
    buckets=(0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0),
)
BATCH_SECONDS = Histogram(
    "holdgate_output_batch_seconds",
    "From fetching results to their verdicts being stored",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)
MALFORMED = Counter("holdgate_output_malformed_total", "Messages of results that are none")
UNSEALED = Counter(
    "holdgate_output_dropped_total",
    "Quarantined outputs that were dropped: texts of failed attempts, or the root names no key",
)
SCANNER_RESTARTS = Counter("holdgate_output_scanner_restarts_total", "Scanner processes that were ended or died")
SCANNER_FAILING = Gauge(
    # Counts what is wrong, and the most of all processes: those that scan nothing have it at 0, too.
    "holdgate_output_scanner_failing",
    "1 where the latest scan of a gate failed by the scanner's own fault",
    multiprocess_mode="livemax",
)
UP = Gauge("holdgate_output_gate_up", "Output gates that run", multiprocess_mode="livesum")

FAILURE_REASONS = (
    "kernel_unavailable",
    "kernel_refused",
    "state_unavailable",
    "log_unavailable",
    "scan_failed",
    "scan_timed_out",
    "scan_engine_failed",
    "scan_rules_invalid",
    "scan_fault",
    "scanner_died",
    "snapshot_unsettled",
    "wrong_state",
    "record_newer",
    "internal_error",
)

UNSCANNABLE_REASONS = (
    "unscannable", "scan_incomplete", "scan_too_long", "scan_timed_out", "scan_engine_failed", "scan_fault",
    "scanner_died",
)  # fmt: skip

for _verdict in OutputVerdict:
    VERDICTS.labels(str(_verdict))
for _reason in FAILURE_REASONS:
    FAILURES.labels(_reason)
for _class in DataClass:
    CLASSES.labels(str(_class))
for _reason in UNSCANNABLE_REASONS:
    UNSCANNABLE.labels(_reason)
