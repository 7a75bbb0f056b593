"""How old a bundle is, to the millisecond, and what a kernel makes of its store."""

from __future__ import annotations

import pytest

from holdgate.bundles.freshness import SOON_MS_MAX, Freshness, count_by_freshness, freshness_of, root_freshness
from holdgate.bundles.stamp import FROZEN_AFTER_S, Delivered, Stamp, StampedBundle, StoreState, judge_store
from holdgate.kernel.ids import Digest
from holdgate.kernel.trust import BundleInfo

DAY_MS = 86_400_000
EXPIRES_MS = 1_000 * DAY_MS
ENDS_MS = EXPIRES_MS + 7 * DAY_MS
DIGEST = "sha256:" + "1" * 64
OTHER = "sha256:" + "2" * 64


def info(valid_from_ms: int = 0) -> BundleInfo:
    return BundleInfo("house", 1, Digest(DIGEST), (), valid_from_ms, EXPIRES_MS, ENDS_MS, 1)


@pytest.mark.parametrize(
    ("now_ms", "age"),
    [
        (0, "fresh"),
        (EXPIRES_MS - SOON_MS_MAX - 1, "fresh"),
        (EXPIRES_MS - SOON_MS_MAX, "expires_soon"),
        (EXPIRES_MS - 1, "expires_soon"),
        (EXPIRES_MS, "grace"),
        (ENDS_MS - 1, "grace"),
        (ENDS_MS, "expired"),
    ],
)
def test_the_ages_of_a_bundle(now_ms: int, age: str) -> None:
    assert freshness_of(info(), now_ms) == age


@pytest.mark.parametrize(("left_days", "age"), [(3, "fresh"), (2, "expires_soon")])
def test_a_short_life_is_over_soon_in_its_last_tenth(left_days: int, age: str) -> None:
    assert freshness_of(info(EXPIRES_MS - 20 * DAY_MS), EXPIRES_MS - left_days * DAY_MS) == age


@pytest.mark.parametrize(
    ("now_ms", "age"),
    [(EXPIRES_MS - SOON_MS_MAX - 1, "fresh"), (EXPIRES_MS - 1, "expires_soon"), (EXPIRES_MS, "expired")],
)
def test_the_ages_of_a_root(now_ms: int, age: str) -> None:
    assert root_freshness(EXPIRES_MS, now_ms) == age


def test_a_root_counts_beside_its_bundles_and_every_age_is_there() -> None:
    assert count_by_freshness((), EXPIRES_MS, 0) == {
        Freshness.FRESH: 1,
        Freshness.EXPIRES_SOON: 0,
        Freshness.GRACE: 0,
        Freshness.EXPIRED: 0,
    }


STAMPED = Stamp(time_ms=1, bundles={"house": StampedBundle(version=2, digest=DIGEST)})
AGO_MS = FROZEN_AFTER_S * 1000


@pytest.mark.parametrize(
    ("delivered", "state"),
    [
        ({"house": Delivered(frozenset({DIGEST}), 2)}, "fresh"),
        ({"house": Delivered(frozenset({OTHER}), 3)}, "fresh"),
        ({"house": Delivered(frozenset({OTHER, DIGEST}), 0)}, "fresh"),
        ({"house": Delivered(frozenset({OTHER}), 2)}, "withheld"),
        ({"house": Delivered(frozenset({OTHER}), 1)}, "withheld"),
        ({"house": Delivered(frozenset(), 0)}, "withheld"),
        ({"other": Delivered(frozenset({DIGEST}), 9)}, "withheld"),
        ({}, "withheld"),
    ],
)
def test_what_a_store_delivers_beside_what_is_stamped(delivered: dict[str, Delivered], state: str) -> None:
    assert judge_store(STAMPED, 1, delivered, 2, is_whole=True) == state


@pytest.mark.parametrize(("now_ms", "state"), [(1 + AGO_MS, StoreState.FRESH), (2 + AGO_MS, StoreState.FROZEN)])
def test_a_stamp_is_old_after_four_that_did_not_come(now_ms: int, state: StoreState) -> None:
    delivered = {"house": Delivered(frozenset({DIGEST}), 2)}
    assert judge_store(STAMPED, 1, delivered, now_ms, is_whole=True) is state


def test_without_a_stamp_only_what_was_in_force_can_be_missed() -> None:
    assert judge_store(None, 0, {}, 1, is_whole=True) is StoreState.UNSTAMPED
    assert judge_store(None, 0, {}, 1, is_whole=False) is StoreState.WITHHELD
    assert judge_store(None, 1, {}, 2 + AGO_MS, is_whole=True) is StoreState.FROZEN
