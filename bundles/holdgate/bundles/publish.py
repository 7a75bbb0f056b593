"""Publishing: what the kernel will check is checked before, with the same function, then written to the store.

What always holds: this gives nobody any right; a kernel verifies what it finds, whoever wrote it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from holdgate.bundles.errors import BundleOutdated
from holdgate.bundles.format import parse_bundle
from holdgate.bundles.root import Root
from holdgate.bundles.store import BundleStore
from holdgate.bundles.trusted import TrustedBundle, TrustedSet


def check_publishable(data: bytes, root: Root, in_force: Mapping[str, bytes], now_ms: int) -> TrustedBundle:
    """The bundle in `data`, once it would be accepted beside the bundles `in_force` (name → file).

    Raises what the kernel would: BundleRefused, PolicyInvalid.
    """
    trusted = TrustedSet.under(root)
    for _, other in sorted(in_force.items()):
        trusted = trusted.restore(other)
    name = parse_bundle(data).manifest.name
    before = trusted.bundles.get(name)
    accepted = trusted.accept(data, now_ms).bundles[name]
    if before is not None and before.floor == accepted.floor:
        raise BundleOutdated(f"`{name}` version {accepted.floor.version} is published already")
    return accepted


async def publish(store: BundleStore, data: bytes, root: Root, now_ms: int) -> TrustedBundle:
    """Check `data` against what is published and publish it; BundleConflict when somebody else was faster."""
    name = parse_bundle(data).manifest.name
    names: Sequence[str] = [other for other in await store.revisions() if other]
    stored = {other: bundle for other in names if (bundle := await store.get(other)) is not None}
    accepted = check_publishable(data, root, {other: bundle.data for other, bundle in stored.items()}, now_ms)
    await store.put(name, data, after_revision=stored[name].revision if name in stored else None)
    return accepted
