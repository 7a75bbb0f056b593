"""The calls about who votes for whom, what is released before it comes, and sealed outputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from holdgate.client.exchange import Operation, model_of
from holdgate.client.models import (
    Approval,
    Delegation,
    Grant,
    Page,
    Quarantined,
    SealedExport,
    SealedReplacement,
    VoteResult,
    time_text,
)
from holdgate.client.performing import API, Performing

DELEGATIONS = f"{API}/delegations"
GRANTS = f"{API}/grants"
QUARANTINE = f"{API}/quarantine"


class StandingOperations(Performing):
    """Delegations, grants and quarantine."""

    def list_delegations(self, *, limit: int = 50, cursor: str | None = None) -> Operation[Page[Delegation]]:
        """Those that the caller gave or was given; all of the tenant for operators and auditors."""
        query = {"limit": str(limit), "cursor": cursor}
        return model_of(Page[Delegation], (yield from self._get(DELEGATIONS, query)))

    def delegate(
        self, delegate: str, *, roles: Iterable[str], until: datetime | str, reason: str
    ) -> Operation[Delegation]:
        """Let `delegate` vote for the caller in these roles, for at most 30 days."""
        body = {"delegate": delegate, "roles": list(roles), "until": time_text(until), "reason": reason}
        return model_of(Delegation, (yield from self._post(DELEGATIONS, body, is_repeatable=False)))

    def revoke_delegation(self, delegation_id: str) -> Operation[Delegation]:
        """End it now."""
        return model_of(Delegation, (yield from self._delete(f"{DELEGATIONS}/{quote(delegation_id, safe='')}")))

    def list_grants(self, *, limit: int = 50, cursor: str | None = None) -> Operation[Page[Grant]]:
        """One page of standing grants, newest first."""
        query = {"limit": str(limit), "cursor": cursor}
        return model_of(Page[Grant], (yield from self._get(GRANTS, query)))

    def show_grant(self, grant_id: str) -> Operation[Grant]:
        """One standing grant, and the jobs that it released."""
        return model_of(Grant, (yield from self._get(_grant(grant_id))))

    def request_grant(
        self,
        shown: Approval,
        *,
        uses_max: int,
        expires_at: datetime | str,
        reason: str,
        labels: Iterable[str] = (),
        confirm: str | None = None,
    ) -> Operation[Grant]:
        """Ask that jobs like the held one that was shown be released before they come: of the same agent and topic,
        with the same values of `labels`, at most `uses_max`. Others confirm until the rules' quorum is met."""
        body = {
            "job_id": shown.job_id,
            "job_hash": shown.job_hash,
            "snapshot": shown.snapshot,
            "labels": list(labels),
            "uses_max": uses_max,
            "expires_at": time_text(expires_at),
            "reason": reason,
            "confirm": confirm,
        }
        return model_of(Grant, (yield from self._post(GRANTS, body, is_repeatable=False)))

    def approve_grant(self, shown: Grant, *, reason: str, confirm: str | None = None) -> Operation[Grant]:
        """Give one's part of a grant, on the terms that were shown."""
        body = {"grant_digest": shown.grant_digest, "reason": reason, "confirm": confirm}
        return model_of(Grant, (yield from self._post(f"{_grant(shown.grant_id)}/approve", body, is_repeatable=False)))

    def revoke_grant(self, grant_id: str, *, reason: str) -> Operation[Grant]:
        """End a grant, or refuse one that is pending."""
        return model_of(Grant, (yield from self._post(f"{_grant(grant_id)}/revoke", {"reason": reason})))

    def list_quarantine(self, *, limit: int = 50, cursor: str | None = None) -> Operation[Page[Quarantined]]:
        """One page of sealed outputs, newest first."""
        query = {"limit": str(limit), "cursor": cursor}
        return model_of(Page[Quarantined], (yield from self._get(QUARANTINE, query)))

    def show_quarantined(self, job_id: str) -> Operation[Quarantined]:
        """One sealed output: findings, votes, and the digest that a vote is bound to."""
        return model_of(Quarantined, (yield from self._get(_sealed(job_id))))

    def export_sealed(self, job_id: str) -> Operation[SealedExport]:
        """The sealed bytes, to be opened where the key is."""
        return model_of(SealedExport, (yield from self._get(f"{_sealed(job_id)}/sealed")))

    def show_replacement(self, job_id: str) -> Operation[SealedReplacement]:
        """What is proposed to be read instead of a sealed output. NotFound where nothing is."""
        return model_of(SealedReplacement, (yield from self._get(f"{_sealed(job_id)}/replacement")))

    def release(
        self,
        shown: Quarantined,
        *,
        reason: str,
        opened: str | None = None,
        replacement: Mapping[str, Any] | None = None,
        replacement_digest: str | None = None,
    ) -> Operation[VoteResult]:
        """Vote to make what was sealed readable. Nothing runs again.

        `opened`: base64 of the box, opened where the key is. `replacement`: what is to be read instead (`value`,
        `logs`, `error`), for others to vote on by its `replacement_digest`. One of the three at most.
        """
        content = {"opened": opened, "replacement": replacement, "replacement_digest": replacement_digest}
        return (yield from self._act(shown, "release", reason, content))

    def destroy(self, shown: Quarantined, *, reason: str) -> Operation[VoteResult]:
        """Delete what is sealed; the record of it stays."""
        return (yield from self._act(shown, "destroy", reason, {}))

    def _act(self, shown: Quarantined, verb: str, reason: str, content: Mapping[str, Any]) -> Operation[VoteResult]:
        body = {"digest": shown.digest, "reason": reason, **content}
        return model_of(
            VoteResult, (yield from self._post(f"{_sealed(shown.job_id)}/{verb}", body, is_repeatable=False))
        )


def _grant(grant_id: str) -> str:
    return f"{GRANTS}/{quote(grant_id, safe='')}"


def _sealed(job_id: str) -> str:
    return f"{QUARANTINE}/{quote(job_id, safe='')}"
