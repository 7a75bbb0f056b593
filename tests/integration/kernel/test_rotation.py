"""Kernels while the trust root is replaced under them, by its owners and by others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from holdgate.bundles.errors import RootRefused
from holdgate.kernel.client import KernelClient
from holdgate.kernel.records import Decision, Phase, Verdict
from support.trust import ALLOW_READS, Ceremony, bundle, job, signed
from support.waiting import Eventually

from .conftest import Kernel, System

OLD = ("old1", "old2", "old3")
NEW = ("new1", "new2", "new3")
DENY_READS = """
rules:
  - {id: deny-reads, decision: deny, reason: closed, match: {topics: ["job.read.>"]}}
"""
ALLOW_SENDS = """
rules:
  - {id: allow-sends, decision: allow, reason: sending is fine, match: {topics: ["job.send.>"]}}
"""
SENDS = '{tenants: ["*"], topics: ["job.send.>"]}'
READS = '{tenants: ["*"], topics: ["job.read.>"]}'


@pytest.fixture
def first(system: System) -> Ceremony:
    """A root of three keys with two authors, which stays pinned whatever follows."""
    system.ceremony = Ceremony(root_keys=OLD, root_threshold=2, authors=("author", "second"))
    system.pins = system.ceremony.pins
    return system.ceremony


async def ask(client: KernelClient, topic: str) -> Decision:
    return (await client.decide_fresh([job(topic)], Phase.SIMULATE))[0]


async def given(system: System, kernel: Kernel, ceremony: Ceremony) -> str | None:
    """Put a root where the kernel finds it; the code of what it has against it."""
    (system.directory / "root.json").write_bytes(ceremony.signed_root())
    await kernel.source.refresh()
    problem = kernel.source.status()["last_error"]
    return str(problem["code"]) if isinstance(problem, dict) else None


def version(kernel: Kernel) -> int | None:
    return None if kernel.source.trust is None else kernel.source.trust.root_version


async def test_a_kernel_goes_through_a_rotation_that_replaces_all_root_keys(
    system: System, first: Ceremony, tmp_path: Path
) -> None:
    await system.store.put("house", bundle(tmp_path, ALLOW_READS), after_revision=None)
    kernel = await system.kernel()
    client = await system.client()
    assert await given(system, kernel, first.next(root_keys=NEW)) is None
    assert version(kernel) == 2
    assert (await ask(client, "job.read.all")).verdict is Verdict.ALLOW
    third = first.next(root_keys=NEW).next(expires="2041-01-01T00:00:00Z")
    assert await given(system, kernel, third) is None
    await kernel.stop()
    system.ceremony = third
    assert version(await system.kernel()) == 3
    assert (await ask(client, "job.read.all")).verdict is Verdict.ALLOW


async def test_revoking_an_author_closes_the_scope_of_its_bundle_and_no_other(
    system: System, first: Ceremony, tmp_path: Path, eventually: Eventually
) -> None:
    """Until somebody signs it who may."""
    sends = bundle(tmp_path, ALLOW_SENDS, name="sends", scope=SENDS)
    await system.store.put("sends", sends, after_revision=None)
    reads = bundle(tmp_path, ALLOW_READS, name="reads", scope=READS, signers=["second"])
    await system.store.put("reads", reads, after_revision=None)
    kernel = await system.kernel()
    client = await system.client()
    assert (await ask(client, "job.send.mail")).verdict is Verdict.ALLOW
    await given(system, kernel, first.next(authors=("second",)))
    assert version(kernel) == 2
    assert (await ask(client, "job.send.mail")).verdict is Verdict.DENY
    assert (await ask(client, "job.read.all")).verdict is Verdict.ALLOW
    assert kernel.source.status()["missing"] == ["sends"]
    held = await system.store.get("sends")
    assert held is not None
    await system.store.put("sends", signed(sends, ["second"]), after_revision=held.revision)
    await eventually(lambda: kernel.source.status()["missing"] == [])
    assert (await ask(client, "job.send.mail")).verdict is Verdict.ALLOW


async def test_old_keys_that_fork_the_chain_after_a_rotation_reach_no_kernel(
    system: System, first: Ceremony, tmp_path: Path
) -> None:
    """They still meet the pins. Neither the running kernel nor one that starts again follows them."""
    await system.store.put("house", bundle(tmp_path, ALLOW_READS), after_revision=None)
    kernel = await system.kernel()
    client = await system.client()
    await given(system, kernel, first.next(root_keys=NEW))
    forged = first.next(authors=("mallory",))
    for fork in (forged, forged.next(), forged.next().next()):
        assert await given(system, kernel, fork) == "root_fork"
        assert version(kernel) == 2
        assert (await ask(client, "job.read.all")).verdict is Verdict.ALLOW
    await kernel.stop()
    system.ceremony = forged.next()
    with pytest.raises(RootRefused) as caught:
        await system.kernel()
    assert caught.value.code == "root_fork"


async def test_an_older_root_that_is_replayed_reaches_no_kernel(system: System, first: Ceremony) -> None:
    """Its revoked author would sign again."""
    kernel = await system.kernel()
    await given(system, kernel, first.next(authors=("second",)))
    assert await given(system, kernel, first) == "root_version"
    assert version(kernel) == 2


async def test_a_root_that_allows_by_default_says_so_loudly_and_allows_nothing_without_policy(
    system: System, first: Ceremony, tmp_path: Path
) -> None:
    """Only the signed root can say it, and the next one can take it back."""
    kernel = await system.kernel()
    client = await system.client()
    loose = first.next(default_decision="allow")
    with capture_logs() as logs:
        await given(system, kernel, loose)
    assert [entry["log_level"] for entry in logs if entry["action"] == "policy.default_allow"] == ["warning"]
    assert (await ask(client, "job.read.all")).verdict is Verdict.DENY
    await system.store.put("house", bundle(tmp_path, DENY_READS), after_revision=None)
    await kernel.source.refresh()
    assert (await ask(client, "job.read.all")).verdict is Verdict.DENY
    assert (await ask(client, "job.nobody.knows")).verdict is Verdict.ALLOW
    assert kernel.source.status()["default_decision"] == "allow"
    assert REGISTRY.get_sample_value("holdgate_policy_default_allow") == 1
    await given(system, kernel, loose.next(default_decision="deny"))
    assert (await ask(client, "job.nobody.knows")).verdict is Verdict.DENY
    assert kernel.source.status()["default_decision"] == "deny"
    assert REGISTRY.get_sample_value("holdgate_policy_default_allow") == 0


async def test_after_the_loss_of_the_root_keys_other_pins_begin_another_chain(system: System, first: Ceremony) -> None:
    """Above the version that was seen. The pins that kernels run with do not let it in."""
    kernel = await system.kernel()
    await given(system, kernel, first.next(root_keys=NEW))
    fresh = Ceremony(root_keys=("f1", "f2"), root_threshold=2, version=3)
    assert await given(system, kernel, fresh) == "root_threshold"
    await kernel.stop()
    system.ceremony, system.pins = replace(fresh, version=2), fresh.pins
    with pytest.raises(RootRefused) as caught:
        await system.kernel()
    assert caught.value.code == "root_fork"
    system.ceremony = fresh
    assert version(await system.kernel()) == 3


async def test_a_root_that_leaves_out_what_a_kernel_has_seen_is_refused_under_the_same_pins(
    system: System, first: Ceremony
) -> None:
    """Whoever has the pinned keys could otherwise begin again above it."""
    kernel = await system.kernel()
    await given(system, kernel, first.next())
    assert await given(system, kernel, replace(first, version=7)) == "root_fork"
    assert version(kernel) == 2
