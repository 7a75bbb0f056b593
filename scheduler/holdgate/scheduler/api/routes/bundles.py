"""Bundles over HTTP: what is published and by whom, a review of a candidate, and publishing.

Bundles are the installation's, not a tenant's: whoever has one of the roles sees all of them. An API key is only the
door; what a bundle may rule on is decided by the signatures on it. What always holds: every attempt to publish is in
the audit trail before it is made, and so is what came of it.
"""

from __future__ import annotations

import re
from typing import Any

from holdgate.kernel.canonical import digest_bytes
from holdgate.kernel.client import ReplicaStatus
from holdgate.kernel.errors import HoldgateError, KernelUnavailable
from holdgate.kernel.ids import Digest
from holdgate.scheduler.api.bundles import Candidate
from holdgate.scheduler.api.calls import Call, Reply, reply_json
from holdgate.scheduler.api.paging import SEQ, page_of, page_reply
from holdgate.scheduler.api.problems import Problem, invalid, problem_of

TOLD = ("version", "digest", "revision", "signers", "accepted_widening", "restores")
"""Of what was published, for the audit trail."""
BUNDLE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}\Z")
VERSION = re.compile(r"[1-9][0-9]{0,15}\Z", re.ASCII)


async def list_bundles(call: Call) -> Reply:
    """`GET /policy/bundles`: the newest of each name"""
    page = page_of(call.query, BUNDLE_NAME)
    rows = [row for row in await call.deps.bundles.listed() if page.after is None or row["name"] > page.after]
    return reply_json(_piece(rows, page.limit, "name"))


async def get_bundle(call: Call) -> Reply:
    """`GET /policy/bundles/{name}`: the newest, and what it says of itself"""
    return reply_json(await call.deps.bundles.described(_name(call)))


async def list_versions(call: Call) -> Reply:
    """`GET /policy/bundles/{name}/versions`: who published what, and when; newest first"""
    page = page_of(call.query, SEQ)
    rows = await call.deps.bundles.log(_name(call))
    left = [row for row in rows if page.after is None or row["revision"] < int(page.after)]
    return reply_json(_piece(left, page.limit, "revision"))


async def get_file(call: Call) -> Reply:
    """`GET /policy/bundles/{name}/versions/{version}/file`: the bundle file as it was published"""
    version = call.path["version"]
    if VERSION.match(version) is None:
        raise Problem("bundle_not_found")
    return Reply(200, await call.deps.bundles.file(_name(call), int(version)))


async def check_bundle(call: Call) -> Reply:
    """`POST /policy/bundles/{name}/check`: the review of a publish, and nothing is published"""
    return reply_json(await call.deps.bundles.check(await _candidate(call)))


async def put_bundle(call: Call) -> Reply:
    """`PUT /policy/bundles/{name}`: a built and signed bundle file, reviewed, then published"""
    accept_widening = _flag(call, "accept_widening")
    candidate = await _candidate(call)
    await _record(call, "bundle.received", candidate, {"accept_widening": accept_widening})
    try:
        published = await call.deps.bundles.publish(
            candidate, publisher=f"{call.principal.tenant}/{call.principal.actor}", accept_widening=accept_widening
        )
    except HoldgateError as error:
        code = problem_of(error).code
        await _record(call, "bundle.refused", candidate, {"code": error.code if code != "internal_error" else code})
        raise
    kind = "bundle.published" if published["restores"] is None else "bundle.rolled_back"
    await _record(call, kind, candidate, {name: published[name] for name in TOLD})
    return reply_json(published)


def _name(call: Call) -> str:
    name = call.path["name"]
    if BUNDLE_NAME.match(name) is None:
        raise Problem("bundle_not_found")
    return name


async def _candidate(call: Call) -> Candidate:
    return Candidate(_name(call), call.body, call.principal.tenant, await _decided_by(call))


async def _decided_by(call: Call) -> list[tuple[str, int, Digest | None]]:
    """What kernels say they decide by; nothing while none answers, for what they need then is a policy."""
    try:
        replicas = await call.deps.kernel.status()
    except KernelUnavailable:
        return []
    found = {(item["name"], item["version"], item["digest"]) for replica in replicas for item in replica.bundles}
    dropped = {(item["name"], item["version"], None) for replica in replicas for item in _dropped(replica)}
    return [*found, *dropped]


def _dropped(replica: ReplicaStatus) -> list[dict[str, Any]]:
    return list(replica.source.get("dropped", ()))


def _flag(call: Call, name: str) -> bool:
    value = call.query.get(name, "false")
    if value not in ("true", "false"):
        raise invalid(name, "must be `true` or `false`")
    return value == "true"


def _piece(rows: list[dict[str, Any]], limit: int, mark: str) -> dict[str, Any]:
    shown = rows[:limit]
    return page_reply(shown, str(shown[-1][mark]) if len(rows) > limit else None)


async def _record(call: Call, kind: str, candidate: Candidate, details: dict[str, Any]) -> None:
    """An audit event of who brought which file; StateUnavailable where it cannot be written."""
    told = {
        "actor": call.principal.actor,
        "bundle": candidate.name,
        "file_digest": digest_bytes(candidate.data),
        "trace_id": call.trace_id,
        **details,
    }
    await call.deps.audit.append(call.principal.tenant, kind, told, call.deps.clock.now_ms())
