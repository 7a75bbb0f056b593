"""Names in one store: whatever lies under one of them, kernels look at the next."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from holdgate.bundles.lookout import AGAIN_MS
from holdgate.bundles.store import SUBJECT_PREFIX, BundleStore, StoredBundle
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
