"""Candidates, for the API: on top of what is published, by the functions that kernels verify with."""

from __future__ import annotations

import asyncio

from holdgate.bundles.format import parse_bundle
from holdgate.bundles.history import standing
from holdgate.bundles.replay import Tried, tried
from holdgate.bundles.review import verify_candidate
from holdgate.bundles.root import Root
from holdgate.bundles.shadowing import SHADOWS_AT_ONCE
from holdgate.bundles.store import BundleStore
from holdgate.bundles.trusted import TrustedSet
from holdgate.kernel.clock import Clock
from holdgate.kernel.policy import Policy
from holdgate.scheduler.api.bundles import Candidate
from holdgate.scheduler.api.candidates import Shadowed
from holdgate.scheduler.api.problems import Problem
from holdgate.scheduler.cli.shelf import PublishedBundles, require_own


class StoredCandidates:
    """In the store that kernels watch for candidates, judged on top of what `store` holds."""

    def __init__(self, store: BundleStore, shadows: BundleStore, bundles: PublishedBundles, clock: Clock) -> None:
        self._store = store
        self._shadows = shadows
        self._bundles = bundles
        self._clock = clock

    async def tried(self, data: bytes) -> tuple[Tried, Policy | None]:
        """The bundle on top of what is published, and the policy of what is published."""
        name = (await asyncio.to_thread(parse_bundle, data)).manifest.name
        root = await self._bundles.root()
        seen = await standing(self._store, root, name)
        in_force = await asyncio.to_thread(_set_of, root, dict(seen.in_force))
        return await asyncio.to_thread(tried, data, in_force), in_force.policy

    async def start(self, candidate: Candidate) -> Shadowed:
        """Verify the candidate as a publish would, and put it where kernels look for what to shadow."""
        await asyncio.to_thread(require_own, candidate)
        root = await self._bundles.root()
        seen = await standing(self._store, root, candidate.name)
        now_ms = self._clock.now_ms()
        verified = await asyncio.to_thread(verify_candidate, candidate.data, root, seen.in_force, now_ms)
        others = [name for name in await self._shadows.names() if name != candidate.name and await self._holds(name)]
        if len(others) >= SHADOWS_AT_ONCE:
            raise Problem("limited", f"{len(others)} candidates are shadowed already; stop one of them")
        held = await self._shadows.get(candidate.name)
        after = None if held is None else held.revision
        revision = await self._shadows.put(candidate.name, candidate.data, after_revision=after)
        bundle = verified.bundle
        return Shadowed(bundle.name, bundle.file.manifest.version, bundle.digest, revision)

    async def stop(self, name: str) -> bool:
        """Take it out of the store."""
        if not await self._holds(name):
            return False
        await self._shadows.remove(name)
        return True

    async def names(self) -> list[str]:
        """Those that are in the store."""
        return [name for name in await self._shadows.names() if await self._holds(name)]

    async def _holds(self, name: str) -> bool:
        return await self._shadows.get(name) is not None


def _set_of(root: Root, in_force: dict[str, bytes]) -> TrustedSet:
    return TrustedSet.under(root).restore_all(in_force)[0]
