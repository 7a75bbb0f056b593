"""The users of a `holdgate up` at a real NATS, and what the server lets each do."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from nats.aio.client import Client as Nats

from holdgate.kernel.clock import SystemClock
from holdgate.kernel.login import connect
from holdgate.scheduler.up.children import free_port, stop
from holdgate.scheduler.up.credentials import add_pool
from holdgate.scheduler.up.provision import Provisioned, provision
from holdgate.scheduler.up.servers import nats_server
from support.waiting import eventually

REFUSAL_S = 2.0
OTHER_POOL = "other"
NOBODYS = "subject.of.nobody"


@dataclass
class Connected:
    """A connection that remembers what the server refused."""

    nc: Nats
    refused: list[str] = field(default_factory=list)

    async def may_not_publish(self, subject: str) -> bool:
        """Whether the server refuses a message on `subject`."""
        await self.nc.publish(subject, b"")
        return await self.hears_refusal(f'publish to "{subject}"')

    async def may_not_subscribe(self, subject: str) -> bool:
        """Whether the server refuses a subscription to `subject`."""
        await self.nc.subscribe(subject)
        return await self.hears_refusal(f'subscription to "{subject}"')

    async def hears_refusal(self, what: str) -> bool:
        """Whether the server says so in a while."""
        await self.nc.flush()
        try:
            await eventually(lambda: any(what.lower() in error.lower() for error in self.refused), REFUSAL_S)
        except AssertionError:
            return False
        return True

    async def publishable(self, subjects: Iterable[str]) -> set[str]:
        """Those on which the server takes a message."""

        async def publish(subject: str) -> None:
            await self.nc.publish(subject, b"")

        return await self._let(subjects, "publish to", publish)

    async def subscribable(self, subjects: Iterable[str]) -> set[str]:
        """Those that the server lets this user listen to."""

        async def subscribe(subject: str) -> None:
            await self.nc.subscribe(subject)

        return await self._let(subjects, "subscription to", subscribe)

    async def _let(self, subjects: Iterable[str], what: str, attempt: Callable[[str], Awaitable[None]]) -> set[str]:
        """Refusals come in order, but behind the answer to a ping: the last one asked for is for nobody."""
        wanted = sorted(subjects)
        for subject in (*wanted, NOBODYS):
            await attempt(subject)
        await eventually(lambda: self._was_refused(f'{what} "{NOBODYS}"'))
        return {subject for subject in wanted if not self._was_refused(f'{what} "{subject}"')}

    def _was_refused(self, what: str) -> bool:
        return any(what.lower() in error.lower() for error in self.refused)


@dataclass(frozen=True)
class Users:
    """A server with the configuration that `made` gives it, and a pool beside the first."""

    url: str
    made: Provisioned

    @contextlib.asynccontextmanager
    async def connected(self, user: str) -> AsyncIterator[Connected]:
        """As `user`, with the seed that lies in the directory."""
        refused: list[str] = []

        async def on_error(error: Exception) -> None:
            refused.append(str(error))

        nc = await connect(self.url, self.made.login(user), error_cb=on_error)
        try:
            yield Connected(nc, refused)
        finally:
            await nc.close()


@contextlib.contextmanager
def running_users(folder: Path) -> Iterator[Users]:
    """Until the end of the block."""
    made = provision(folder / "home", SystemClock())
    add_pool(made.home, OTHER_POOL, None)
    config = replace(made.nats_config(free_port(), 0), data_dir=folder / "data")
    child = nats_server(config, folder / "nats.conf").start(folder / "log")
    try:
        yield Users(config.url, made)
    finally:
        stop(child)
