"""Candidates, for the API: on top of what is published, by the functions that kernels verify with."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from holdgate.bundles.errors import BundleRefused
from holdgate.bundles.format import parse_bundle
from holdgate.bundles.history import standing
from holdgate.bundles.replay import Tried, tried
from holdgate.bundles.review import verify_candidate
from holdgate.bundles.root import Root
from holdgate.bundles.shadowing import SHADOWS_AT_ONCE, why_no_place
from holdgate.bundles.signers import verify_signatures
from holdgate.bundles.store import BundleStore, StoredBundle
from holdgate.bundles.trusted import TrustedSet
from holdgate.kernel.clock import Clock
from holdgate.kernel.ids import Tenant
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
        held = await self._shadows.get(candidate.name)
        await asyncio.to_thread(_require_own_place, held, candidate.tenant)
        why = await asyncio.to_thread(_why_no_place, await self._others(candidate.name), verified.bundle.signers, root)
        if why is not None:
            raise Problem("limited", why)
        after = None if held is None else held.revision
        revision = await self._shadows.put(candidate.name, candidate.data, after_revision=after)
        bundle = verified.bundle
        return Shadowed(bundle.name, bundle.file.manifest.version, bundle.digest, revision)

    async def stop(self, name: str, tenant: Tenant) -> bool:
        """Take it out of the store."""
        held = await self._shadows.get(name)
        if held is None:
            return False
        await asyncio.to_thread(_require_own_place, held, tenant)
        await self._shadows.remove(name)
        return True

    async def names(self) -> list[str]:
        """Those that are in the store."""
        return [name for name in await self._shadows.names() if await self._holds(name)]

    async def _holds(self, name: str) -> bool:
        return await self._shadows.get(name) is not None

    async def _others(self, name: str) -> list[StoredBundle]:
        found = [await self._shadows.get(other) for other in await self._shadows.names() if other != name]
        return [held for held in found if held is not None]


def _require_own_place(held: StoredBundle | None, tenant: Tenant) -> None:
    """What lies there, if it can be read, rules on this tenant among others: else it is of somebody else."""
    if held is None:
        return
    try:
        manifest = parse_bundle(held.data).manifest
    except BundleRefused:
        return  # kernels shadow nothing there either, and it must be possible to clear it away
    if "*" not in manifest.scope.tenants and tenant not in manifest.scope.tenants:
        raise Problem("bundle_tenant", f"the candidate that is shadowed as `{manifest.name}` is of another tenant")


def _why_no_place(others: list[StoredBundle], signers: Sequence[str], root: Root) -> str | None:
    taken: Counter[str] = Counter()
    for held in others:
        try:
            taken.update(verify_signatures(parse_bundle(held.data), root, None))
        except BundleRefused:
            continue  # nobody's, but it takes one of all places until it is cleared away
    return why_no_place(signers, taken, SHADOWS_AT_ONCE - len(others))


def _set_of(root: Root, in_force: dict[str, bytes]) -> TrustedSet:
    return TrustedSet.under(root).restore_all(in_force)[0]
