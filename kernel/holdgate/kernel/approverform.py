"""The form of `approvers`: who releases what a rule holds, and how."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, model_validator

from holdgate.kernel.forms import Form, refuse_empty
from holdgate.kernel.records import SEVERE, ApprovalRequirement, Severity
from holdgate.kernel.ruletypes import Actors, Names, Seconds, printable, seconds

APPROVER_ROLE = "approver"
"""Who releases what a rule holds without saying for whom."""
_QUORUM_MAX = 20
_READING_S_MAX = 3600


class EscalateTo(Form):
    """Who else may release a job that nobody released in time."""

    roles: Names | None = None
    names: Actors | None = None

    @model_validator(mode="after")
    def _says_something(self) -> EscalateTo:
        refuse_empty(self)
        return self


class Approvers(Form):
    """The `approvers` of a rule."""

    roles: Names | None = None
    names: Actors | None = None
    quorum: int = Field(1, ge=1, le=_QUORUM_MAX)
    expires: Seconds | None = None
    escalate_after: Seconds | None = None
    escalate_to: EscalateTo | None = None
    not_author: bool = False
    signed: bool = False
    bulk: bool | None = None
    grants: bool = False
    break_glass: bool = True
    read_for: Seconds | None = None
    confirm: Annotated[str, printable(100)] | None = None

    @model_validator(mode="after")
    def _can_be_met(self) -> Approvers:
        problem = next(self._problems(), None)
        if problem is not None:
            raise ValueError(problem)
        return self

    def _problems(self) -> Iterator[str]:
        if self.names and not self.roles and self.quorum > len(set(self.names)):
            yield "the quorum is larger than the number of names"
        if self.escalate_after is not None and seconds(self.escalate_after) >= self.expires_s():
            yield "`escalate_after` is not before the expiry"
        if self.escalate_to is not None and self.escalate_after is None:
            yield "`escalate_to` needs `escalate_after`"
        if self.read_for is not None and seconds(self.read_for) > _READING_S_MAX:
            yield f"`read_for` is longer than {_READING_S_MAX // 60} minutes"
        if self.read_for is not None and seconds(self.read_for) >= self.expires_s():
            yield "`read_for` is not before the expiry"
        if self.signed and self.grants:
            yield "`grants` do not go with `signed`: a grant is no signature on the job"

    def expires_s(self) -> int:
        """How long a job is held."""
        return ApprovalRequirement("", ()).expires_s if self.expires is None else seconds(self.expires)

    def requirement(self, rule: str, severity: Severity, reason: str, definition: str) -> ApprovalRequirement:
        """What the rule of this id, severity and reason demands."""
        roles = tuple(self.roles or ())
        further = self.escalate_to or EscalateTo.model_construct()
        return ApprovalRequirement(
            rule=rule,
            roles=roles if roles or self.names else (APPROVER_ROLE,),
            names=tuple(self.names or ()),
            quorum=self.quorum,
            expires_s=self.expires_s(),
            escalate_after_s=None if self.escalate_after is None else seconds(self.escalate_after),
            escalate_roles=tuple(further.roles or ()),
            escalate_names=tuple(further.names or ()),
            not_author=self.not_author,
            signed=self.signed,
            severity=severity,
            bulk=severity not in SEVERE if self.bulk is None else self.bulk,
            grants=self.grants,
            break_glass=self.break_glass,
            reading_s=0 if self.read_for is None else seconds(self.read_for),
            confirm=self.confirm or "",
            reason=reason,
            definition=definition,
        )
