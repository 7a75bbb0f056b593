"""Policy that ends while it is used."""

from __future__ import annotations

import asyncio
from random import Random  # noqa: TID251  a seeded one comes in as an argument

from holdgate.bundles.errors import BundleConflict, BundleOutdated
from holdgate.bundles.format import parse_bundle
from holdgate.bundles.keys import load_signer
from holdgate.bundles.publish import NATS_PUBLISHER, Accept, publish
from holdgate.bundles.root import Pins
from holdgate.bundles.rootfile import load_root
from holdgate.bundles.store import BundleStore
from holdgate.kernel.clock import SystemClock, rfc3339
from holdgate.scheduler.torture import policy
from holdgate.scheduler.torture.bends import Bends
from holdgate.scheduler.torture.cluster import Cluster
from holdgate.scheduler.torture.faults.fault import CannotBreak
from holdgate.scheduler.up.access import OPERATOR

LIFE_S = 2
TRIES = 5
CLOCK = SystemClock()


class ExpiredBundle:
    """The bundle of one tenant is published with a life of LIFE_S: then nothing of it allows any more."""

    name = "expired-bundle"
    bends: tuple[Bends, ...] = ()

    def __init__(self) -> None:
        self.did = ""
        self._cluster: Cluster | None = None
        self._tenant = ""

    async def inject(self, cluster: Cluster, rng: Random) -> str:
        self._tenant = rng.choice(cluster.tenants)
        await publish_next(cluster, self._tenant, expires_s=LIFE_S)
        self._cluster = cluster
        await asyncio.sleep(LIFE_S)
        if await has_ended(cluster, self._tenant):
            self.did = "the newest bundle has expired"
        return policy.name_of(self._tenant)

    async def heal(self) -> None:
        if self._cluster is not None:
            await publish_next(self._cluster, self._tenant, expires_s=None)
            self._cluster = None


async def has_ended(cluster: Cluster, tenant: str) -> bool:
    """Whether the newest bundle of a tenant has expired: an author may have published another one since."""
    nc = await cluster.operator()
    try:
        present = await BundleStore(nc).get(policy.name_of(tenant))
    finally:
        await nc.close()
    return present is not None and parse_bundle(present.data).manifest.expires_ms <= CLOCK.now_ms()


async def publish_next(cluster: Cluster, tenant: str, *, expires_s: int | None) -> None:
    """The next version of a tenant's bundle, as an operator puts it into the store; CannotBreak when others are
    always quicker."""
    author = load_signer(cluster.home.key_file("author"))
    nc = await cluster.operator()
    try:
        store = BundleStore(nc)
        name = policy.name_of(tenant)
        for _ in range(TRIES):
            now_ms = CLOCK.now_ms()
            expires = None if expires_s is None else rfc3339(now_ms + expires_s * 1000)
            present = await store.get(name)
            version = 0 if present is None else parse_bundle(present.data).manifest.version
            data = await asyncio.to_thread(policy.signed_bundle, tenant, version + 1, author, expires=expires)
            root = load_root(cluster.home.root_file, Pins.parse(cluster.provisioned.root_pins), now_ms)
            try:
                await publish(
                    store, data, root, now_ms, accept=Accept.WIDENING, publisher=f"{NATS_PUBLISHER}{OPERATOR}"
                )
            except (BundleOutdated, BundleConflict):
                continue
            else:
                return
    finally:
        await nc.close()
    raise CannotBreak("others publish faster")
