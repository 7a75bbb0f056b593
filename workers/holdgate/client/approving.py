"""The calls of approvers: held jobs and the votes on them, alone and many at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from holdgate.client.exchange import Operation, model_of
from holdgate.client.models import Approval, BulkResult, Items, Page, SignedVote, VoteResult, time_text
from holdgate.client.performing import API, Performing

APPROVALS = f"{API}/approvals"


class ApprovalOperations(Performing):
    """Votes are about what `show_approval` or a list returned: its `job_hash` and `snapshot` go with them.

    A vote whose reply was lost is not sent again: the second would be refused as a duplicate.
    """

    def list_approvals(
        self,
        *,
        order: str | None = None,
        rule: str | None = None,
        topic: str | None = None,
        severity: str | None = None,
        mine: bool = False,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Operation[Page[Approval]]:
        """One page of what waits for approval; `order` is `newest`, `expiring` or `gravest`, `mine`: may vote."""
        query = {"order": order, "rule": rule, "topic": topic, "severity": severity}
        query |= {"mine": "true" if mine else None}
        query |= {"limit": str(limit), "cursor": cursor}
        return model_of(Page[Approval], (yield from self._get(APPROVALS, query)))

    def show_approval(self, job_id: str) -> Operation[Approval]:
        """A held job with all that would be released: job, payload, decision."""
        return model_of(Approval, (yield from self._get(_approval(job_id))))

    def similar(self, job_id: str) -> Operation[tuple[dict[str, Any], ...]]:
        """What became of jobs of the same topic that the same rules held before."""
        return model_of(Items, (yield from self._get(f"{_approval(job_id)}/similar"))).items

    def masked(self, job_id: str) -> Operation[dict[str, Any]]:
        """`shown`: labels, prompt and payload of the job with secrets replaced by tags; None where that failed."""
        return (yield from self._get(f"{_approval(job_id)}/masked"))

    def reveal(self, job_id: str) -> Operation[dict[str, Any]]:
        """The same as they were sent, with their secrets. Who asks is recorded."""
        return (yield from self._post(f"{_approval(job_id)}/reveal", {}))

    def rules(self, job_id: str) -> Operation[tuple[dict[str, Any], ...]]:
        """The rules that matched, as they are written, with bundle and signers; the deciding ones are marked."""
        return model_of(Items, (yield from self._get(f"{_approval(job_id)}/rules"))).items

    def approve(
        self,
        shown: Approval,
        *,
        reason: str,
        confirm: str | None = None,
        on_behalf_of: str | None = None,
        break_glass: bool = False,
        vote: SignedVote | None = None,
    ) -> Operation[VoteResult]:
        """Release what was shown: exactly that job under exactly that policy. ApprovalError when it is no longer so.

        `confirm`: the text that the rule wants typed; `on_behalf_of`: who delegated it to the caller; `vote`: the vote
        signed with the caller's own key (`signing.signed_vote`).
        """
        more = {
            "confirm": confirm,
            "on_behalf_of": on_behalf_of,
            "break_glass": break_glass or None,
            "vote": None if vote is None else vote.as_dict(),
        }
        return (yield from self._vote(shown, "approve", {"reason": reason, **more}))

    def reject(self, shown: Approval, *, reason: str, on_behalf_of: str | None = None) -> Operation[VoteResult]:
        """Reject what was shown; one rejection ends it."""
        return (yield from self._vote(shown, "reject", {"reason": reason, "on_behalf_of": on_behalf_of}))

    def reconfirm(self, shown: Approval, *, confirm: str | None = None) -> Operation[VoteResult]:
        """Vote yes again, with the earlier reason, on a job that a change of policy held anew in the same way."""
        return (yield from self._vote(shown, "reconfirm", {"confirm": confirm}))

    def defer(self, job_id: str, *, until: datetime | str, reason: str) -> Operation[Approval]:
        """Mark it as looked at, to be taken up again at `until`; nothing is decided."""
        body = {"until": time_text(until), "reason": reason}
        return model_of(Approval, (yield from self._post(f"{_approval(job_id)}/defer", body)))

    def bulk(
        self, shown: Sequence[Approval], verdict: str, *, reason: str, confirm: str | None = None
    ) -> Operation[BulkResult]:
        """Approve or reject up to 100 held jobs of one rule, topic and shape; each vote stands on its own."""
        items = [{"job_id": item.job_id, "job_hash": item.job_hash, "snapshot": item.snapshot} for item in shown]
        body = {"verdict": verdict, "reason": reason, "confirm": confirm, "items": items}
        return model_of(BulkResult, (yield from self._post(f"{APPROVALS}/bulk", body, is_repeatable=False)))

    def _vote(self, shown: Approval, verb: str, more: dict[str, Any]) -> Operation[VoteResult]:
        body = {"job_hash": shown.job_hash, "snapshot": shown.snapshot, **more}
        path = f"{_approval(shown.job_id)}/{verb}"
        return model_of(VoteResult, (yield from self._post(path, body, is_repeatable=False)))


def _approval(job_id: str) -> str:
    return f"{APPROVALS}/{quote(job_id, safe='')}"
