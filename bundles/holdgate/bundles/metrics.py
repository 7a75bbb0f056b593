"""Metrics of loading policy."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

RELOADS = Counter("holdgate_policy_reload_total", "Bundles looked at by this kernel", ["result"])
LAST_SUCCESS = Gauge(
    "holdgate_policy_last_success_seconds",
    "When a set of bundles was last verified (Unix time)",
    multiprocess_mode="livemostrecent",
)
EXPIRES = Gauge(
    "holdgate_policy_expires_seconds",
    "When the policy in force expires (Unix time); 0 without one",
    multiprocess_mode="livemostrecent",
)
RULES = Gauge("holdgate_policy_rules", "Rules in force", multiprocess_mode="livemostrecent")
DEFAULT_ALLOW = Gauge(
    "holdgate_policy_default_allow",
    "1 while the signed root lets through whatever no rule speaks of",
    multiprocess_mode="livemostrecent",
)

for _result in ("accepted", "rejected", "unchanged", "unavailable"):
    RELOADS.labels(_result)
