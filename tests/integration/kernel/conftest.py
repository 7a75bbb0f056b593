"""A kernel on real NATS, with a root and a store of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client as Nats

from holdgate.bundles.activate import BundleActivator
from holdgate.bundles.publish import Accept, publish
from holdgate.bundles.root import Pins
from holdgate.bundles.stampstore import StampStore
from holdgate.bundles.store import BundleStore
from holdgate.kernel.client import KernelClient
from holdgate.kernel.service import KernelService
from support.trust import Ceremony, SetClock, signer


@dataclass
class Kernel:
    """One replica and what it stands on."""

    source: BundleActivator
    service: KernelService
    nc: Nats

    async def stop(self) -> None:
        await self.service.stop()
        await self.source.stop()
        await self.nc.close()


@dataclass
class System:
    """Starts kernels and clients in one NATS account; stops what is left."""

    nats_url: str
    directory: Path
    nc: Nats
    store: BundleStore
    clock: SetClock = field(default_factory=SetClock)
    ceremony: Ceremony = field(default_factory=Ceremony)
    pins: Pins | None = None
    """Other than those of the ceremony."""
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def kernel(self, replica: str = "k1", *, with_store: bool = True, clock: SetClock | None = None) -> Kernel:
        """By a clock of its own where one is given."""
        root = self.directory / "root.json"
        root.write_bytes(self.ceremony.signed_root())
        connection = await nats.connect(self.nats_url)
        source = BundleActivator(
            root=root,
            pins=self.pins or self.ceremony.pins,
            directory=self.directory / replica,
            clock=clock or self.clock,
            store=BundleStore(connection) if with_store else None,
            stamps=StampStore(connection) if with_store else None,
        )
        await source.start()
        service = KernelService(connection, source, signer("kernel"), clock or self.clock, replica)
        await service.start()
        await connection.flush()
        kernel = Kernel(source, service, connection)
        self.stack.push_async_callback(kernel.stop)
        return kernel

    async def put(self, name: str, data: bytes) -> None:
        """Write to the store as somebody who checks nothing."""
        held = await self.store.get(name)
        await self.store.put(name, data, after_revision=None if held is None else held.revision)

    async def client(self, **options: object) -> KernelClient:
        connection = await nats.connect(self.nats_url)
        self.stack.push_async_callback(connection.close)
        client = KernelClient(connection, clock=self.clock, **options)  # type: ignore[arg-type]
        await client.start()
        await connection.flush()
        self.stack.push_async_callback(client.stop)
        return client

    async def publish(self, data: bytes) -> None:
        await publish(self.store, data, self.ceremony.root, self.clock.now_ms(), accept=Accept.WIDENING)


@pytest.fixture
async def system(nats_url: str, nc: Nats, tmp_path: Path) -> AsyncIterator[System]:
    store = BundleStore(nc)
    await store.ensure()
    await StampStore(nc).ensure()
    made = System(nats_url, tmp_path, nc, store)
    async with made.stack:
        yield made


Starter = Callable[[], Awaitable[Kernel]]
