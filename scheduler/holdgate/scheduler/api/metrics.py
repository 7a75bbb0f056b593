"""What the API counts. Labels are names of operations and statuses, never of jobs, tenants or keys."""

from __future__ import annotations

from time import perf_counter

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter("holdgate_http_requests_total", "HTTP requests answered.", ["operation", "status"])
SECONDS = Histogram(
    "holdgate_http_request_seconds",
    "Time from the head of a request to the end of its reply.",
    ["operation"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
)
WAITERS = Gauge("holdgate_http_waiters", "Long polls and event streams under way.", multiprocess_mode="livesum")
CUT_OFF = Counter(
    "holdgate_http_connections_cut_total",
    "Connections of clients that were ended for what they did, or did not.",
    ["reason"],
)
for _reason in ("refused", "too_slow", "not_read", "head_too_large", "no_room", "not_waiting"):
    CUT_OFF.labels(_reason)
EVENTS_DROPPED = Counter("holdgate_event_hints_dropped_total", "Hints of changes that could not be read.")


class Observer:
    """Counts and times the requests of one operation."""

    def __init__(self, operation: str) -> None:
        self._operation = operation
        self._seconds = SECONDS.labels(operation)
        self._counters: dict[int, Counter] = {}

    def observe(self, status: int, started: float) -> None:
        """One request answered with `status`; `started` is `perf_counter()` of then."""
        counter = self._counters.get(status)
        if counter is None:
            counter = self._counters[status] = REQUESTS.labels(self._operation, str(status))
        counter.inc()
        self._seconds.observe(perf_counter() - started)
