"""What an approver sends, and in whose stead they may send it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from holdgate.kernel.ids import ActorId
from holdgate.kernel.links import Signed
from holdgate.scheduler.gates.approval.checks import Approver, Shown


@dataclass(frozen=True, slots=True)
class VoteForm:
    """A vote as it was sent: bound to what was `shown`. `confirm` is what was typed, `signed` the approver's own vote.

    `on_behalf_of`: in whose stead; `break_glass`: past the quorum, with one other who does so.
    """

    shown: Shown
    reason: str
    confirm: str = ""
    on_behalf_of: ActorId | None = None
    break_glass: bool = False
    signed: Signed | None = None


class Stead(Protocol):
    """In whose stead somebody votes: the roles that it counts for, and the delegations that give them."""

    @property
    def person(self) -> ActorId:
        """The one who delegated."""
        ...

    @property
    def roles(self) -> tuple[str, ...]:
        """Of the one who delegated."""
        ...

    @property
    def delegation_ids(self) -> Sequence[str]:
        """For the record."""
        ...


class Delegations(Protocol):
    """Knows who may vote for whom now."""

    async def require_stead(self, approver: Approver, person: ActorId) -> Stead:
        """In which roles of `person` this approver may vote now; Forbidden when in none."""
        ...
