"""Shadowed candidates over HTTP: kernels compare them with live decisions, count, and change nothing by it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from holdgate.kernel.client import ReplicaStatus
from holdgate.kernel.ids import Tenant
from holdgate.scheduler.api.bundles import Candidate
from holdgate.scheduler.api.calls import Call, Reply, reply_json
from holdgate.scheduler.api.paging import page_reply
from holdgate.scheduler.api.problems import Problem
from holdgate.scheduler.api.routes.bundles import BUNDLE_NAME
from holdgate.scheduler.identity.keys import Role

SAMPLES_MAX = 20


async def start(call: Call) -> Reply:
    """`PUT /policy/shadow/{name}`: a built and signed bundle file, verified as a publish is, for kernels to shadow"""
    shadowed = await call.deps.candidates.start(Candidate(_name(call), call.body, call.principal.tenant))
    told = {"version": shadowed.version, "digest": shadowed.digest}
    await _record(call, "shadow.started", shadowed.name, told)
    return reply_json({"name": shadowed.name, "revision": shadowed.revision, **told})


async def status(call: Call) -> Reply:
    """`GET /policy/shadow`: what is shadowed, and counts of all kernels together and samples of the caller's tenant

    Who operates the system sees the counts of all tenants: an author would learn how much the others do.
    """
    names = await call.deps.candidates.names()
    replicas = await call.deps.kernel.status()
    principal = call.principal
    items = [_item(name, replicas, principal.tenant, sees_all=principal.has(Role.OPERATOR)) for name in names]
    return reply_json(page_reply(items, None))


async def stop(call: Call) -> Reply:
    """`DELETE /policy/shadow/{name}`: kernels shadow it no more"""
    name = _name(call)
    if not await call.deps.candidates.stop(name, call.principal.tenant):
        raise Problem("bundle_not_found", f"`{name}` is not shadowed")
    await _record(call, "shadow.stopped", name, {})
    return reply_json({"name": name})


def _item(name: str, replicas: Iterable[ReplicaStatus], tenant: Tenant, *, sees_all: bool) -> dict[str, Any]:
    """What every kernel says about the candidate, each for itself and added up."""
    told = [(status.replica, entry) for status in replicas for entry in status.shadow if entry.get("name") == name]
    counts: dict[str, dict[str, int]] = {}
    samples: list[Mapping[str, Any]] = []
    for _, entry in told:
        counted = entry.get("counts", {}) if sees_all else entry.get("tenants", {}).get(tenant, {})
        for phase, outcomes in counted.items():
            into = counts.setdefault(phase, {})
            for outcome, count in outcomes.items():
                into[outcome] = into.get(outcome, 0) + count
        samples += [sample for sample in entry.get("samples", ()) if sample.get("tenant") == tenant]
    samples.sort(key=lambda sample: str(sample["decided_at"]), reverse=True)
    return {
        "name": name,
        "replicas": [_replica(replica, entry) for replica, entry in told],
        "counts": counts,
        "samples": samples[:SAMPLES_MAX],
    }


def _replica(replica: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "replica": replica,
        "state": entry["state"],
        "version": entry.get("version"),
        "digest": entry.get("digest"),
        "code": entry.get("code"),
        "message": entry.get("message"),
    }


def _name(call: Call) -> str:
    name = call.path["name"]
    if BUNDLE_NAME.match(name) is None:
        raise Problem("bundle_not_found")
    return name


async def _record(call: Call, kind: str, name: str, details: Mapping[str, Any]) -> None:
    told = {"actor": call.principal.actor, "bundle": name, "trace_id": call.trace_id, **details}
    await call.deps.audit.append(call.principal.tenant, kind, told, call.deps.clock.now_ms())
