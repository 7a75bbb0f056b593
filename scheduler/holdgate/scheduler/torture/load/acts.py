"""What people do beside submitting: read, listen, cancel, vote, look after sealed outputs, retry, publish.

Each act is one coroutine over a tenant. What the API answers is in the history; refusals are expected and told apart
by the checker, so nothing is asserted here.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from random import Random  # noqa: TID251  a seeded one comes in as an argument
from typing import Any

from holdgate.client.exchange import Lost, Reply, Request
from holdgate.client.models import Approval, Quarantined
from holdgate.kernel.errors import HoldgateError
from holdgate.kernel.permits import Signer
from holdgate.scheduler.torture import policy
from holdgate.scheduler.torture.load.known import Known
from holdgate.scheduler.torture.load.voice import Voice

STALE_S = 3.0
"""How long a vote waits after a look, for something to change in between."""
BUNDLES = "/api/v1/policy/bundles"


@dataclass
class Acts:
    """Acts over `voices`, each named as in `LoadFacts.keys`; `prefixes` says how those of each tenant begin."""

    voices: dict[str, Voice]
    prefixes: dict[str, str]
    known: Known
    chance: Random
    author: Signer

    def voice(self, tenant: str, who: str) -> Voice:
        """`who` of `tenant`."""
        return self.voices[self.prefixes[tenant] + who]

    # Readers ----------------------------------------------------------------------------------------------------------

    async def look(self, tenant: str) -> None:
        """At a job, as one of those who may."""
        if (job := self.known.some(self.chance, tenant)) is not None:
            who = self.voices[job.owner] if self.chance.random() < 0.5 else self.voice(tenant, "operator")
            await who.say("get", who.operations.get_job(job.job_id), job_id=job.job_id)

    async def wait(self, tenant: str) -> None:
        """For the end of a job, for a while."""
        if (job := self.known.some(self.chance, tenant)) is not None:
            who = self.voices[job.owner]
            await who.say("get", who.operations.wait(job.job_id, 2.0), job_id=job.job_id)

    async def read(self, tenant: str) -> None:
        """A result, whether or not there is one."""
        if (job := self.known.some(self.chance, tenant)) is not None:
            who = self.voices[job.owner]
            await who.say("result", who.operations.get_output(job.job_id), job_id=job.job_id)

    async def list(self, tenant: str) -> None:
        """The newest jobs."""
        who = self.voice(tenant, self.chance.choice(("agent", "operator", "auditor")))
        await who.say("list", who.operations.list_jobs(limit=30))

    async def pry(self, tenant: str) -> None:
        """Into the other tenant, by a job's id, in every way there is."""
        other = next(name for name in self.prefixes if name != tenant)
        job = self.known.some(self.chance, other)
        if job is None:
            return
        agent, approver = self.voice(tenant, "operator"), self.voice(tenant, "approver")
        ways: Sequence[tuple[str, Voice, Any]] = (
            ("get", agent, agent.operations.get_job),
            ("result", agent, agent.operations.get_output),
            ("cancel", agent, agent.operations.cancel),
            ("timeline", agent, agent.operations.timeline),
            ("show", approver, approver.operations.show_approval),
            ("sealed", approver, approver.operations.show_quarantined),
        )
        op, who, operation = self.chance.choice(ways)
        await who.say(op, operation(job.job_id), job_id=job.job_id, foreign=True)

    async def cancel(self, tenant: str) -> None:
        """Some job, whatever it does just now."""
        if (job := self.known.some(self.chance, tenant, ("cancelled", "held", "delayed", "retried"))) is not None:
            who = self.voices[job.owner]
            await who.say("cancel", who.operations.cancel(job.job_id), job_id=job.job_id)

    # Approvers --------------------------------------------------------------------------------------------------------

    async def vote(self, tenant: str) -> None:
        """On a held job: alone, with another at once, on what was shown before, or on one's own."""
        approver, other = self.voice(tenant, "approver"), self.voice(tenant, "approver2")
        shown = await self._held(approver)
        if shown is None:
            return
        match self.chance.choices(("one", "both", "late", "self", "other"), (5, 4, 2, 1, 1))[0]:
            case "both":
                await asyncio.gather(self._cast(approver, shown), self._cast(other, shown))
            case "late":
                await asyncio.sleep(STALE_S)
                await self._cast(other, shown)
            case "self":
                await self._cast(self._author_of(shown.job_id) or approver, shown)
            case "other":
                await self._cast(other, shown.model_copy(update={"job_hash": "sha256:" + "0" * 64}))
            case _:
                await self._cast(approver, shown)

    async def decide_all(self, tenant: str) -> int:
        """Both approvers release what is held, once; how many were held."""
        approver, other = self.voice(tenant, "approver"), self.voice(tenant, "approver2")
        page = await approver.say("approvals", approver.operations.list_approvals(limit=100))
        for shown in page.items:
            for who in (approver, other):
                await self._cast(who, shown, no=False)
        return len(page.items)

    def _author_of(self, job_id: str) -> Voice | None:
        owner = self.known.owner_of(job_id)
        return None if owner is None else self.voices[owner]

    async def _held(self, approver: Voice) -> Approval | None:
        page = await approver.say("approvals", approver.operations.list_approvals(limit=20))
        if not page.items:
            return None
        job_id = self.chance.choice(page.items).job_id
        return await approver.say("show", approver.operations.show_approval(job_id), job_id=job_id)

    async def _cast(self, who: Voice, shown: Approval, *, no: bool | None = None) -> None:
        rejects = self.chance.random() < 0.1 if no is None else no
        verb = "reject" if rejects else "approve"
        cast = who.operations.reject if rejects else who.operations.approve
        facts = {"job_id": shown.job_id, "act": verb, "job_hash": shown.job_hash, "snapshot": shown.snapshot}
        try:
            await who.say("vote", cast(shown, reason="torture"), **facts)
        except HoldgateError:
            return

    async def unseal(self, tenant: str) -> None:
        """Vote on a sealed output: what was planted stays sealed or is destroyed, the rest may be released."""
        approver, other = self.voice(tenant, "approver"), self.voice(tenant, "approver2")
        page = await approver.say("quarantine", approver.operations.list_quarantine(limit=20))
        if not page.items:
            return
        job_id = self.chance.choice(page.items).job_id
        shown = await approver.say("sealed", approver.operations.show_quarantined(job_id), job_id=job_id)
        if shown.digest is None:
            return
        releases = self.known.kind_of(job_id) == "released"
        if not releases and self.chance.random() < 0.7:
            return
        for who in (approver, other):
            await self._unseal(who, shown, releases=releases)

    async def _unseal(self, who: Voice, shown: Quarantined, *, releases: bool) -> None:
        act = "release" if releases else "destroy"
        operations = who.operations
        operation = (operations.release if releases else operations.destroy)(shown, reason="torture")
        try:
            await who.say("unseal", operation, job_id=shown.job_id, act=act, digest=shown.digest)
        except HoldgateError:
            return

    # Others -----------------------------------------------------------------------------------------------------------

    async def retry(self, tenant: str) -> None:
        """A job of the dead-letter list."""
        operator = self.voice(tenant, "operator")
        if (job := self.known.some(self.chance, tenant, ("failing",))) is not None:
            await operator.say("retry", operator.operations.retry(job.job_id), job_id=job.job_id)

    async def publish(self, tenant: str) -> None:
        """The next version of the bundle, with the same rules: held jobs become stale."""
        author, path = self.voice(tenant, "author"), f"{BUNDLES}/{policy.name_of(tenant)}"
        version = _version_in(await author.request("bundle", Request("GET", path))) + 1
        data = await asyncio.to_thread(policy.signed_bundle, tenant, version, self.author)
        request = Request("PUT", path, query={"accept_widening": "true"}, body=data, headers=_BUNDLE)
        await author.request("publish", request, version=version)


_BUNDLE = {"Content-Type": "application/json"}
Act = Callable[[Acts, str], Coroutine[Any, Any, None]]
ACTS: tuple[tuple[Act, int], ...] = (
    (Acts.look, 14),
    (Acts.wait, 4),
    (Acts.read, 10),
    (Acts.list, 4),
    (Acts.pry, 3),
    (Acts.cancel, 2),
    (Acts.vote, 14),
    (Acts.unseal, 4),
    (Acts.retry, 2),
)
"""What is done at random, and how often beside the others. Publishing has a rhythm of its own."""
ACT_WEIGHTS = tuple(weight for _, weight in ACTS)


def _version_in(reply: Reply | Lost) -> int:
    """The version that is published; 0 where none is, or nobody knows."""
    if isinstance(reply, Lost) or reply.status != 200:
        return 0
    found = json.loads(reply.body).get("version")
    return found if isinstance(found, int) else 0
