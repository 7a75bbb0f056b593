"""Published bundles, for the API: what is there, and publishing with the kernels' own verification."""

from __future__ import annotations

from typing import Any

from holdgate.bundles import publish as publishing
from holdgate.bundles.errors import BundleMalformed
from holdgate.bundles.format import parse_bundle
from holdgate.bundles.root import Pins
from holdgate.bundles.rootfile import load_root
from holdgate.bundles.store import BundleStore
from holdgate.kernel.clock import Clock
from holdgate.scheduler.api.bundles import Published
from holdgate.scheduler.settings import ApiSettings


class PublishedBundles:
    """The store that kernels watch."""

    def __init__(self, store: BundleStore, settings: ApiSettings, clock: Clock) -> None:
        self._store = store
        self._root_file = settings.root_file
        self._pins = Pins.parse(settings.root_pins)
        self._clock = clock

    async def listed(self) -> list[dict[str, Any]]:
        """What is published, by name. StoreUnavailable."""
        names = sorted(name for name in await self._store.revisions() if name)
        found = [bundle for name in names if (bundle := await self._store.get(name)) is not None]
        return [{**_shown(bundle.data), "revision": bundle.revision} for bundle in found]

    async def publish(self, name: str, data: bytes) -> Published:
        """Publish a built and signed bundle. BundleRefused, PolicyInvalid, StoreUnavailable."""
        if parse_bundle(data).manifest.name != name:
            raise BundleMalformed("the bundle's own name is not the one in the path")
        now_ms = self._clock.now_ms()
        accepted = await publishing.publish(self._store, data, load_root(self._root_file, self._pins, now_ms), now_ms)
        return Published(accepted.name, accepted.file.manifest.version, accepted.digest)


def _shown(data: bytes) -> dict[str, Any]:
    file = parse_bundle(data)
    return {
        "name": file.manifest.name,
        "version": file.manifest.version,
        "digest": file.digest,
        "expires": file.manifest.expires,
        "signers": [signature.key for signature in file.signatures],
        "files": [entry.path for entry in file.manifest.files],
    }
