"""`GET /overview`: what was decided, ran and waited in the last hours, in steps, and how it is now."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from holdgate.kernel.clock import rfc3339
from holdgate.kernel.records import Verdict
from holdgate.kernel.rules import OutputVerdict
from holdgate.scheduler.api.calls import Call, Reply, reply_json
from holdgate.scheduler.api.deps import Deps
from holdgate.scheduler.api.problems import invalid
from holdgate.scheduler.state.counters import LEVELS, Tally, wait_quantile_s
from holdgate.scheduler.state.stats import WINDOWS
from holdgate.scheduler.state.transitions import TERMINAL

WINDOW_DEFAULT = "1h"
SAMPLED = ("samples", "down", "no_policy", "disagreed", "breaker")
QUANTILES = {"p50": 0.5, "p95": 0.95}


async def overview(call: Call) -> Reply:
    """`GET /overview`: counters of the caller's tenant, and of the kernels"""
    name = call.query.get("window", WINDOW_DEFAULT)
    if name not in WINDOWS:
        raise invalid("window", f"must be one of {', '.join(WINDOWS)}")
    window, deps, tenant = WINDOWS[name], call.deps, call.principal.tenant
    now_ms = deps.clock.now_ms()
    own, system, jobs = await asyncio.gather(
        deps.stats.read(tenant, window, now_ms), deps.stats.read_system(window, now_ms), deps.jobs.counts(tenant)
    )
    return reply_json(
        {
            "window": name,
            "from": rfc3339(window.starts_ms(now_ms)[0]),
            "to": rfc3339(now_ms),
            "step_s": window.step_s,
            "series": {**_of_tenant(own, system), "kernel": _of_kernels(system)},
            "now": {
                "jobs": {str(state): count for state, count in jobs.items()},
                "wait_s": {name: wait_quantile_s(own, share) for name, share in QUANTILES.items()},
                "kernel": _kernel_now(deps),
            },
        }
    )


def _of_tenant(own: Sequence[Tally], system: Sequence[Tally]) -> dict[str, Any]:
    """One list a counter, a number a step. A level is null where nobody looked, a quantile where nothing ended."""
    looked = [tally.of("samples") > 0 for tally in system]
    return {
        "decisions": {str(verdict): _column(own, f"decision:{verdict}") for verdict in Verdict},
        "outputs": {str(verdict): _column(own, f"output:{verdict}") for verdict in OutputVerdict},
        "started": _column(own, "started"),
        "ended": {str(state): _column(own, f"ended:{state}") for state in sorted(TERMINAL)},
        "levels": {
            name: [
                tally.of(f"level:{name}") if was_looked else None for tally, was_looked in zip(own, looked, strict=True)
            ]
            for name in LEVELS
        },
        "wait_s": {name: [tally.quantile_s(share) for tally in own] for name, share in QUANTILES.items()},
    }


def _of_kernels(system: Sequence[Tally]) -> dict[str, Any]:
    """How often somebody looked, and how many of these looks found what was wrong."""
    replicas = [tally.of("replicas") if tally.of("samples") else None for tally in system]
    return {**{name: _column(system, name) for name in SAMPLED}, "replicas": replicas}


def _column(tallies: Sequence[Tally], name: str) -> list[int]:
    return [tally.of(name) for tally in tallies]


def _kernel_now(deps: Deps) -> dict[str, Any]:
    """As this process finds it."""
    heard = deps.kernel.snapshot
    return {
        "breaker": deps.kernel.breaker_state.name.lower(),
        "silent": deps.kernel.is_silent,
        "policy": heard is not None and heard.policy,
        "snapshot": None if heard is None else heard.snapshot,
    }
