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
    similar = AwaitedCall(Operations.similar)
    approve = AwaitedCall(Operations.approve)
    reject = AwaitedCall(Operations.reject)
    reconfirm = AwaitedCall(Operations.reconfirm)
    defer = AwaitedCall(Operations.defer)
    bulk = AwaitedCall(Operations.bulk)

    def events(self) -> AsyncIterator[ApprovalChange]:
        """Each change of a held job of the tenant, for as long as the caller listens."""
        return self.driver.approval_events()
