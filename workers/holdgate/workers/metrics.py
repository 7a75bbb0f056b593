"""What a worker counts. No label has a value that a submitter can choose."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from holdgate.workers.errors import Refusal
from holdgate.workers.results import RunOutcome

REFUSED = Counter("holdgate_worker_refused_total", "Jobs that a worker was handed and did not run, by reason", ["code"])
DONE = Counter("holdgate_worker_done_total", "Runs that ended, by outcome", ["outcome"])
RUNNING = Gauge("holdgate_worker_running", "Handlers running now", multiprocess_mode="livesum")
TAKEN_OUT = Counter(
    "holdgate_worker_secrets_taken_out_total", "Kinds of secrets that were taken out of outputs before they left"
)
UNSCANNABLE = Counter(
    "holdgate_worker_unscannable_total", "Outputs that did not leave, because the search for secrets failed"
)
STUCK = Gauge(
    "holdgate_worker_stuck", "Handlers that were told to stop and still hold their slot", multiprocess_mode="livesum"
)
UNPUBLISHED = Gauge(
    "holdgate_worker_unpublished_results", "Results that the log has not acknowledged yet", multiprocess_mode="livesum"
)
RUN_SECONDS = Histogram(
    "holdgate_worker_run_seconds",
    "Time from start to end of a handler",
    buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300, 1800),
)

for _refusal in Refusal:
    REFUSED.labels(code=str(_refusal))
for _outcome in RunOutcome:
    DONE.labels(outcome=str(_outcome))
