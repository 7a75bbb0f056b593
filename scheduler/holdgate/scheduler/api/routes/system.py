"""How the system is: health, readiness, status, its description."""

from __future__ import annotations

from holdgate.kernel.clock import rfc3339
from holdgate.kernel.ids import Tenant
from holdgate.kernel.readiness import OK, Standing
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

    As the checks of this process said last, so that it is answered at once whatever hangs. `degraded`: a part is away
    without which some calls are still served. A process that was asked to end is not ready, though it answers.
    """
    if call.deps.is_leaving():
        raise Problem("draining", "this process ends; ask another one", extra={"checks": {"process": "draining"}})
    report = call.deps.readiness()
    if report.standing is Standing.NOT_READY:
        wrong = sorted(name for name, said in report.checks.items() if said != OK)
        raise Problem("unavailable", f"not ready: {', '.join(wrong)}", extra={"checks": report.checks})
    return reply_json({"status": report.standing, "checks": report.checks})


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
            "checks": {**deps.readiness().checks, **await _outputs_say(deps, tenant)},
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


async def _outputs_say(deps: Deps, tenant: Tenant) -> dict[str, str]:
    """A gate may be there and give no verdicts: that is shown in how long outputs of this tenant wait."""
    waited_ms = await deps.jobs.longest_ms(tenant, State.FINISHING, deps.clock.now_ms())
    if waited_ms < VERDICT_WITHIN_MS:
        return {}
    return {"output_gate": f"an output waits for its verdict since {waited_ms // 1000} s"}


async def description(call: Call) -> Reply:
    """`GET /openapi.json`"""
    return Reply(200, call.deps.description)
