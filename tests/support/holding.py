"""Held jobs for tests of approvers' pages: rules that hold in a certain way, and further people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from holdgate.bundles.format import build_bundle, sign_bundle
from holdgate.bundles.keys import load_signer
from holdgate.scheduler.identity.keys import issue_key
from support.api import ApiWorld, publish_bundle
from support.waiting import eventually

RULE = "hold-careful"
"""Holds `job.careful.>`, in the way that a test asks for."""
CAREFUL = "job.careful.run"
PROD = {"topic": "job.deploy.apply", "labels": {"env": "prod"}, "capability": "infra.write"}
"""Held by the starter bundle, for one release manager."""


def careful(approvers: str = "roles: [release-manager]", more: str = "", reason: str = "somebody looks first") -> str:
    """The text of the rule, with these members of `approvers` and further lines."""
    return (
        f"  - id: {RULE}\n    decision: require_approval\n    reason: {reason}\n"
        f'    match: {{topics: ["job.careful.>"]}}\n    approvers: {{{approvers}}}\n{more}'
    )


async def publish_rules(world: ApiWorld, directory: Path, rules: str, version: int = 1) -> None:
    """Publish bundle `careful` of these rules, signed by the author."""
    place = directory / f"careful-{version}"
    place.mkdir(parents=True)
    (place / "bundle.yaml").write_text(
        f'name: careful\nversion: {version}\ndescription: "for a test"\nscope: {{tenants: ["*"], topics: [">"]}}\n'
        'expires: "2040-01-01T00:00:00Z"\nrules: [rules.yaml]\n'
    )
    (place / "rules.yaml").write_text(f"rules:\n{rules}")
    await publish_bundle(
        world, sign_bundle(build_bundle(place), load_signer(world.provisioned.home.key_file("author")))
    )


async def hold(world: ApiWorld, who: str = "agent", **form: Any) -> str:
    """The id of a job that is held; by the starter bundle unless `topic` says otherwise."""
    reply = await world.submit(who, **({**PROD, **form} if "topic" not in form else form))
    assert reply.json()["state"] == "held", reply.text
    return str(reply.json()["job_id"])


async def add_person(world: ApiWorld, actor: str, *roles: str) -> None:
    """Somebody who can sign in, with these roles; the API knows them when it returns."""
    await add_people(world, {actor: roles})


async def add_people(world: ApiWorld, people: Mapping[str, Sequence[str]]) -> None:
    """Several, by name: the API looks at the file of keys from time to time, and once is enough."""
    for actor, roles in people.items():
        world.keys[actor], _ = issue_key(
            world.provisioned.home.api_keys_file, tenant="default", actor=actor, roles=list(roles), actor_type="human"
        )

    clients = [world.client(actor) for actor in people]

    async def are_known() -> bool:
        for client in clients:
            if (await client.get("/api/v1/approvals")).status_code != 200:
                return False
        return True

    await eventually(are_known, why=f"{', '.join(people)} are known")


async def job_state(world: ApiWorld, job_id: str) -> str:
    """The job's state now."""
    return str((await world.client("operator").get(f"/api/v1/jobs/{job_id}")).json()["state"])
