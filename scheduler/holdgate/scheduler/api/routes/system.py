"""How the system is: health, readiness, status, its description."""

from __future__ import annotations

from holdgate.kernel.breaker import BreakerState
from holdgate.kernel.clock import rfc3339
from holdgate.kernel.errors import HoldgateError
from holdgate.kernel.ids import Tenant
from holdgate.scheduler.api.calls import Call, Reply, reply_json
from holdgate.scheduler.api.deps import Deps
from holdgate.scheduler.api.problems import Problem
from holdgate.scheduler.state.transitions import State

VERDICT_WITHIN_MS = 30_000
"""Several times what a scan may take."""


async def healthz(_call: Call) -> Reply:
    """`GET /healthz`: the process answers"""
    return reply_json({"status": "ok"})


async def readyz(call: Call) -> Reply:
    """`GET /readyz`: requests can be served

    Without a kernel the API still serves what needs none, so a kernel that went away makes it `degraded`; one that was
    never heard, or a store that is away, makes it not ready. One that was asked to end is not ready, though it answers.
    """
    if call.deps.is_leaving():
        raise Problem("draining", "this process ends; ask another one", extra={"checks": {"process": "draining"}})
    checks = await check_all(call.deps)
    wrong = {name for name, said in checks.items() if said != "ok"}
    if wrong - {"kernel"} or call.deps.kernel.snapshot is None:
        raise Problem("unavailable", f"not ready: {', '.join(sorted(wrong))}", extra={"checks": checks})
    return reply_json({"status": "degraded" if wrong else "ready", "checks": checks})


async def status(call: Call) -> Reply:
    """`GET /status`: what an operator looks at first"""
    deps, tenant = call.deps, call.principal.tenant
    counts = await deps.jobs.counts(tenant)
    trust, heard = deps.trust(), deps.kernel.snapshot
    return reply_json(
        {
            "version": deps.version,
            "tenant": tenant,
            "time": rfc3339(deps.clock.now_ms()),
            "checks": {**await check_all(deps), "output_gate": await _outputs_say(deps, tenant)},
            "durability": deps.durability,
            "fail_modes": {
                "submit": "open" if trust is not None and trust.fail_modes.submit_open else "closed",
                "dispatch": "open" if trust is not None and trust.fail_modes.dispatch_open else "closed",
            },
            "default_decision": "deny" if trust is None else trust.default_decision,
            "root": None
            if trust is None
            else {"version": trust.root_version, "digest": trust.root_digest, "expires_at": rfc3339(trust.expires_ms)},
            "kernel": {
                "breaker": deps.kernel.breaker_state.name.lower(),
                "snapshot": None if heard is None else heard.snapshot,
                "policy": heard is not None and heard.policy,
            },
            "jobs": {str(state): count for state, count in counts.items()},
            "waiters": deps.events.waiting,
            **deps.extras,
        }
    )


async def check_all(deps: Deps) -> dict[str, str]:
    """What each part says of itself: `ok`, or what is wrong."""
    checks = {"keys": "ok" if deps.keys.failure is None else "the file of API keys does not load"}
    for name, probe in deps.probes.items():
        try:
            checks[name] = await probe() or "ok"
        except HoldgateError as error:
            checks[name] = str(error)
    checks["kernel"] = _kernel_says(deps)
    return checks


def _kernel_says(deps: Deps) -> str:
    if deps.kernel.snapshot is None:
        return "no kernel was heard yet"
    if deps.kernel.breaker_state is not BreakerState.CLOSED or deps.kernel.is_silent:
        return "no kernel answers"
    return "ok" if deps.kernel.snapshot.policy else "no valid policy: every decision is deny"


async def _outputs_say(deps: Deps, tenant: Tenant) -> str:
    """The gate answers nobody: how it is shows in how long outputs of this tenant wait for it."""
    waited_ms = await deps.jobs.longest_ms(tenant, State.FINISHING, deps.clock.now_ms())
    return "ok" if waited_ms < VERDICT_WITHIN_MS else f"an output waits for its verdict since {waited_ms // 1000} s"


async def description(call: Call) -> Reply:
    """`GET /openapi.json`"""
    return Reply(200, call.deps.description)
