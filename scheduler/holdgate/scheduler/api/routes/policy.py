"""Policy over HTTP: what would be decided, and under which snapshot."""

from __future__ import annotations

from holdgate.kernel.ids import new_job_id
from holdgate.kernel.jobform import Facts, Identity, parse_form, split_facts
from holdgate.kernel.records import Decision, Job, Phase
from holdgate.scheduler.api.calls import Call, Reply, reply_json
from holdgate.scheduler.api.measuring import measured
from holdgate.scheduler.api.paging import page_reply
from holdgate.scheduler.api.problems import Problem, invalid
from holdgate.scheduler.api.routes.submit import identity_of, job_of, require_size

SAID = ("revision", "signers", "freshness", "dropped", "last_success", "last_error", "age_s")
"""Of what a replica says of its source, what is shown beside its snapshot; null where it does not say."""


async def evaluate(call: Call) -> Reply:
    """`POST /policy/evaluate`: what submitting this would be answered now, as the caller"""
    form = call.json
    if not isinstance(form, dict):
        raise invalid("body", "an object is expected")
    job = await job_of(call, parse_form(form, now_ms=call.deps.clock.now_ms()))
    return _shown(await _decide(call, job, Phase.SIMULATE))


async def simulate(call: Call) -> Reply:
    """`POST /policy/simulate`: what would be decided about a job of another actor, or at another time"""
    job, facts = await _supposed(call)
    return _shown(await _decide(call, job, Phase.SIMULATE, now_ms=facts.now_ms))


async def explain(call: Call) -> Reply:
    """`POST /policy/explain`: the same with, for each rule that did not match, the field that failed"""
    job, facts = await _supposed(call)
    return _shown(await _decide(call, job, Phase.EXPLAIN, trace=True, now_ms=facts.now_ms))


async def list_snapshots(call: Call) -> Reply:
    """`GET /policy/snapshots`: what each kernel replica decides under"""
    replicas = await call.deps.kernel.status()
    items = [
        {
            "replica": replica.replica,
            "snapshot": replica.snapshot,
            "policy": replica.policy,
            "reason": replica.reason,
            "uptime_s": replica.uptime_ms / 1000,
            "root_version": replica.root_version,
            "bundles": list(replica.bundles),
            **{name: replica.source.get(name) for name in SAID},
            "source": replica.source,
        }
        for replica in replicas
    ]
    agreed = len({replica.snapshot for replica in replicas}) == 1
    return reply_json({**page_reply(items, None), "agreed": agreed})


async def _supposed(call: Call) -> tuple[Job, Facts]:
    """The job of the form, as the actor that it names; the tenant can only be the caller's own."""
    if not isinstance(call.json, dict):
        raise invalid("body", "an object is expected")
    facts = split_facts(call.json)
    if facts.tenant is not None and facts.tenant != call.principal.tenant:
        raise Problem("tenant_mismatch", "`tenant` is not the tenant of the key")
    now_ms = facts.now_ms if facts.now_ms is not None else call.deps.clock.now_ms()
    form = parse_form(facts.form, now_ms=now_ms)
    require_size(form, call.deps.limits.body_bytes_max)
    found = await measured(call, form)
    own = identity_of(call.principal)
    identity = Identity(
        tenant=own.tenant,
        actor=facts.actor or own.actor,
        actor_type=facts.actor_type or own.actor_type,
        principals=own.principals if facts.principals is None else facts.principals,
    )
    job = form.job(
        identity=identity,
        job_id=new_job_id(now_ms),
        now_ms=now_ms,
        trace_id=call.trace_id,
        secrets_present=found.secrets,
        pii_present=found.pii,
    )
    return job, facts


async def _decide(call: Call, job: Job, phase: Phase, *, trace: bool = False, now_ms: int | None = None) -> Decision:
    (decision,) = await call.deps.kernel.decide_fresh([job], phase, trace=trace, now_ms=now_ms)
    return decision


def _shown(decision: Decision) -> Reply:
    return reply_json(decision.as_dict())
