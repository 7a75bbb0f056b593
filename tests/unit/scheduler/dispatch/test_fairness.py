"""Fair shares: what each tenant gets while it has work, whatever the others do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdgate.scheduler.dispatch.config import DispatchConfig
from holdgate.scheduler.dispatch.fairness import FairShare, check_weights


def test_one_tenant_gets_everything_when_nobody_else_has_work() -> None:
    assert FairShare().allot(["a"], 64) == {"a": 64}


def test_nobody_gets_anything_when_nobody_has_work() -> None:
    assert FairShare().allot([], 64) == {}


def test_asks_for_one_job_go_round_like_one_large_ask() -> None:
    fair = FairShare()
    assert [next(iter(fair.allot("abc", 1))) for _ in range(6)] == list("abcabc")


def test_shares_follow_the_weights() -> None:
    assert FairShare({"a": 3}).allot("ab", 40) == {"a": 30, "b": 10}


def test_a_tenant_that_ran_dry_comes_back_without_saved_up_credit() -> None:
    fair = FairShare({"a": 100})
    fair.allot("ab", 1)
    fair.ran_dry("a")
    fair.allot("b", 50)
    assert fair.allot("ab", 101)["a"] <= 100


def test_jobs_that_could_not_run_are_given_back_to_the_tenant_s_share() -> None:
    fair = FairShare()
    assert fair.allot("ab", 2) == {"a": 1, "b": 1}
    fair.give_back("a", 1)
    assert fair.allot("ab", 3) == {"a": 2, "b": 1}


@pytest.mark.parametrize("weight", [0, -1, 1001])
def test_a_weight_out_of_bounds_is_refused(weight: int) -> None:
    with pytest.raises(ValueError, match="weight of tenant `a`"):
        check_weights({"a": weight})


@pytest.mark.parametrize("changes", [{"in_flight_max": 0}, {"lease_ms": 1000}, {"weights": {"a": 0}}])
def test_settings_that_do_not_hold_together_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must"):
        DispatchConfig(**changes)  # type: ignore[arg-type]


@given(
    weights=st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 5), min_size=2),
    asks=st.lists(st.integers(1, 64), min_size=1, max_size=60),
)
def test_over_any_stretch_a_backlogged_tenant_gets_its_share_to_within_a_round(
    weights: dict[str, int], asks: list[int]
) -> None:
    fair = FairShare(weights)
    taken = dict.fromkeys(weights, 0)
    for n in asks:
        shares = fair.allot(weights, n)
        assert sum(shares.values()) == n
        for tenant, share in shares.items():
            taken[tenant] += share
    rounds = sum(asks) / sum(weights.values())
    for tenant, weight in weights.items():
        assert abs(taken[tenant] - rounds * weight) <= weight + 1


@given(
    asks=st.lists(
        st.tuples(st.integers(1, 32), st.sets(st.sampled_from("bcdefgh")), st.sampled_from(["", *"bcdefgh"])),
        min_size=1,
        max_size=80,
    )
)
def test_others_that_come_and_go_cannot_push_a_backlogged_tenant_below_its_share(
    asks: list[tuple[int, set[str], str]],
) -> None:
    fair = FairShare()
    fair_part, got = 0.0, 0
    for n, others, dry in asks:
        shares = fair.allot({"a", *others}, n)
        got += shares.get("a", 0)
        fair_part += n / 8  # as if all others had been there all the time
        if dry:
            fair.ran_dry(dry)
    assert got >= fair_part - 2
