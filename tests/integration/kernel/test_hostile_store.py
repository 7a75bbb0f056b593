"""A store in wrong hands: whatever is written into it, nothing that is decided changes, and every kernel says why."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nats.js.errors import Error as JetStreamError

from holdgate.bundles.errors import BundleConflict, BundleOutdated
from holdgate.bundles.root import Scope
from holdgate.bundles.store import STREAM, SUBJECT_PREFIX
from holdgate.kernel.canonical import canonical_bytes
from holdgate.kernel.client import KernelClient
from holdgate.kernel.ids import NAME
from holdgate.kernel.records import Decision, Phase, Verdict
from support.trust import ALLOW_READS, HOLD_WRITES, bundle, job
from support.waiting import Eventually

from .conftest import Kernel, System

ALLOW_ALL = "rules:\n  - {id: allow-all, decision: allow, reason: mine now}\n"
DENY_ALL = "rules:\n  - {id: deny-all, decision: deny, reason: closed by mallory}\n"


async def ask(client: KernelClient, topic: str = "job.read.all") -> Decision:
    return (await client.decide_fresh([job(topic)], Phase.SIMULATE))[0]


def codes(kernel: Kernel) -> list[str]:
    """Of what was refused, newest last."""
    return [event.code for event in kernel.source.events(0) if event.kind == "refused"]


def snapshot(kernel: Kernel) -> str | None:
    active = kernel.source.current()
    return None if active is None else active.snapshot


def with_parts_of(one: bytes, other: bytes, *parts: str) -> bytes:
    """`one` with the `parts` of `other`, in canonical form."""
    document, source = json.loads(one), json.loads(other)
    document.update({part: source[part] for part in parts})
    return canonical_bytes(document)


Attack = Callable[[Path, bytes], bytes]
WITH_SIGNED_FILES: dict[str, tuple[Attack, str]] = {
    "files of another": (lambda place, good: with_parts_of(good, _other(place), "files"), "bundle_files"),
    "manifest of another": (lambda place, good: with_parts_of(good, _other(place), "manifest"), "bundle_files"),
    "signatures of another": (lambda place, good: with_parts_of(good, _other(place), "signatures"), "bundle_signature"),
    "files and manifest of another": (
        lambda place, good: with_parts_of(good, _other(place), "files", "manifest"),
        "bundle_signature",
    ),
    "another bundle under this name": (lambda place, _: _other(place), "bundle_name"),
}
HOSTILE: dict[str, tuple[Attack, str]] = {
    **WITH_SIGNED_FILES,
    "nothing": (lambda _place, _good: b"", "bundle_truncated"),
    "rubbish": (lambda _place, _good: bytes(range(256)) * 100, "bundle_malformed"),
    "a file cut off": (lambda _place, good: good[:-100], "bundle_truncated"),
    "one bit changed": (
        lambda _place, good: good.replace(b'"version":5', b'"version":7', 1),
        "bundle_signature",
    ),
    "an unknown key": (lambda place, _: bundle(place, ALLOW_ALL, version=6, signers=["mallory"]), "bundle_unknown_key"),
    "no signature": (lambda place, _: bundle(place, ALLOW_ALL, version=6, signers=[]), "bundle_threshold"),
    "an old bundle": (lambda place, _: bundle(place, ALLOW_ALL, version=4), "bundle_version"),
    "other content in the same version": (
        lambda place, _: bundle(place / "again", ALLOW_ALL, version=5),
        "bundle_version_reused",
    ),
    "an expired bundle": (
        lambda place, _: bundle(place, ALLOW_ALL, version=6, expires="2020-01-01T00:00:00Z"),
        "bundle_expired",
    ),
    "a bundle of the future": (
        lambda place, _: bundle(place, ALLOW_ALL, version=6, more='valid_from: "2030-01-01T00:00:00Z"\n'),
        "bundle_not_yet",
    ),
    "rules beyond the scope": (
        lambda place, _: bundle(place, ALLOW_ALL, version=6, scope='{tenants: [acme], topics: [">"]}'),
        "bundle_reach",
    ),
    "a bomb": (lambda place, _: bundle(place, "a: &a [x]\nb: [*a, *a]\n", version=6), "yaml_alias"),
    "rules that do not load": (lambda place, _: bundle(place, "rules: [{id: x}]\n", version=6), "policy_invalid"),
    "a narrower author": (
        lambda place, _: bundle(place, ALLOW_ALL, version=6, signers=["team"]),
        "bundle_scope",
    ),
}


def _other(place: Path) -> bytes:
    """A whole and valid bundle of another name."""
    return bundle(place, ALLOW_ALL, name="other", version=9)


@pytest.mark.parametrize(("attack", "code"), HOSTILE.values(), ids=HOSTILE)
async def test_a_hostile_publish_changes_nothing_and_is_told(
    system: System, tmp_path: Path, eventually: Eventually, attack: Attack, code: str
) -> None:
    (tmp_path / "again").mkdir()
    system.ceremony.authors = ("author", "team")
    system.ceremony.scopes = {"team": Scope(tenants=["acme"])}
    good = bundle(tmp_path, ALLOW_READS, version=5)
    await system.publish(good)
    kernel = await system.kernel()
    client = await system.client()
    before = await ask(client)
    await system.put("house", attack(tmp_path, good))
    await eventually(lambda: codes(kernel) == [code], why=f"{code}, and not {codes(kernel)}")
    after = await ask(client)
    assert (after.verdict, after.snapshot) == (Verdict.ALLOW, before.snapshot)
    assert (await ask(client, "job.write.x")).verdict is Verdict.DENY
    problem = kernel.source.status()["last_error"]
    assert isinstance(problem, dict)
    assert (problem["bundle"], problem["code"]) == ("house", code)
    await kernel.stop()
    kernel = await system.kernel()
    assert (await ask(client)).snapshot == before.snapshot, "nor after a restart"
    assert codes(kernel) == [code]


async def test_keys_that_no_bundle_can_have_do_not_keep_kernels_from_the_others(system: System, tmp_path: Path) -> None:
    """Nor are they looked at, or told of: whoever may write could choose what stands in the audit trail."""
    for key in ("a$b", "a.b", "UPPER", "_x", "a=b", "-", "x" * 100, "a/b"):
        await system.nc.jetstream().publish(SUBJECT_PREFIX + key, b"x")
    for number in range(150):
        await system.nc.jetstream().publish(f"{SUBJECT_PREFIX}a{number}", b"x")
    await system.put("house", bundle(tmp_path, ALLOW_READS))
    assert all(name == "" or NAME.match(name) for name in await system.store.revisions())
    kernel = await system.kernel()
    assert kernel.source.status()["store"] == "ok"
    await system.put("house", bundle(tmp_path, ALLOW_ALL, version=2))
    await kernel.source.refresh()
    active = kernel.source.current()
    assert active is not None
    assert active.bundles[0].version == 2


async def test_a_store_rolled_back_under_a_running_kernel(
    system: System, tmp_path: Path, eventually: Eventually
) -> None:
    """The whole stream as it was before: lower revisions, older files."""
    old, new = bundle(tmp_path, ALLOW_ALL, version=1), bundle(tmp_path, DENY_ALL, version=2)
    await system.put("house", old)
    await system.put("house", new)
    kernel = await system.kernel()
    client = await system.client()
    await system.nc.jetstream().delete_stream(STREAM)
    await system.store.ensure()
    await system.nc.jetstream().publish(SUBJECT_PREFIX + "house", old)
    await eventually(lambda: codes(kernel) == ["bundle_version"])
    assert (await ask(client)).reason == "closed by mallory"
    await kernel.stop()
    kernel = await system.kernel()
    assert codes(kernel) == ["bundle_version"]
    assert (await ask(client)).reason == "closed by mallory"


async def test_a_deleted_bundle_stays_in_force(system: System, tmp_path: Path) -> None:
    """Taking one out of the store takes no rule out of force: that would need no signature."""
    await system.put("house", bundle(tmp_path, DENY_ALL))
    kernel = await system.kernel()
    await system.store.remove("house")
    await kernel.source.refresh()
    assert (await ask(await system.client())).reason == "closed by mallory"
    stamp = kernel.source.status()["stamp"]
    assert isinstance(stamp, dict)
    assert stamp["state"] == "withheld"


async def test_an_old_bundle_replayed_after_its_author_was_replaced(system: System, tmp_path: Path) -> None:
    """A root without the old key: what it signed is dropped, its replay refused, and a higher version of it too."""
    system.ceremony.authors = ("old", "new")
    first = bundle(tmp_path, ALLOW_READS, signers=["old"])
    await system.put("house", first)
    kernel = await system.kernel()
    client = await system.client()
    assert (await ask(client)).verdict is Verdict.ALLOW
    system.ceremony = system.ceremony.next(authors=("new",))
    (tmp_path / "root.json").write_bytes(system.ceremony.signed_root())
    await kernel.source.refresh()
    assert (await ask(client)).verdict is Verdict.DENY
    await system.put("house", bundle(tmp_path, ALLOW_READS, version=2, signers=["new"]))
    await kernel.source.refresh()
    assert (await ask(client)).verdict is Verdict.ALLOW
    before = snapshot(kernel)
    for hostile, code in (
        (first, "bundle_unknown_key"),
        (bundle(tmp_path, ALLOW_ALL, version=3, signers=["old"]), "bundle_unknown_key"),
    ):
        await system.put("house", hostile)
        await kernel.source.refresh()
        assert codes(kernel)[-1] == code
        assert snapshot(kernel) == before


async def test_of_two_authors_who_publish_at_once_one_is_told(system: System, tmp_path: Path) -> None:
    """Whoever read the same revision: exactly one write counts, and what is in force is what was stored last."""
    await system.publish(bundle(tmp_path, ALLOW_READS))
    held = await system.store.get("house")
    assert held is not None
    files = [bundle(tmp_path, HOLD_WRITES, version=2), bundle(tmp_path, ALLOW_ALL, version=3)]
    results: list[Any] = await asyncio.gather(
        *(system.store.put("house", data, after_revision=held.revision) for data in files), return_exceptions=True
    )
    assert sorted(isinstance(result, BundleConflict) for result in results) == [False, True]
    told = await asyncio.gather(*map(system.publish, files), return_exceptions=True)
    assert all(result is None or isinstance(result, BundleConflict | BundleOutdated) for result in told)
    kernel = await system.kernel()
    active, stored = kernel.source.current(), await system.store.get("house")
    assert active is not None
    assert stored is not None
    assert stored.data in files
    assert active.bundles[0].version == files.index(stored.data) + 2


async def test_three_kernels_come_to_the_same_snapshot(system: System, tmp_path: Path, eventually: Eventually) -> None:
    kernels = [await system.kernel(f"k{number}") for number in range(3)]
    for version in range(1, 4):
        await system.put("house", bundle(tmp_path, ALLOW_READS, version=version))
        await system.put("writes", bundle(tmp_path, HOLD_WRITES, name="writes", version=version))
        await system.put("house", b"{")
    await system.put("house", bundle(tmp_path, ALLOW_READS, version=4))
    late = await system.kernel("k9")

    def agree() -> bool:
        return len({snapshot(kernel) for kernel in (*kernels, late)}) == 1 and snapshot(late) is not None

    await eventually(agree, why=str([snapshot(kernel) for kernel in (*kernels, late)]))
    client = await system.client()
    statuses = await client.status()
    assert len({status.snapshot for status in statuses}) == 1
    assert {status.replica for status in statuses} == {"k0", "k1", "k2", "k9"}
    assert all(status.source["dropped"] == [] for status in statuses)


async def test_a_kernel_without_a_store_decides_and_says_that_it_has_none(system: System, tmp_path: Path) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    kernel = await system.kernel()
    before = snapshot(kernel)
    await kernel.stop()
    await system.nc.jetstream().delete_stream(STREAM)
    kernel = await system.kernel()
    assert snapshot(kernel) == before
    assert kernel.source.status()["store"] == "unavailable"
    assert (await ask(await system.client())).verdict is Verdict.ALLOW


async def test_rules_that_move_between_bundles_are_taken_together(system: System, tmp_path: Path) -> None:
    """Whichever order they are stored in: a kernel that saw only one of them tries again with the other."""
    rules = "rules:\n  - {{id: {}, decision: deny, reason: x}}\n"
    for name, rule in (("a", "one"), ("b", "two")):
        await system.put(name, bundle(tmp_path, rules.format(rule), name=name))
    kernel = await system.kernel()
    await system.put("a", bundle(tmp_path, rules.format("two"), name="a", version=2))
    await kernel.source.refresh()
    assert codes(kernel) == ["bundle_set"]
    await system.put("b", bundle(tmp_path, rules.format("one"), name="b", version=2))
    await kernel.source.refresh()
    active = kernel.source.current()
    assert active is not None
    assert {info.name: info.version for info in active.bundles} == {"a": 2, "b": 2}


async def test_the_server_refuses_a_write_after_an_older_revision(system: System, tmp_path: Path) -> None:
    data = bundle(tmp_path, ALLOW_READS)
    revision = await system.store.put("house", data, after_revision=None)
    with pytest.raises((BundleConflict, JetStreamError)):
        await system.store.put("house", data, after_revision=revision - 1)


async def test_a_revoked_author_closes_what_it_ruled_over_on_every_kernel_and_after_a_restart(
    system: System, tmp_path: Path
) -> None:
    """A stolen key is taken out of the root: its bundle counts no more, another's goes on, and all replicas agree."""
    system.ceremony.authors = ("author", "stolen")
    scope = '{tenants: ["*"], topics: ["job.write.>"]}'
    rules = 'rules:\n  - {id: open, decision: allow, reason: mine, match: {topics: ["job.write.>"]}}\n'
    await system.put("house", bundle(tmp_path, ALLOW_READS))
    await system.put("writes", bundle(tmp_path, rules, name="writes", scope=scope, signers=["stolen"]))
    kernels = [await system.kernel(f"k{number}") for number in range(3)]
    client = await system.client()
    assert (await ask(client, "job.write.x")).verdict is Verdict.ALLOW
    system.ceremony = system.ceremony.next(authors=("author",))
    (tmp_path / "root.json").write_bytes(system.ceremony.signed_root())
    for kernel in kernels:
        await kernel.source.refresh()
    await kernels[0].stop()
    kernels[0] = await system.kernel("k0")
    assert len({snapshot(kernel) for kernel in kernels}) == 1
    for kernel in kernels:
        assert kernel.source.status()["dropped"] == [{"name": "writes", "version": 1, "code": "bundle_unknown_key"}]
        assert [event.code for event in kernel.source.events(0) if event.kind == "dropped"] == ["bundle_unknown_key"]
    assert (await ask(client, "job.write.x")).deciding == ("holdgate.dropped.writes",)
    assert (await ask(client)).verdict is Verdict.ALLOW
    await system.put("writes", bundle(tmp_path, rules, name="writes", scope=scope, version=2))
    for kernel in kernels:
        await kernel.source.refresh()
    assert (await ask(client, "job.write.x")).verdict is Verdict.ALLOW


async def test_a_root_of_an_attacker_changes_nothing(system: System, tmp_path: Path) -> None:
    """Signed by keys of its own, by which it would let in an author of its own."""
    await system.put("house", bundle(tmp_path, ALLOW_READS))
    kernel = await system.kernel()
    client = await system.client()
    before = await ask(client)
    theirs = system.ceremony.next(root_keys=("mallory",), authors=("mallory",), older=None, version=9)
    (tmp_path / "root.json").write_bytes(theirs.signed_root())
    await system.put("house", bundle(tmp_path, ALLOW_ALL, version=2, signers=["mallory"]))
    await kernel.source.refresh()
    assert codes(kernel) == ["root_threshold", "bundle_unknown_key"]
    assert (await ask(client)).snapshot == before.snapshot
    assert (await ask(client, "job.write.x")).verdict is Verdict.DENY
