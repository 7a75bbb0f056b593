"""The bundle store as the API administers it: look, and publish a signed bundle.

What always holds: publishing gives nobody a right; the bundle is checked here with the kernels' own function, and by
every kernel again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from holdgate.bundles.errors import BundleRefused
from holdgate.bundles.format import parse_bundle
from holdgate.bundles.publish import publish
from holdgate.bundles.root import Root
from holdgate.bundles.store import BundleStore
from holdgate.bundles.trusted import TrustedBundle
from holdgate.kernel.clock import Clock, rfc3339


class BundleShelf:
    """`root` reads and verifies the root file afresh; publishing is rare."""

    def __init__(self, store: BundleStore, root: Callable[[], Root], clock: Clock) -> None:
        self._store = store
        self._root = root
        self._clock = clock
        self._turn = asyncio.Lock()

    async def listed(self) -> list[dict[str, Any]]:
        """What is published, by name, as its manifest says; StoreUnavailable."""
        shown = []
        for name in sorted(await self._store.revisions()):
            stored = await self._store.get(name) if name else None
            if stored is not None:
                shown.append({"name": name, "revision": stored.revision, **_manifest(stored.data)})
        return shown

    async def publish(self, name: str, data: bytes) -> TrustedBundle:
        """Check and publish; BundleRefused, PolicyInvalid, StoreUnavailable."""
        if (inside := parse_bundle(data).manifest.name) != name:
            raise BundleRefused(f"the bundle is named `{inside}`")
        async with self._turn:
            return await publish(self._store, data, self._root(), self._clock.now_ms())


def _manifest(data: bytes) -> dict[str, Any]:
    try:
        file = parse_bundle(data)
    except BundleRefused as error:
        return {"problem": error.code}
    return {
        "version": file.manifest.version,
        "digest": file.digest,
        "expires_at": rfc3339(file.manifest.expires_ms),
    }
