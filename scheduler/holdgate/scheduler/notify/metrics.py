"""Metrics of webhooks. Labels are names that the operator gave and results from a short list."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

NOTICES = Counter(
    "holdgate_notices_total", "Attempts to deliver a notice, and what became of them", ["webhook", "result"]
)
WAITING = Gauge("holdgate_notices_waiting", "Notices not delivered yet", ["webhook"], multiprocess_mode="livemax")
FAILURES = Counter("holdgate_notify_failures_total", "Runs of the notifier that ended in an error")

DELIVERED, RETRIED, GIVEN_UP, DROPPED, LATE = "delivered", "retried", "given_up", "dropped", "late"
RESULTS = (DELIVERED, RETRIED, GIVEN_UP, DROPPED, LATE)
