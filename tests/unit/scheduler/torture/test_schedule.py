"""What is broken when: the same for the same seed, everything at least once, nothing beside what it must not meet."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from holdgate.kernel.errors import InvalidInput
from holdgate.scheduler.cli.torture import chosen
from holdgate.scheduler.torture.breaking import goes_on
from holdgate.scheduler.torture.cluster import Topology
from holdgate.scheduler.torture.faults import CATALOG
from holdgate.scheduler.torture.schedule import BOUNDED, Pace, Step, steps

ALL = tuple(CATALOG)


def first(seed: int, count: int, names: tuple[str, ...] = ALL) -> list[Step]:
    return list(itertools.islice(steps(seed, names, BOUNDED), count))


def test_the_same_seed_breaks_the_same_in_the_same_order() -> None:
    assert first(7, 200) == first(7, 200)
    assert first(7, 200) != first(8, 200)


def test_each_fault_comes_alone_before_anything_comes_twice() -> None:
    begin = first(3, len(ALL))
    assert sorted(fault for step in begin for fault in step.faults) == sorted(ALL)
    assert all(len(step.faults) == 1 for step in begin)


def test_a_mix_has_different_faults_and_none_that_needs_the_servers_whole() -> None:
    mixes = [step.faults for step in first(1, 500) if len(step.faults) > 1]
    assert len(mixes) > 100
    assert all(len(set(mix)) == len(mix) for mix in mixes)
    assert not any(CATALOG[fault].alone for mix in mixes for fault in mix)


def test_a_single_fault_is_repeated_alone() -> None:
    assert {step.faults for step in first(1, 20, ("nats-wiped",))} == {("nats-wiped",)}


def test_every_fault_lasts_as_long_as_the_pace_says() -> None:
    pace = Pace(hold_s=(1.0, 2.0), long_s=20.0)
    for step in itertools.islice(steps(1, ALL, pace), 100):
        if any(CATALOG[name].lasts for name in step.faults):
            assert step.hold_s == 20.0
        else:
            assert 1.0 <= step.hold_s <= 2.0


def test_faults_are_known_by_their_own_names() -> None:
    assert {name: entry.make().name for name, entry in CATALOG.items()} == {name: name for name in CATALOG}


def test_names_on_the_command_line_are_those_of_the_catalog() -> None:
    assert chosen(None) == ALL
    assert chosen("cut, loss") == ("cut", "loss")
    with pytest.raises(InvalidInput, match="no such fault: `fire`; there are kill-process"):
        chosen("cut,fire")
    with pytest.raises(InvalidInput):
        chosen("")


def test_the_page_names_every_fault_and_whether_tests_break_it() -> None:
    """Once in the table, and once where it says what is tried when."""
    page = (Path(__file__).parents[4] / "docs/how-to/torture.md").read_text()
    assert [name for name in CATALOG if page.count(f"`{name}`") < 2] == []


@pytest.mark.parametrize(
    ("fault", "target", "must"),
    [
        ("kill-process", "api-1", True),
        ("pause-process", "kernel-2", True),
        ("kill-process", "auditor-1", True),
        ("kill-server", "nats-3", True),
        ("kill-server", "sentinel-1", True),
        ("kill-server", "redis-2", False),
        ("stream-leader", "JOBS", True),
        ("kernels-away", "every kernel", False),
        ("cut", "api-1 ↔ redis-1", False),
        ("redis-lost", "every redis", False),
    ],
)
def test_the_service_must_go_on_where_others_are_there(fault: str, target: str, must: bool) -> None:
    assert goes_on(Topology(), fault, target) is must
    assert not goes_on(Topology(nats=1, apis=1, kernels=1, auditors=0), fault, "nats-1" if must else target)
