"""Metrics of deciding, on both sides of the call. Label values are bounded: never ids, never tenants."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from holdgate.kernel.records import Phase, Verdict

DECISIONS = Counter("holdgate_decisions_total", "Decisions made by this kernel", ["phase", "verdict"])
PERMITS = Counter("holdgate_permits_total", "Requests for a permit", ["result"])
DECIDE_SECONDS = Histogram(
    "holdgate_kernel_batch_seconds",
    "Time in which a kernel answered one request",
    ["op"],
    buckets=(0.0002, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0),
)
KERNEL_ERRORS = Counter("holdgate_kernel_errors_total", "Requests that a kernel refused to answer", ["code"])
CACHE = Counter("holdgate_decision_cache_total", "Look-ups in the decision cache", ["result"])
CACHE_AGE = Histogram(
    "holdgate_decision_cache_age_seconds",
    "Age of the decision at a hit",
    buckets=(0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0),
)
CACHE_ENTRIES = Gauge("holdgate_decision_cache_entries", "Decisions in the cache", multiprocess_mode="livesum")
BREAKER_STATE = Gauge(
    "holdgate_kernel_breaker_state",
    "0 closed, 1 half-open, 2 open; the worst of all clients",
    multiprocess_mode="livemax",
)
KERNEL_UP = Gauge(
    "holdgate_kernel_up",
    "1 while the kernel answers or announces itself, as the client that looked last found",
    multiprocess_mode="livemostrecent",
)

READY = Gauge(
    "holdgate_ready",
    "1 where a process can do its work, as its `/readyz` says",
    ["process"],
    multiprocess_mode="livemin",
)
CHECK_FAILING = Gauge(
    "holdgate_check_failing",
    "1 where a process says in `/readyz` that this is not well",
    ["process", "check"],
    multiprocess_mode="livemax",
)
LOOKED_AT = Gauge(
    "holdgate_alive_timestamp_seconds",
    "When a process last looked whether it is well; one that hangs does not",
    ["process"],
    multiprocess_mode="livemin",
)

PERMIT_RESULTS = ("signed", "denied", "refused", "forged")

for _phase in Phase:
    for _verdict in Verdict:
        DECISIONS.labels(str(_phase), str(_verdict))
for _result in PERMIT_RESULTS:
    PERMITS.labels(_result)
for _result in ("hit", "miss"):
    CACHE.labels(_result)
SPANS = Counter("holdgate_spans_total", "Spans made for the collector, and what became of them", ["result"])
