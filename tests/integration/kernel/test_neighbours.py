"""Names in one store: whatever lies under one of them, kernels look at the next."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from holdgate.bundles import store as stores
from holdgate.bundles.activate import BundleActivator
from holdgate.bundles.lookout import AGAIN_MS
from holdgate.bundles.store import STREAM, SUBJECT_PREFIX, BundleStore, StoredBundle
from holdgate.bundles.trusted import TrustedBundle, TrustedSet
from holdgate.kernel.canonical import canonical_bytes
from support.trust import ALLOW_READS, HOLD_WRITES, bundle

from .conftest import Kernel, System


def names(kernel: Kernel) -> list[str]:
    trusted = kernel.source.trusted
    return [] if trusted is None else sorted(trusted.bundles)


def refused(kernel: Kernel) -> list[tuple[str, str]]:
    return [(event.bundle, event.code) for event in kernel.source.events(0) if event.kind == "refused"]


@pytest.mark.parametrize("grace", ["0d", "1e9d", " 1d", "9999999999d"])
async def test_a_manifest_that_nobody_signed_keeps_no_bundle_out(system: System, tmp_path: Path, grace: str) -> None:
    document = json.loads(bundle(tmp_path, ALLOW_READS, name="junk", signers=()))
    document["manifest"]["grace"] = grace
    await system.put("junk", canonical_bytes(document))
    await system.put("writes", bundle(tmp_path, HOLD_WRITES, name="writes"))
    kernel = await system.kernel()
    assert names(kernel) == ["writes"]
    assert refused(kernel) == [("junk", "bundle_malformed")]
    assert kernel.source.status()["store"] == "ok"


async def test_a_file_on_which_the_kernel_fails_keeps_no_other_out_and_is_tried_again(
    system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified = TrustedSet.verified

    def failing(self: TrustedSet, name: str, data: bytes, now_ms: int) -> TrustedBundle:
        if name == "house":
            raise ZeroDivisionError
        return verified(self, name, data, now_ms)

    monkeypatch.setattr(TrustedSet, "verified", failing)
    await system.put("house", bundle(tmp_path, ALLOW_READS))
    await system.put("writes", bundle(tmp_path, HOLD_WRITES, name="writes"))
    kernel = await system.kernel()
    assert names(kernel) == ["writes"]
    for _ in range(3):
        await kernel.source.refresh()
    assert refused(kernel) == [("house", "internal_error")], "told once"
    monkeypatch.undo()
    system.clock.advance(AGAIN_MS / 1000)
    await kernel.source.refresh()
    assert names(kernel) == ["house", "writes"]


async def test_a_message_that_cannot_be_read_keeps_no_other_out(
    system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    get = BundleStore.get

    async def failing(self: BundleStore, name: str) -> StoredBundle | None:
        if name == "house":
            raise TypeError
        return await get(self, name)

    monkeypatch.setattr(BundleStore, "get", failing)
    await system.put("writes", bundle(tmp_path, HOLD_WRITES, name="writes"))
    await system.nc.jetstream().publish(SUBJECT_PREFIX + "house", bundle(tmp_path, ALLOW_READS))
    kernel = await system.kernel()
    assert (names(kernel), refused(kernel)) == (["writes"], [("house", "internal_error")])


async def test_names_that_somebody_made_up_hide_none_in_force(
    system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "NAMES_MAX", 3)
    await system.put("house", bundle(tmp_path, ALLOW_READS))
    kernel = await system.kernel()
    for number in range(5):
        await system.put(f"a{number}", b"x")
    await system.put("house", bundle(tmp_path, ALLOW_READS, version=2))
    await kernel.source.refresh()
    assert kernel.source.trusted is not None
    assert kernel.source.trusted.bundles["house"].floor.version == 2


async def test_a_store_that_was_made_again_is_read_anew(
    system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may come to the very revisions that the one before had."""
    await system.put("house", bundle(tmp_path, ALLOW_READS))
    kernel = await system.kernel()
    refresh = BundleActivator.refresh

    async def held_up(_: BundleActivator) -> None:
        """No look in between, as while NATS is away."""

    monkeypatch.setattr(BundleActivator, "refresh", held_up)
    await system.nc.jetstream().delete_stream(STREAM)
    await system.store.ensure()
    await system.nc.jetstream().publish(SUBJECT_PREFIX + "house", bundle(tmp_path, ALLOW_READS, version=2))
    await refresh(kernel.source)
    assert kernel.source.trusted is not None
    assert kernel.source.trusted.bundles["house"].floor.version == 2
