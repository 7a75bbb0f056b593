"""The table: what is away, and what must be so meanwhile. Data; what is seen is held against it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from holdgate.scheduler.up.closed.away import Away, Full, Hung, Killed

ACCEPTED = "202"
KERNEL = "503 kernel_unavailable"
STATE = "503 state_unavailable"
NATS = "503 nats_unavailable"
LOG = "503 log_unavailable"


@dataclass(frozen=True, slots=True)
class Row:
    """One line.

    `post`, `get`, `vote`: what submit, reading a job and a vote answer, status and code. `wrong`: checks of the API's
    `/readyz` that fail, at least. `failing`: the `process/check` of `holdgate_check_failing` that shows it. `runs`:
    whether what is due runs meanwhile. `stored`: whether what was submitted is there afterwards; None: it may be.
    `is_quick`: what the others do not show already. `due_ms`: ahead of which a job is scheduled that becomes ready
    meanwhile; longer than it takes until the dispatcher knows, where that looks from time to time. `others`: processes
    beside the API whose `/readyz` says more than `ready`, or does not answer. `attempts`: what a job took that ran when
    the parts went away: 1 where its handler's result was kept, however long that took to get in.
    """

    name: str
    away: tuple[Away, ...]
    post: str
    get: str
    vote: str
    standing: str
    wrong: tuple[str, ...]
    failing: str
    alert: str
    runs: bool = False
    stored: bool | None = False
    is_quick: bool = True
    due_ms: int = 800
    others: tuple[str, ...] = ()
    attempts: int = 1


def _kernel(name: str, *away: Away, also: tuple[str, ...] = (), **more: Any) -> Row:
    wrong, others = ("kernel", *also), ("kernel", "dispatcher")
    return Row(
        name, away, KERNEL, "200", KERNEL, "degraded", wrong, "api/kernel", "HoldgateKernelAway", others=others, **more
    )


def _redis(
    name: str,
    *away: Away,
    post: str = STATE,
    also: tuple[str, ...] = (),
    others: tuple[str, ...] = ("dispatcher", "output-gate", "auditor"),
    **more: Any,
) -> Row:
    wrong = ("redis", *also)
    return Row(
        name, away, post, STATE, STATE, "not_ready", wrong, "api/redis", "HoldgateRedisAway", others=others, **more
    )


def _nats(name: str, *away: Away, **more: Any) -> Row:
    wrong, others = ("nats", "jetstream"), ("kernel", "dispatcher", "output-gate")
    return Row(name, away, NATS, "200", NATS, "not_ready", wrong, "api/nats", "HoldgateNatsAway", others=others, **more)


def _served(name: str, kind: str, alert: str, **more: Any) -> Row:
    check, parts = kind.replace("-", "_"), (Killed(kind),)
    return Row(
        name, parts, ACCEPTED, "200", "200", "degraded", (check,), f"api/{check}", alert, stored=True,
        others=(kind,), **more,
    )  # fmt: skip


ROWS: tuple[Row, ...] = (
    _kernel("kernel killed", Killed("kernel"), is_quick=False),
    _kernel("kernel hangs", Hung("kernel")),
    _redis("Redis killed", Killed("redis"), is_quick=False),
    _redis("Redis hangs", Hung("redis"), stored=None),
    _nats("NATS killed", Killed("nats"), is_quick=False),
    _nats("NATS hangs", Hung("nats")),
    _served("output gate killed", "output-gate", "HoldgateOutputGateAway", runs=True),
    _served("dispatcher killed", "dispatcher", "HoldgateDispatcherAway", is_quick=False),
    _served("auditor killed", "auditor", "HoldgateAuditorAway", runs=True, is_quick=False),
    Row(
        "workers killed", (Killed("worker"),), ACCEPTED, "200", "200", "ready", (), "", "HoldgateWorkersAway",
        stored=True, is_quick=False, others=("worker",), attempts=2,
    ),
    _redis("disk full under Redis", Full("redis"), others=("dispatcher",)),
    Row(
        "disk full under NATS", (Full("nats"),), LOG, "200", "200", "degraded", ("jetstream",), "api/jetstream",
        "HoldgateJetStreamAway", stored=True, due_ms=8_000,
    ),
    Row(
        "disk full under the kernel", (Full("kernel"),), ACCEPTED, "200", "200", "ready", (), "kernel/disk",
        "HoldgateKernelDiskFull", runs=True, stored=True, is_quick=False, others=("kernel",),
    ),
    Row(
        "disk full under the audit archive", (Full("audit"),), ACCEPTED, "200", "200", "degraded", ("auditor",),
        "auditor/disk", "HoldgateAuditDiskFull", runs=True, stored=True, is_quick=False, others=("auditor",),
    ),
    Row(
        "disk full under the audit archive, output gate killed", (Full("audit"), Killed("output-gate")), ACCEPTED,
        "200", "200", "degraded", ("auditor", "output_gate"), "api/output_gate", "HoldgateOutputGateAway",
        runs=True, stored=True, is_quick=False, others=("auditor", "output-gate"),
    ),
    _redis(
        "disk full under Redis, kernel killed", Full("redis"), Killed("kernel"), post=KERNEL, also=("kernel",),
        is_quick=False, others=("kernel", "dispatcher"),
    ),
    _kernel(
        "kernel and output gate killed", Killed("kernel"), Killed("output-gate"), also=("output_gate",), is_quick=False
    ),
    _redis("kernel and Redis killed", Killed("kernel"), Killed("redis"), post=KERNEL, also=("kernel",), is_quick=False),
    _redis("Redis and NATS killed", Killed("redis"), Killed("nats"), post=NATS, also=("nats",), is_quick=False),
    _redis("kernel, Redis and NATS killed", *map(Killed, ("kernel", "redis", "nats")), post=NATS, also=("nats",)),
)  # fmt: skip
