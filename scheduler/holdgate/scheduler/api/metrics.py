"""What the API counts. Labels are names of operations and statuses, never of jobs, tenants or keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
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
EVENTS_DROPPED = Counter("holdgate_event_hints_dropped_total", "Hints of changes that could not be read.")


class Observation:
    """The status of a request, to be filled in."""

    __slots__ = ("status",)

    def __init__(self) -> None:
        self.status = 500


def observer(operation: str) -> Callable[[], AbstractContextManager[Observation]]:
    """A context manager that counts and times one request of `operation`."""
    seconds = SECONDS.labels(operation)
    counters: dict[int, Counter] = {}

    @contextmanager
    def observe() -> Iterator[Observation]:
        observation, started = Observation(), perf_counter()
        try:
            yield observation
        finally:
            counter = counters.get(observation.status)
            if counter is None:
                counter = counters[observation.status] = REQUESTS.labels(operation, str(observation.status))
            counter.inc()
            seconds.observe(perf_counter() - started)

    return observe
