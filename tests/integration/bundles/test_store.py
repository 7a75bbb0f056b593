"""The bundle store on a real JetStream: what it keeps, who wrote it, and two who write at once."""

from __future__ import annotations

import asyncio

import pytest
from nats.aio.client import Client as Nats
from nats.js.api import KeyValueConfig
from nats.js.errors import APIError

from holdgate.bundles.errors import BundleConflict, StoreUnavailable
from holdgate.bundles.store import (
    HISTORY,
    PUBLISHER,
    PUBLISHER_CHARS_MAX,
    STREAM,
    SUBJECT_PREFIX,
    BundleStore,
    Note,
    StoredBundle,
    shadow_store,
)
from holdgate.kernel.subjects import BUCKET_POLICY


@pytest.fixture
async def store(nc: Nats) -> BundleStore:
    made = BundleStore(nc)
    await made.ensure()
    return made


async def kept(store: BundleStore, name: str) -> list[StoredBundle]:
    return [stored async for stored in store.history(name)]


async def test_the_history_is_what_was_put_oldest_first_with_who_and_when(store: BundleStore) -> None:
    first = await store.put("house", b"one", after_revision=None, note=Note("default/ann", accepted_widening=True))
    await store.put("other", b"else", after_revision=None)
    await store.put("house", b"two", after_revision=first)
    one, two = await kept(store, "house")
    assert (one.data, one.revision, one.note) == (b"one", first, Note("default/ann", accepted_widening=True))
    assert (two.data, two.note) == (b"two", Note())
    assert 0 < one.published_ms <= two.published_ms
    assert await kept(store, "nothing") == []
    assert await store.get("house") == two
    assert await store.get("nothing") is None


async def test_a_store_that_is_not_there_is_no_empty_store(nc: Nats) -> None:
    store = BundleStore(nc)
    for look in (store.get("house"), kept(store, "house"), store.revisions()):
        with pytest.raises(StoreUnavailable):
            await look


async def test_the_history_is_as_long_as_the_bucket_keeps(store: BundleStore) -> None:
    revision = None
    for number in range(HISTORY + 5):
        revision = await store.put("house", str(number).encode(), after_revision=revision)
    assert [stored.data for stored in await kept(store, "house")] == [
        str(number).encode() for number in range(5, HISTORY + 5)
    ]


async def test_a_bucket_that_keeps_less_is_made_to_keep_more(nc: Nats) -> None:
    await nc.jetstream().create_key_value(KeyValueConfig(bucket=BUCKET_POLICY, history=20))
    store = BundleStore(nc)
    await store.put("house", b"one", after_revision=None)
    await store.ensure()
    assert (await nc.jetstream().stream_info(STREAM)).config.max_msgs_per_subject == HISTORY
    assert len(await kept(store, "house")) == 1


@pytest.mark.parametrize("was_there", [False, True])
async def test_nobody_can_take_the_log_back(nc: Nats, was_there: bool) -> None:
    """Also where the bucket was made as key-value buckets are made: its messages may take all others away."""
    js = nc.jetstream()
    if was_there:
        await js.create_key_value(KeyValueConfig(bucket=BUCKET_POLICY, history=HISTORY))
    store = BundleStore(nc)
    await store.ensure()
    await store.put("house", b"one", after_revision=None)
    for which in ("sub", "all"):
        with pytest.raises(APIError, match="rollup"):
            await js.publish(f"{SUBJECT_PREFIX}house", b"", headers={"Nats-Rollup": which})
    with pytest.raises(APIError):
        await js.purge_stream(STREAM)
    with pytest.raises(APIError):
        await js.delete_msg(STREAM, 1)
    assert [stored.data for stored in await kept(store, "house")] == [b"one"]


async def test_a_publisher_cannot_write_a_header_of_its_own(store: BundleStore) -> None:
    await store.put("house", b"one", after_revision=None, note=Note("ann\r\nHoldgate-Accepted-Widening: true\x00é"))
    (stored,) = await kept(store, "house")
    assert stored.note == Note("annHoldgate-Accepted-Widening:true")


async def test_a_publisher_is_read_as_it_would_be_written(store: BundleStore, nc: Nats) -> None:
    """Whoever has the store writes headers as they like."""
    headers = {PUBLISHER: "an\x1b[2Jn\x9b" + "n" * 900}
    await nc.jetstream().publish(SUBJECT_PREFIX + "house", b"one", headers=headers)
    (stored,) = await kept(store, "house")
    assert stored.note.publisher.startswith("an[2Jnn")
    assert len(stored.note.publisher) == PUBLISHER_CHARS_MAX


async def test_of_two_who_write_after_the_same_revision_one_is_told(store: BundleStore) -> None:
    first = await store.put("house", b"one", after_revision=None)
    results = await asyncio.gather(
        *(store.put("house", data, after_revision=first) for data in (b"mine", b"theirs")), return_exceptions=True
    )
    assert sorted(type(result) for result in results if not isinstance(result, int)) == [BundleConflict]
    assert len(await kept(store, "house")) == 2


async def test_a_write_to_another_name_is_a_conflict_for_who_looked_at_the_whole_store(store: BundleStore) -> None:
    seen = (await store.revisions())[""]
    await store.put("other", b"else", after_revision=None)
    with pytest.raises(BundleConflict):
        await store.put("house", b"one", after_revision=None, unchanged_since=seen)
    assert await store.get("house") is None
    await store.put("house", b"one", after_revision=None, unchanged_since=seen + 1)


async def test_writing_a_candidate_is_no_conflict_for_who_publishes(store: BundleStore) -> None:
    shadows = shadow_store(store._nc)
    await shadows.ensure()
    seen = (await store.revisions())[""]
    first = await shadows.put("house", b"candidate", after_revision=None)
    await shadows.remove("house")
    await shadows.put("house", b"again", after_revision=None)
    await store.put("house", b"one", after_revision=None, unchanged_since=seen)
    held = await shadows.get("house")
    assert (first, held and held.data, await shadows.names()) == (1, b"again", ["house"])
    assert await store.names() == ["house"]


async def test_what_was_removed_can_be_published_again_and_is_still_history(store: BundleStore) -> None:
    await store.put("house", b"one", after_revision=None)
    await store.remove("house")
    assert await store.get("house") is None
    await store.put("house", b"two", after_revision=None)
    assert [stored.data for stored in await kept(store, "house")] == [b"one", b"two"]
