"""Held jobs over HTTP, for tests of those who decide about them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from holdgate.bundles.format import build_bundle, sign_bundle
from holdgate.bundles.keys import load_signer
from holdgate.kernel.clock import SystemClock, rfc3339
from support.api import ApiWorld, publish_bundle

DEPLOY: dict[str, Any] = {
    "topic": "job.deploy.apply",
    "labels": {"env": "prod", "service": "shop"},
    "capability": "infra.write",
}


def ahead(seconds: float) -> str:
    """That much from now."""
    return rfc3339(SystemClock().now_ms() + int(seconds * 1000))


def rule(name: str = "hold", topics: str = '"job.deploy.*"', **approvers: Any) -> str:
    """A rule that holds, as YAML; takes standing grants unless `approvers` say else."""
    named = {"roles": "[release-manager]", "quorum": 1, "expires": "4h", "grants": "true", **approvers}
    inner = ", ".join(f"{key}: {value}" for key, value in named.items())
    return (
        f"  - id: {name}\n    decision: require_approval\n    reason: a person looks at it\n"
        f"    match: {{topics: [{topics}]}}\n    approvers: {{{inner}}}\n"
    )


def bundle(api: ApiWorld, directory: Path, *rules: str, version: int = 2) -> bytes:
    """The starter bundle's successor with other rules, signed by the author."""
    directory.mkdir()
    (directory / "bundle.yaml").write_text(
        f'name: demo\nversion: {version}\ndescription: "another"\nscope: {{tenants: ["*"], topics: [">"]}}\n'
        'expires: "2040-01-01T00:00:00Z"\nrules: [rules.yaml]\n'
    )
    (directory / "rules.yaml").write_text("rules:\n" + "".join(rules))
    return sign_bundle(build_bundle(directory), load_signer(api.provisioned.home.key_file("author")))


async def use_rules(api: ApiWorld, directory: Path, *rules: str, version: int = 2) -> None:
    """Put these rules in force."""
    await publish_bundle(api, bundle(api, directory, *rules, version=version))


async def held(api: ApiWorld, who: str = "agent", **form: Any) -> dict[str, Any]:
    """A held job's approval as an approver is shown it."""
    reply = await api.submit(who, **{**DEPLOY, **form})
    assert reply.json().get("state") == "held", reply.text
    shown = await api.client("approver").get(f"/api/v1/approvals/{reply.json()['job_id']}")
    assert shown.status_code == 200, shown.text
    return dict(shown.json())
