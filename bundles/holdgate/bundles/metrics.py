"""Metrics of loading policy."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

RELOADS = Counter("holdgate_policy_reload_total", "Bundles looked at by this kernel", ["result"])
LAST_SUCCESS = Gauge(
    "holdgate_policy_last_success_seconds",
    "When a set of bundles was last verified (Unix time, the oldest of all kernels)",
    multiprocess_mode="livemin",
)
EXPIRES = Gauge(
    "holdgate_policy_expires_seconds",
    "When the policy in force expires (Unix time, the earliest of all kernels); 0 without one",
    multiprocess_mode="livemin",
)
RULES = Gauge("holdgate_policy_rules", "Rules in force (the fewest of all kernels)", multiprocess_mode="livemin")

for _result in ("accepted", "rejected", "unchanged", "unavailable"):
    RELOADS.labels(_result)
