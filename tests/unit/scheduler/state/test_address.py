"""Addresses of Redis, and whose word about its primary counts."""

from __future__ import annotations

import secrets

import pytest
from redis.crc import REDIS_CLUSTER_HASH_SLOTS as SLOTS

from holdgate.scheduler.errors import Misconfigured, StateUnavailable
from holdgate.scheduler.state.address import Endpoint, Kind, RedisAddress
from holdgate.scheduler.state.topology import Layout, _decided, _newest, _served

GOOD = [
    ("redis://r", Kind.SINGLE, [("r", 6379)], "", 0),
    ("redis://r:1/3", Kind.SINGLE, [("r", 1)], "", 3),
    ("redis://[::1]:7/0", Kind.SINGLE, [("::1", 7)], "", 0),
    ("redis+sentinel://a,b:2/main", Kind.SENTINEL, [("a", 26379), ("b", 2)], "main", 0),
    ("redis+sentinel://a:1/main/4", Kind.SENTINEL, [("a", 1)], "main", 4),
    ("redis+cluster://a,b:2", Kind.CLUSTER, [("a", 6379), ("b", 2)], "", 0),
]


@pytest.mark.parametrize(("url", "kind", "endpoints", "service", "db"), GOOD)
def test_an_address_is_read(url: str, kind: Kind, endpoints: list[Endpoint], service: str, db: int) -> None:
    address = RedisAddress.parse(url)
    assert (address.kind, list(address.endpoints), address.service, address.db) == (kind, endpoints, service, db)
    assert (address.tls, address.user, address.password) == (None, None, None)
    assert RedisAddress.parse(url.replace("redis", "rediss", 1)).tls is not None


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://r", "scheme"),
        ("redis+single://r", "scheme"),
        ("redis+other://r", "scheme"),
        ("redis://", "a host is missing"),
        ("redis+cluster://a,,b", "a host is missing"),
        ("redis://r:port", "a port"),
        ("redis://a,b", "several hosts"),
        ("redis+sentinel://a:1", "the name of the service"),
        ("redis://r/first", "database is no number"),
        ("redis://r/0/0", "database is no number"),
        ("redis+cluster://a/1", "no databases but 0"),
    ],
)
def test_what_is_no_address_is_refused_with_the_reason(url: str, why: str) -> None:
    with pytest.raises(Misconfigured, match=why):
        RedisAddress.parse(url)


def test_a_password_is_read_and_never_shown() -> None:
    """Sentinels have another one."""
    password = secrets.token_hex(8)
    address = RedisAddress.parse(f"redis+sentinel://%61da:{password}@a/main")
    assert address.user == "ada"
    assert address.password is not None
    assert address.password.get_secret_value() == password
    assert password not in repr(address)
    assert (address.of_sentinels().user, address.of_sentinels().password) == (None, None)


def _says(epoch: int) -> Layout:
    return Layout((Endpoint(f"r{epoch}", 1),), epoch=epoch)


def test_the_newest_decision_counts_and_one_left_behind_does_not() -> None:
    assert _newest([_says(3), None, _says(4)], 3) == _says(4)
    with pytest.raises(StateUnavailable, match="nobody says"):
        _newest([None, None], 0)
    with pytest.raises(StateUnavailable, match="know less"):
        _newest([_says(3), None, None], 4)


def test_sentinels_that_were_set_up_anew_are_believed_once_most_answer() -> None:
    assert _newest([_says(1), _says(0), None], 4) == _says(1)


@pytest.mark.parametrize("replies", [[[b"r"], []], [[b"r", b"port"], []], [[b"r", b"1"], [b"odd"]], [b"OK", b"OK"]])
def test_a_sentinel_that_makes_no_sense_is_as_one_that_is_away(replies: list[object]) -> None:
    assert _decided(replies) is None
    assert _decided([[b"r", b"1"], [b"config-epoch", b"7"]]) == Layout((Endpoint("r", 1),), epoch=7)


NODE = Endpoint("asked", 7000)
INFO = b"cluster_state:ok\r\ncluster_current_epoch:5\r\n"


@pytest.mark.parametrize(
    "replies",
    [
        [b"OK", b"OK"],
        [None, [[0, 5, [b"r", 1]]]],
        [INFO, [[0, 5]]],
        [INFO, [[0, 5, []]]],
        [INFO, [[0, 5, [b"r", b"port"]]]],
        [INFO, [[0, SLOTS, [b"r", 1]]]],
        [b"cluster_current_epoch:high", [[0, 5, [b"r", 1]]]],
    ],
)
def test_a_node_that_makes_no_sense_is_as_one_that_is_away(replies: list[object]) -> None:
    assert _served(NODE, replies) is None


def test_a_node_names_slots_and_means_itself_where_it_knows_no_name() -> None:
    found = _served(NODE, [INFO, [[0, 1, [None, 7000]], [3, 3, [b"r", 1]]]])
    assert found is not None
    assert (found.primaries, found.epoch) == ((NODE, Endpoint("r", 1)), 5)
    assert found.slots is not None
    assert found.slots[:5] == (0, 0, -1, 1, -1)
