"""People, rules that each ask one more thing of them, and votes over HTTP."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from holdgate.kernel.clock import SystemClock
from holdgate.kernel.ids import ActorId, JobId, Tenant
from holdgate.kernel.links import Vote
from holdgate.kernel.permits import Signer, seal
from support.api import ApiWorld, running_api
from support.holding import add_people, publish_rules
from support.servers import Servers

TENANT = Tenant("default")
ADA = Signer.from_seed(b"A" * 32)
BOSS = Signer.from_seed(b"B" * 32)
OTHER = Signer.from_seed(b"O" * 32)
PEOPLE: dict[str, tuple[str, ...]] = {
    "ada": ("approver", "release-manager"),
    "bea": ("approver", "release-manager"),
    "cid": ("approver", "release-manager"),
    "glass1": ("approver", "break_glass"),
    "glass2": ("approver", "break_glass"),
    "boss": ("approver", "boss"),
    "deputy": ("approver",),
}


def rule(name: str, approvers: str, more: str = "", topic: str = "") -> str:
    """A rule that holds `job.<name>.run`, or `topic`."""
    where = topic or f"job.{name}.run"
    return (
        f"  - id: {name}\n    decision: require_approval\n    reason: {name} is looked at\n{more}"
        f'    match: {{topics: ["{where}"]}}\n    approvers: {{roles: [release-manager], {approvers}}}\n'
    )


RULES = "".join(
    (
        rule("plain", "quorum: 1", "    severity: high\n"),
        rule("pair", "quorum: 2"),
        rule("read", "read_for: 10m"),
        rule("typed", 'confirm: "ship it"', "    severity: critical\n"),
        rule("signed", "signed: true"),
        rule("later", "escalate_after: 1h, escalate_to: {roles: [boss]}"),
        rule("sealed", "break_glass: false"),
        rule("own", "not_author: true"),
    )
)


@contextlib.asynccontextmanager
async def voting(
    servers: Servers, folder: Path, more: Mapping[str, Sequence[str]] | None = None
) -> AsyncIterator[ApiWorld]:
    """An API with these rules and people, and `more`; `ada` and `boss` have keys of their own."""
    root = {
        "approvers": [
            {"actor": "ada", "public_key": ADA.public_key.hex(), "roles": ["release-manager"]},
            {"actor": "boss", "public_key": BOSS.public_key.hex(), "roles": ["boss"]},
        ],
    }
    async with running_api(servers.take_nats_url(), servers.take_redis_url(), folder / "home", root=root) as api:
        await publish_rules(api, folder, RULES)
        await add_people(api, {**PEOPLE, **(more or {})})
        yield api


async def held(world: ApiWorld, name: str, who: str = "agent", by: str = "ada", **form: Any) -> dict[str, Any]:
    """A job that rule `name` holds, as `by` is shown it."""
    reply = await world.submit(who, topic=f"job.{name}.run", **form)
    assert reply.json()["state"] == "held", reply.text
    return await shown_to(world, reply.json()["job_id"], by)


async def shown_to(world: ApiWorld, job_id: str, who: str) -> dict[str, Any]:
    """What `who` is shown."""
    reply = await world.client(who).get(f"/api/v1/approvals/{job_id}")
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


async def vote(
    world: ApiWorld, shown: dict[str, Any], who: str = "ada", verb: str = "approve", **body: Any
) -> httpx.Response:
    """A vote of `who` on what was shown."""
    sent = {"job_hash": shown["job_hash"], "snapshot": shown["snapshot"], "reason": "looked at it", **body}
    return await world.client(who).post(f"/api/v1/approvals/{shown['job_id']}/{verb}", json=sent)


def code(reply: httpx.Response) -> str:
    """The code of a refusal, or the status after the vote."""
    return str(reply.json().get("code", reply.json().get("status")))


async def events(world: ApiWorld, shown: dict[str, Any]) -> list[dict[str, Any]]:
    """The job's timeline."""
    return list((await world.client("auditor").get(f"/api/v1/jobs/{shown['job_id']}/timeline")).json()["items"])


def signed(shown: dict[str, Any], signer: Signer = ADA, **changes: Any) -> dict[str, str]:
    """Ada's vote on what she was shown, in her own hand."""
    asked = shown["to_sign"]
    record = Vote(
        job_id=JobId(shown["job_id"]),
        job_hash=shown["job_hash"],
        snapshot=shown["snapshot"],
        tenant=Tenant(asked["tenant"]),
        approver=ActorId(asked["approver"]),
        roles=tuple(asked["roles"]),
        approve=True,
        reason="looked at it",
        attempt=asked["attempt"],
        issued_ms=SystemClock().now_ms(),
        expires_ms=asked["expires_ms"],
    )
    made = seal(replace(record, **changes), signer)
    return {
        "body": base64.b64encode(made.body).decode(),
        "key": made.key,
        "signature": base64.b64encode(made.signature).decode(),
    }
