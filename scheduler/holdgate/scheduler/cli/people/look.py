"""What an approver looks at: the approval, the job with its secrets masked, the rules' own text, similar jobs.

What always holds: secrets are masked unless they are asked for by name; what cannot be shown says so, and is not left
out in silence.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from holdgate.client import ApiError, Client
from holdgate.client.models import Approval


@dataclass(frozen=True, slots=True)
class Look:
    """`content` has `labels`, `prompt` and `payload` as they are to be shown; None where they cannot be.

    `unseen`: what could not be shown, and why.
    """

    shown: Approval
    content: Mapping[str, Any] | None
    is_whole: bool = False
    masked: int = 0
    rules: tuple[Mapping[str, Any], ...] = ()
    similar: tuple[Mapping[str, Any], ...] = ()
    unseen: tuple[str, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        """The API's object, its content as it is shown here, with `rule_texts` and `similar`."""
        content = self.content or {}
        found = self.shown.as_dict()
        job = {**(found.get("job") or {}), "labels": content.get("labels"), "prompt": content.get("prompt")}
        told = {"rule_texts": list(self.rules), "similar": list(self.similar), "unseen": list(self.unseen)}
        return {**found, "job": job, "payload": content.get("payload"), "masked": self.masked, **told}


def look_at(client: Client, job_id: str, *, reveal: bool = False) -> Look:
    """Everything there is to see before a vote on the job."""
    shown = client.approvals.show(job_id)
    unseen: list[str] = []
    masked = 0
    content: Mapping[str, Any] | None
    if reveal:
        content = client.approvals.reveal(job_id)
    else:
        reply = client.approvals.masked(job_id)
        content, masked = reply.get("shown"), int(reply.get("masked") or 0)
        if content is None:
            unseen.append("the content: its secrets cannot be found and masked; `--reveal` shows it as it was sent")
    if not shown.payload_shown:
        unseen.append("the payload: it is gone, and a release would be refused")
    rules = _tried(lambda: client.approvals.rules(job_id), "the text of the rules", unseen)
    similar = _tried(lambda: client.approvals.similar(job_id), "similar jobs", unseen)
    return Look(shown, content, reveal, masked, rules, similar, tuple(unseen))


def proved_look(client: Client, job_id: str) -> Look:
    """The same before a vote that is signed here: its hash is computed here, and its secrets are masked here."""
    import os

    from holdgate.scan import Scanner
    from holdgate.scheduler.cli.people.proof import proved_job
    from holdgate.scheduler.gates.masking import Masking, around_of

    look = look_at(client, job_id)
    job = proved_job(look.shown)
    masked = Masking(Scanner(), os.urandom).mask_now(job.payload, job.prompt, job.labels, around_of(job))
    content = None if masked.data is None else json.loads(masked.data)
    return replace(look, content=content, masked=masked.count)


def _tried(call: Any, what: str, unseen: list[str]) -> tuple[Mapping[str, Any], ...]:
    try:
        found: tuple[Mapping[str, Any], ...] = call()
    except ApiError as error:
        unseen.append(f"{what}: {error.code}")
        return ()
    return found
