"""Candidates that a kernel shadows: what they see, and that nothing of them reaches an answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats
import pytest

from holdgate.bundles.activate import BundleActivator
from holdgate.bundles.format import build_bundle
from holdgate.bundles.shadow import ShadowLimits
from holdgate.bundles.shadowing import SHADOWS_PER_AUTHOR, BundleShadow
from holdgate.bundles.store import BundleStore, shadow_store
from holdgate.kernel.client import KernelClient
from holdgate.kernel.errors import NoPolicy
from holdgate.kernel.records import Decision, Job, Phase, Verdict
from holdgate.kernel.service import KernelService
from holdgate.kernel.shadow import Shadow
from support.trust import ALLOW_READS, HOLD_WRITES, bundle, job, signer
from support.waiting import Eventually

from .conftest import System

DENY_ALL = "rules: [{id: deny-all, decision: deny, reason: closed}]"
DENY_OTHER = "rules: [{id: deny-other, decision: deny, reason: closed, match: {topics: [job.other]}}]"
ALLOW_ALL = "rules: [{id: allow-all, decision: allow, reason: open}]"


@dataclass
class Watching:
    """A kernel with a shadow."""

    source: BundleActivator
    shadow: BundleShadow
    directory: Path

    @property
    def told(self) -> list[Any]:
        return list(self.shadow.status())

    def counts(self) -> Any:
        return self.told[0].get("counts") if self.told else None


async def watching(system: System, *, limits: ShadowLimits | None = None, instead: Shadow | None = None) -> Watching:
    """Like `System.kernel`, with a shadow."""
    root, directory = system.directory / "root.json", system.directory / "k1"
    root.write_bytes(system.ceremony.signed_root())
    connection = await nats.connect(system.nats_url)
    system.stack.push_async_callback(connection.close)
    store, shadows = BundleStore(connection), shadow_store(connection)
    await shadows.ensure()
    source = BundleActivator(root=root, pins=system.ceremony.pins, directory=directory, clock=system.clock, store=store)
    shadow = BundleShadow(shadows, source, system.clock, limits=limits)
    service = KernelService(connection, source, signer("kernel"), system.clock, "k1", shadow=instead or shadow)
    for part in (source, shadow, service):
        await part.start()
        system.stack.push_async_callback(part.stop)
    return Watching(source, shadow, directory)


async def put(system: System, data: bytes, name: str = "house") -> None:
    """As somebody who may write to the store and checks nothing."""
    shadows = shadow_store(system.nc)
    held = await shadows.get(name)
    await shadows.put(name, data, after_revision=None if held is None else held.revision)


async def submit(client: KernelClient, jobs: Iterable[Job] = (job(),)) -> list[Decision]:
    """Live decisions, never from a cache."""
    return await client.decide_fresh(list(jobs), Phase.SUBMIT)


def kept(directory: Path) -> dict[str, bytes]:
    """All that the kernel has on disk."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("rules", "outcome"), [(DENY_ALL, "tighter"), (ALLOW_ALL, "wider")])
async def test_a_shadow_that_denies_or_allows_everything_changes_no_decision(
    system: System, tmp_path: Path, eventually: Eventually, rules: str, outcome: str
) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    kernel, client = await watching(system), await system.client()
    before = (kernel.source.current(), kernel.source.trusted, kept(kernel.directory))
    jobs = [job("job.read.all"), job("job.write.all")]
    expected = [Verdict.ALLOW, Verdict.DENY]
    await put(system, bundle(tmp_path, rules, version=2))
    await eventually(lambda: kernel.told and kernel.told[0]["state"] == "shadowed")
    decisions = await submit(client, jobs)
    assert [decision.verdict for decision in decisions] == expected
    assert all("deny-all" not in decision.rules and "allow-all" not in decision.rules for decision in decisions)
    await eventually(lambda: kernel.counts() == {"submit": {outcome: 1, "same": 1}})
    (told,) = kernel.told
    assert (told["name"], told["version"], len(told["samples"])) == ("house", 2, 1)
    assert (kernel.source.current(), kernel.source.trusted, kept(kernel.directory)) == before


async def test_only_decisions_of_which_something_comes_are_seen(
    system: System, tmp_path: Path, eventually: Eventually
) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    kernel, client = await watching(system), await system.client()
    await put(system, bundle(tmp_path, DENY_ALL, version=2))
    await eventually(lambda: kernel.told and kernel.told[0]["state"] == "shadowed")
    for phase in (Phase.SIMULATE, Phase.EXPLAIN, Phase.DISPATCH, Phase.SUBMIT):
        await client.decide_fresh([job()], phase)
    await eventually(lambda: kernel.counts() == {"submit": {"tighter": 1}, "dispatch": {"tighter": 1}})


async def test_the_status_of_a_kernel_says_what_it_shadows(
    system: System, tmp_path: Path, eventually: Eventually
) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    kernel, client = await watching(system), await system.client()
    await put(system, bundle(tmp_path, DENY_ALL, version=2))
    await eventually(lambda: kernel.told)
    (status,) = await client.status()
    assert [entry["name"] for entry in status.shadow] == ["house"]
    await shadow_store(system.nc).remove("house")
    await eventually(lambda: not kernel.told)


def hostile(tmp_path: Path) -> dict[str, bytes]:
    """What must not be shadowed, by the code of the refusal."""
    fine = bundle(tmp_path, DENY_ALL, version=2)
    return {
        "bundle_malformed": b"{}",
        "bundle_truncated": fine[:-40],
        "bundle_not_canonical": fine + b" ",
        "bundle_threshold": build_bundle(tmp_path / "house-2"),
        "bundle_unknown_key": bundle(tmp_path, DENY_ALL, version=3, signers=["mallory"]),
        "bundle_expired": bundle(tmp_path, DENY_ALL, version=4, expires="2026-12-01T00:00:00Z"),
        "bundle_name": bundle(tmp_path, DENY_ALL, name="another"),
        "bundle_version": bundle(tmp_path, DENY_ALL, version=0 + 1),
    }


async def test_a_hostile_candidate_is_refused_with_a_reason_and_nothing_changes(
    system: System, tmp_path: Path, eventually: Eventually
) -> None:
    await system.publish(bundle(tmp_path / ".", ALLOW_READS, version=2))
    kernel, client = await watching(system), await system.client()
    before = (kernel.source.current(), kept(kernel.directory))
    for code, data in hostile(tmp_path).items():
        await put(system, data)
        await eventually(lambda code=code: [entry.get("code") for entry in kernel.told] == [code], why=code)
        assert [decision.verdict for decision in await submit(client)] == [Verdict.ALLOW]
    assert (kernel.source.current(), kept(kernel.directory)) == before
    assert kernel.source.status()["last_error"] is None


async def test_when_the_set_in_force_changes_the_candidate_stands_on_the_new_one(
    system: System, tmp_path: Path, eventually: Eventually
) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    kernel, client = await watching(system), await system.client()
    await put(system, bundle(tmp_path, DENY_OTHER, name="closed"), "closed")
    await eventually(lambda: kernel.told and kernel.told[0]["state"] == "shadowed")
    await system.publish(bundle(tmp_path, HOLD_WRITES, name="writes"))

    async def is_compared() -> bool:
        (decision,) = await submit(client, [job("job.write.all")])
        return decision.verdict is Verdict.REQUIRE_APPROVAL and "same" in kernel.counts().get("submit", {})

    await eventually(is_compared)
    assert kernel.counts()["submit"].keys() <= {"same", "dropped"}


async def test_a_candidate_that_is_published_is_shadowed_no_more(
    system: System, tmp_path: Path, eventually: Eventually
) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    kernel = await watching(system)
    data = bundle(tmp_path, HOLD_WRITES, version=2)
    await put(system, data)
    await eventually(lambda: kernel.told and kernel.told[0]["state"] == "shadowed")
    await system.publish(data)
    await eventually(lambda: [entry.get("code") for entry in kernel.told] == ["published"])


async def test_a_candidate_that_expires_is_shadowed_no_more(
    system: System, tmp_path: Path, eventually: Eventually
) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    kernel = await watching(system)
    await put(system, bundle(tmp_path, DENY_ALL, version=2, expires="2027-06-01T00:00:00Z"))
    await eventually(lambda: kernel.told and kernel.told[0]["state"] == "shadowed")
    system.clock.advance(365 * 86_400)
    await kernel.shadow.refresh()
    assert [entry.get("code") for entry in kernel.told] == ["bundle_expired"]


async def test_of_too_many_candidates_of_an_author_only_the_first_are_shadowed(
    system: System, tmp_path: Path, eventually: Eventually
) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    kernel = await watching(system)
    for number in range(SHADOWS_PER_AUTHOR + 2):
        name = f"extra{number}"
        rules = f"rules: [{{id: r{number}, decision: deny, reason: x, match: {{topics: [job.x]}}}}]"
        await put(system, bundle(tmp_path, rules, name=name), name)
    await eventually(lambda: len(kernel.told) == SHADOWS_PER_AUTHOR + 2)
    assert [entry["state"] for entry in kernel.told] == ["shadowed"] * SHADOWS_PER_AUTHOR + ["refused"] * 2


async def test_a_slow_candidate_is_asked_less_and_answers_come_as_ever(
    system: System, tmp_path: Path, eventually: Eventually
) -> None:
    """A thousand conditions each: what does not fit into the queue is dropped and counted, and never waited for."""
    await system.publish(bundle(tmp_path, ALLOW_READS))
    kernel, client = await watching(system, limits=ShadowLimits(queue_max=8)), await system.client()
    slow = "\n".join(
        f"  - {{id: slow-{n}, decision: deny, reason: x, when: \"job.topic == 'job.{n}'\"}}" for n in range(1000)
    )
    await put(system, bundle(tmp_path, f"rules:\n{slow}\n", version=2))
    await eventually(lambda: kernel.told and kernel.told[0]["state"] == "shadowed")
    decisions = await submit(client, [job() for _ in range(100)])
    assert {decision.verdict for decision in decisions} == {Verdict.ALLOW}
    assert kernel.shadow.waiting <= 8
    assert kernel.counts()["submit"]["dropped"] >= 100 - 2 * 8
    await eventually(lambda: sum(kernel.counts()["submit"].values()) == 100)
    assert kernel.counts()["submit"]["tighter"] >= 1


class Broken:
    """A shadow that fails at everything."""

    def offer(self, _job: Job, _decision: Decision) -> None:
        raise RuntimeError("broken")

    def status(self) -> list[dict[str, object]]:
        return []


async def test_a_shadow_that_fails_takes_nothing_from_an_answer(system: System, tmp_path: Path) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    await watching(system, instead=Broken())
    client = await system.client()
    assert [decision.verdict for decision in await submit(client)] == [Verdict.ALLOW]


async def test_without_a_policy_nothing_is_offered(system: System, tmp_path: Path, eventually: Eventually) -> None:
    """A denial for want of a policy is no decision about the job."""
    kernel, client = await watching(system), await system.client()
    await put(system, bundle(tmp_path, DENY_ALL))
    await eventually(lambda: kernel.told)
    with pytest.raises(NoPolicy):
        await submit(client)
    assert (kernel.shadow.waiting, kernel.counts()) == (0, {})
