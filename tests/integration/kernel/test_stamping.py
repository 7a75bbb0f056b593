"""What the API stamps as published: what is in force by all that the store keeps, whatever lies on top."""

from __future__ import annotations

from pathlib import Path

from holdgate.bundles.root import Root
from holdgate.bundles.stamp import verify_stamp
from holdgate.bundles.stampstore import StampStore
from holdgate.kernel.permits import Keyring
from holdgate.scheduler.api.stamping import Stamping
from support.trust import ALLOW_READS, HOLD_WRITES, bundle, signer

from .conftest import Kernel, System


def stamping(system: System) -> Stamping:
    async def root() -> Root:
        return system.ceremony.root

    return Stamping(system.store, StampStore(system.nc), signer("api"), system.clock, root)


def state(kernel: Kernel) -> str:
    stamp = kernel.source.status()["stamp"]
    assert isinstance(stamp, dict)
    return str(stamp["state"])


async def stamped(system: System) -> set[str]:
    """Names in the newest stamp."""
    stamp = await StampStore(system.nc).get()
    assert stamp is not None
    return set(verify_stamp(stamp, Keyring([signer("api").public_key]), system.clock.now_ms()).bundles)


async def test_a_bundle_that_somebody_deleted_is_noticed_by_a_kernel_that_never_saw_it(
    system: System, tmp_path: Path
) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    await system.publish(bundle(tmp_path, HOLD_WRITES, name="writes"))
    await system.store.remove("writes")
    await stamping(system).run_once()
    assert state(await system.kernel("fresh")) == "withheld"


async def test_a_bundle_that_somebody_wrote_over_is_noticed_by_a_kernel_that_never_saw_it(
    system: System, tmp_path: Path
) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    await system.put("house", bundle(tmp_path, HOLD_WRITES, version=2, signers=()))
    await stamping(system).run_once()
    assert state(await system.kernel("fresh")) == "withheld"


async def test_files_that_do_not_count_keep_nobody_from_stamping(system: System, tmp_path: Path) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    junk = bundle(tmp_path, ALLOW_READS, name="junk", signers=(), more="grace: 7d\n").replace(b'"7d"', b'"0d"')
    await system.put("junk", junk)
    await system.put("noise", b"noise")
    await stamping(system).run_once()
    assert state(await system.kernel()) == "fresh"


async def test_under_another_root_what_is_in_force_is_looked_at_again(system: System, tmp_path: Path) -> None:
    system.ceremony = system.ceremony.next(authors=("author", "gone"))
    await system.publish(bundle(tmp_path, ALLOW_READS))
    await system.publish(bundle(tmp_path, HOLD_WRITES, name="writes", signers=("gone",)))
    stamps = stamping(system)
    await stamps.run_once()
    assert await stamped(system) == {"house", "writes"}
    system.ceremony = system.ceremony.next(authors=("author",))
    await stamps.run_once()
    assert await stamped(system) == {"house"}
