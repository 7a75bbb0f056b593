"""The calls about who votes for whom, and about sealed outputs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from urllib.parse import quote

from holdgate.client.exchange import Operation, model_of
from holdgate.client.models import Delegation, Page, Quarantined, VoteResult, time_text
from holdgate.client.performing import API, Performing

DELEGATIONS = f"{API}/delegations"
QUARANTINE = f"{API}/quarantine"


class StandingOperations(Performing):
    """Delegations and quarantine."""

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

    def list_quarantine(self, *, limit: int = 50, cursor: str | None = None) -> Operation[Page[Quarantined]]:
        """One page of sealed outputs, newest first."""
        query = {"limit": str(limit), "cursor": cursor}
        return model_of(Page[Quarantined], (yield from self._get(QUARANTINE, query)))

    def show_quarantined(self, job_id: str) -> Operation[Quarantined]:
        """One sealed output: findings, votes, and the digest that a vote is bound to."""
        return model_of(Quarantined, (yield from self._get(_sealed(job_id))))

    def release(self, shown: Quarantined, *, reason: str) -> Operation[VoteResult]:
        """Vote to make exactly what was sealed readable. Nothing runs again."""
        return (yield from self._act(shown, "release", reason))

    def destroy(self, shown: Quarantined, *, reason: str) -> Operation[VoteResult]:
        """Delete what is sealed; the record of it stays."""
        return (yield from self._act(shown, "destroy", reason))

    def _act(self, shown: Quarantined, verb: str, reason: str) -> Operation[VoteResult]:
        body = {"digest": shown.digest, "reason": reason}
        return model_of(
            VoteResult, (yield from self._post(f"{_sealed(shown.job_id)}/{verb}", body, is_repeatable=False))
        )


def _sealed(job_id: str) -> str:
    return f"{QUARANTINE}/{quote(job_id, safe='')}"
