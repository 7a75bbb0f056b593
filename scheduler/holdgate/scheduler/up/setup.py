"""What must exist in NATS before the processes start: streams, consumers, buckets, the starter bundle."""

from __future__ import annotations

import structlog
from nats.aio.client import Client as Nats

from holdgate.bundles.errors import BundleOutdated, BundleWidens
from holdgate.bundles.publish import NATS_PUBLISHER, Accept, publish
from holdgate.bundles.root import Pins
from holdgate.bundles.rootfile import load_root
from holdgate.bundles.stampstore import StampStore
from holdgate.bundles.store import BundleStore, shadow_store
from holdgate.kernel.clock import SystemClock
from holdgate.kernel.login import connect
from holdgate.scheduler.state.log import StreamSettings, ensure_streams
from holdgate.scheduler.up.access import OPERATOR
from holdgate.scheduler.up.provision import Provisioned

log = structlog.get_logger("holdgate.up")


async def prepare(urls: str | list[str], provisioned: Provisioned, *, replicas: int = 1) -> None:
    """Create what is missing, publish the starter bundle; as the operator. Idempotent."""
    nc = await connect(urls, provisioned.login(OPERATOR))
    try:
        await prepare_over(nc, provisioned, replicas=replicas)
    finally:
        await nc.close()


async def prepare_over(nc: Nats, provisioned: Provisioned, *, replicas: int = 1) -> None:
    """The same over a connection of somebody who may."""
    store = await ensure_all(nc, replicas=replicas)
    now_ms = SystemClock().now_ms()
    root = load_root(provisioned.home.root_file, Pins.parse(provisioned.root_pins), now_ms)
    publisher = f"{NATS_PUBLISHER}{OPERATOR}"
    try:
        await publish(store, provisioned.starter, root, now_ms, accept=Accept.FIRST, publisher=publisher)
    except BundleOutdated as error:
        # What is published is the same or newer: an author has moved on from the starter bundle.
        log.debug("the starter bundle is published already", action="starter_kept", reason=str(error))
    except BundleWidens as error:
        # Of a newer release: what it would allow beyond the rules in force is for an author to accept.
        log.warning("the newer starter bundle allows more, so the older stays", action="starter_kept", why=str(error))


async def ensure_all(nc: Nats, *, replicas: int, file_store_bytes: int | None = None) -> BundleStore:
    """Streams, consumers, buckets: created where they are missing, each in its share of what servers have for them."""
    await ensure_streams(nc, StreamSettings.within(file_store_bytes, replicas=replicas))
    store = BundleStore(nc)
    await store.ensure(replicas=replicas)
    await shadow_store(nc).ensure(replicas=replicas)
    await StampStore(nc).ensure(replicas=replicas)
    return store
