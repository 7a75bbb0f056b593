"""The overview: lists of numbers, one a step of time."""

from __future__ import annotations

from holdgate.kernel.breaker import BreakerState
from holdgate.kernel.records import Verdict
from holdgate.kernel.rules import OutputVerdict
from holdgate.scheduler.api.schemas.shapes import (
    BOOLEAN,
    COUNT,
    COUNTS,
    DIGEST,
    TIME,
    Schema,
    listed,
    nullable,
    record,
    text,
)
from holdgate.scheduler.state.counters import LEVELS
from holdgate.scheduler.state.stats import WINDOWS
from holdgate.scheduler.state.transitions import TERMINAL

_POINTS_MAX = max(window.steps for window in WINDOWS.values())
_COUNTED = listed(COUNT, maxItems=_POINTS_MAX)
_SEEN = listed(nullable(COUNT), maxItems=_POINTS_MAX, description="null: nobody looked.")
_SECONDS = nullable({"type": "number", "minimum": 0})
_WAITS = listed(_SECONDS, maxItems=_POINTS_MAX, description="Seconds; null: no approval ended.")

OVERVIEW_COMPONENTS: dict[str, Schema] = {
    "Overview": record(
        {
            "window": text(enum=list(WINDOWS)),
            "from": TIME,
            "to": TIME,
            "step_s": COUNT,
            "series": record(
                {
                    "decisions": record({str(verdict): _COUNTED for verdict in Verdict}),
                    "outputs": record({str(verdict): _COUNTED for verdict in OutputVerdict}),
                    "started": _COUNTED,
                    "ended": record({str(state): _COUNTED for state in sorted(TERMINAL)}),
                    "levels": record(dict.fromkeys(LEVELS, _SEEN)),
                    "wait_s": record({"p50": _WAITS, "p95": _WAITS}),
                    "kernel": record(
                        {
                            "samples": _COUNTED,
                            "down": _COUNTED,
                            "no_policy": _COUNTED,
                            "disagreed": _COUNTED,
                            "breaker": _COUNTED,
                            "replicas": _SEEN,
                        }
                    ),
                }
            ),
            "now": record(
                {
                    "jobs": COUNTS,
                    "wait_s": record({"p50": _SECONDS, "p95": _SECONDS}),
                    "kernel": record(
                        {
                            "breaker": text(enum=[state.name.lower() for state in BreakerState]),
                            "silent": BOOLEAN,
                            "policy": BOOLEAN,
                            "snapshot": nullable(DIGEST),
                        }
                    ),
                }
            ),
        }
    ),
}
