"""Sealed outputs of a running API: made, shown, voted on, opened where the key is."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from typing import Any

import httpx

from holdgate.bundles.keys import load_quarantine
from holdgate.kernel import limits
from holdgate.kernel.ids import ActorId, JobId
from holdgate.scan.output import Output
from holdgate.scheduler.gates.sealing import Sealer, open_box
from holdgate.scheduler.state.quarantine import QuarantineItem, SealedStatus
from holdgate.scheduler.state.transitions import State
from support.api import ApiWorld
from support.running import TENANT, Runner

SECRET = "-----BEGIN PRIVATE KEY-----"
LOW = [{"detector": "email", "category": "pii", "severity": "low", "path": "/value/to", "verdict": "quarantine"}]
GRAVE = [{"detector": "key", "category": "secret", "severity": "critical", "path": "/value", "verdict": "quarantine"}]


def sealed_item(**changes: Any) -> QuarantineItem:
    """A sealed output as the store tells of it, but for `changes`."""
    usual = QuarantineItem(
        job_id=JobId("job_1"),
        attempt=1,
        verdict={},
        sealed=b"x",
        sealed_ref=None,
        quarantined_ms=1,
        status=SealedStatus.SEALED,
        topic="job.x",
        actor=ActorId("agent"),
        principals=(),
    )
    return replace(usual, **changes)


@dataclass
class Sealed:
    """An API that holds the quarantine key, and a way to have outputs sealed."""

    api: ApiWorld

    async def make(self, findings: list[dict[str, Any]] | None = None, **changes: Any) -> str:
        """The id of a job whose output is sealed; `changes` to the content of the box, or `output`, `who`, `sealer`."""
        who = changes.pop("who", "agent")
        output = changes.pop("output", Output(b'{"pem":"' + SECRET.encode() + b'"}', ("a line",)))
        sealer = changes.pop("sealer", None) or self.sealer()
        job_id = str((await self.api.submit(who)).json()["job_id"])
        runner = Runner(self.api)
        await runner.start(job_id)
        content = {"tenant": TENANT, "job_id": job_id, "attempt": runner.attempt, "output": output.as_dict()}
        sealed = sealer.seal({**content, **changes})
        large = len(sealed.data) > limits.INLINE_BYTES_MAX
        where = {"sealed_ref": await self.api.deps.payloads.put(sealed.data)} if large else {"sealed": sealed.data}
        verdict = {
            "verdict": "quarantine",
            "reason": "`secret` is always quarantined",
            "rules": [],
            "findings": LOW if findings is None else findings,
            "sealed": True,
            "sealed_digest": sealed.digest,
            "commitment": sealed.commitment,
        }
        await runner.finish(job_id, State.QUARANTINED, verdict=verdict, **where)
        return job_id

    def sealer(self) -> Sealer:
        """To the key of the root."""
        trust = self.api.deps.trust()
        assert trust is not None
        assert trust.quarantine_key is not None
        return Sealer(trust.quarantine_key)

    async def open(self, job_id: str, who: str = "approver") -> dict[str, Any]:
        """The export of the API, and the box in it opened where the key is: base64 for a release."""
        reply = await self.api.client(who).get(f"/api/v1/quarantine/{job_id}/sealed")
        assert reply.status_code == 200, reply.text
        data = base64.b64decode(reply.json()["sealed"])
        key = load_quarantine(self.api.provisioned.home.path / "keys" / "quarantine.key")
        return {**reply.json(), "opened": base64.b64encode(open_box(data, key)).decode()}

    async def show(self, job_id: str, who: str = "approver") -> dict[str, Any]:
        """As `who` is shown it."""
        reply = await self.api.client(who).get(f"/api/v1/quarantine/{job_id}")
        assert reply.status_code == 200, reply.text
        return dict(reply.json())

    async def act(self, job_id: str, verb: str = "release", who: str = "approver", **body: Any) -> httpx.Response:
        """A vote with what is shown, `body` instead of it."""
        if "digest" not in body:
            body["digest"] = (await self.show(job_id))["digest"]
        return await self.api.client(who).post(
            f"/api/v1/quarantine/{job_id}/{verb}", json={"reason": "looked into it", **body}
        )

    async def result(self, job_id: str) -> httpx.Response:
        """What its submitter reads."""
        return await self.api.client("agent").get(f"/api/v1/jobs/{job_id}/result")

    async def events(self, job_id: str) -> list[str]:
        """Types of the job's timeline."""
        reply = await self.api.client("agent").get(f"/api/v1/jobs/{job_id}/timeline")
        return [event["type"] for event in reply.json()["items"]]
