"""The parts of the clients that approvers use."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from holdgate.client.calls import AwaitedCall, PlainCall
from holdgate.client.models import ApprovalChange
from holdgate.client.operations import Operations
from holdgate.client.transport import AwaitedTransport, PlainTransport


class PlainPart:
    """A part of a `Client`."""

    def __init__(self, driver: PlainTransport) -> None:
        self.driver = driver


class AwaitedPart:
    """A part of an `AsyncClient`."""

    def __init__(self, driver: AwaitedTransport) -> None:
        self.driver = driver


class Approvals(PlainPart):
    """Held jobs. Votes take what `show` returned, so that a vote is about what was seen."""

    list = PlainCall(Operations.list_approvals)
    show = PlainCall(Operations.show_approval)
    masked = PlainCall(Operations.masked)
    reveal = PlainCall(Operations.reveal)
    rules = PlainCall(Operations.rules)
    similar = PlainCall(Operations.similar)
    approve = PlainCall(Operations.approve)
    reject = PlainCall(Operations.reject)
    reconfirm = PlainCall(Operations.reconfirm)
    defer = PlainCall(Operations.defer)
    bulk = PlainCall(Operations.bulk)

    def events(self) -> Iterator[ApprovalChange]:
        """Each change of a held job of the tenant, for as long as the caller listens."""
        return self.driver.approval_events()


class AsyncApprovals(AwaitedPart):
    """Held jobs. Votes take what `show` returned, so that a vote is about what was seen."""

    list = AwaitedCall(Operations.list_approvals)
    show = AwaitedCall(Operations.show_approval)
    masked = AwaitedCall(Operations.masked)
    reveal = AwaitedCall(Operations.reveal)
    rules = AwaitedCall(Operations.rules)
    similar = AwaitedCall(Operations.similar)
    approve = AwaitedCall(Operations.approve)
    reject = AwaitedCall(Operations.reject)
    reconfirm = AwaitedCall(Operations.reconfirm)
    defer = AwaitedCall(Operations.defer)
    bulk = AwaitedCall(Operations.bulk)

    def events(self) -> AsyncIterator[ApprovalChange]:
        """Each change of a held job of the tenant, for as long as the caller listens."""
        return self.driver.approval_events()


class Delegations(PlainPart):
    """Who votes for whom."""

    list = PlainCall(Operations.list_delegations)
    give = PlainCall(Operations.delegate)
    revoke = PlainCall(Operations.revoke_delegation)


class Grants(PlainPart):
    """Jobs of a kind that people release before they come."""

    list = PlainCall(Operations.list_grants)
    show = PlainCall(Operations.show_grant)
    request = PlainCall(Operations.request_grant)
    approve = PlainCall(Operations.approve_grant)
    revoke = PlainCall(Operations.revoke_grant)


class Quarantine(PlainPart):
    """Sealed outputs. `release` and `destroy` take what `show` returned."""

    list = PlainCall(Operations.list_quarantine)
    show = PlainCall(Operations.show_quarantined)
    export = PlainCall(Operations.export_sealed)
    show_replacement = PlainCall(Operations.show_replacement)
    release = PlainCall(Operations.release)
    destroy = PlainCall(Operations.destroy)


class AsyncDelegations(AwaitedPart):
    """Who votes for whom."""

    list = AwaitedCall(Operations.list_delegations)
    give = AwaitedCall(Operations.delegate)
    revoke = AwaitedCall(Operations.revoke_delegation)


class AsyncGrants(AwaitedPart):
    """Jobs of a kind that people release before they come."""

    list = AwaitedCall(Operations.list_grants)
    show = AwaitedCall(Operations.show_grant)
    request = AwaitedCall(Operations.request_grant)
    approve = AwaitedCall(Operations.approve_grant)
    revoke = AwaitedCall(Operations.revoke_grant)


class AsyncQuarantine(AwaitedPart):
    """Sealed outputs. `release` and `destroy` take what `show` returned."""

    list = AwaitedCall(Operations.list_quarantine)
    show = AwaitedCall(Operations.show_quarantined)
    export = AwaitedCall(Operations.export_sealed)
    show_replacement = AwaitedCall(Operations.show_replacement)
    release = AwaitedCall(Operations.release)
    destroy = AwaitedCall(Operations.destroy)
