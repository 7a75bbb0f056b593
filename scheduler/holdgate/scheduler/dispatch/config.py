"""What an operator may set for a dispatcher, checked together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from holdgate.kernel import limits, subjects
from holdgate.scheduler.dispatch.fairness import check_weights


@dataclass(frozen=True, slots=True)
class DispatchConfig:
    """Bounds and intervals. ValueError when they do not hold together.

    `in_flight_max`: jobs of one tenant that may run at once, in all pools; `in_flight_of`: of tenants with a bound of
    their own. `weights`: shares of tenants that are not 1. Both may change while the dispatcher runs.
    `reclaim_grace_s`: how long leases are left alone after a start or an outage, so that heartbeats can arrive.
    `retention_s`: how long ended jobs are kept; denied ones a day at most.
    `quarantine_keep_s`: how long a sealed output waits for people to decide about it.
    `inboxes`: where answers to workers may go, beside the inbox of their pool.
    """

    in_flight_max: int = 1000
    in_flight_of: Mapping[str, int] = field(default_factory=dict)
    weights: Mapping[str, int] = field(default_factory=dict)
    lease_ms: int = limits.LEASE_S * 1000
    reaper_interval_s: float = 0.5
    scan_interval_s: float = 0.25
    redecide_interval_s: float = 5.0
    escalate_interval_s: float = 1.0
    outbox_age_ms: int = 2_000
    reclaim_grace_s: float = 2 * limits.HEARTBEAT_S
    retention_s: int = 7 * 24 * 3600
    quarantine_keep_s: int = limits.QUARANTINE_KEEP_S
    retention_interval_s: float = 60.0
    lost_results_interval_s: float = 15.0
    endings_interval_s: float = 0.25
    watch_interval_s: float = 1.0
    reconcile_interval_s: float = 3600.0
    results_wait_s: float = 3.0
    inboxes: tuple[str, ...] = (subjects.INBOX, subjects.inbox(subjects.OPERATOR_USER))

    def __post_init__(self) -> None:
        check_weights(self.weights)
        if self.in_flight_max < 1:
            msg = "`in_flight_max` must be at least 1, or nothing ever runs"
            raise ValueError(msg)
        if self.lease_ms < 3 * limits.HEARTBEAT_S * 1000:
            msg = "`lease_ms` must outlast three heartbeats"
            raise ValueError(msg)
