"""The decision cache: what it may give out, to whom, and for how long."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from holdgate.kernel.cache import DecisionCache, job_key
from holdgate.kernel.canonical import digest
from holdgate.kernel.conditions import ALL_READS
from holdgate.kernel.ids import Digest
from holdgate.kernel.records import JOB_FIELDS, NOT_HASHED, Decision, Job, Phase, Priority, Verdict
from support.trust import NOW_MS, SetClock, job

FIELDS = ("topic", "labels.env", "payload")


def decision(about: Job, snapshot: str = "s1", *, cacheable: bool = True) -> Decision:
    return Decision(
        verdict=Verdict.ALLOW,
        reason="fine",
        snapshot=Digest(snapshot),
        job_hash=about.job_hash(),
        phase=Phase.SUBMIT,
        decided_ms=NOW_MS,
        cacheable=cacheable,
    )


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def cache(clock: SetClock) -> DecisionCache:
    made = DecisionCache(clock, entries_max=3, ttl_s=5)
    made.use(Digest("s1"), FIELDS)
    return made


def test_a_hit_is_made_out_to_the_job_that_asks(cache: DecisionCache) -> None:
    one, other = job(), job(actor="somebody-else")
    cache.put(one, decision(one))
    found = cache.get(other)
    assert found is not None
    assert found.job_hash == other.job_hash() != one.job_hash()


def test_a_decision_is_given_out_for_five_seconds(cache: DecisionCache, clock: SetClock) -> None:
    cache.put(job(), decision(job()))
    clock.advance(4.9)
    assert cache.get(job()) is not None
    clock.advance(0.2)
    assert cache.get(job()) is None


def test_another_snapshot_drops_everything(cache: DecisionCache) -> None:
    cache.put(job(), decision(job()))
    assert cache.use(Digest("s2"), FIELDS)
    assert len(cache) == 0
    cache.use(Digest("s1"), FIELDS)
    assert cache.get(job()) is None


def test_other_reads_drop_everything(cache: DecisionCache) -> None:
    cache.put(job(), decision(job()))
    assert cache.use(Digest("s1"), [*FIELDS, "actor"])
    assert cache.get(job()) is None


def test_the_same_announcement_again_drops_nothing(cache: DecisionCache) -> None:
    cache.put(job(), decision(job()))
    assert not cache.use(Digest("s1"), reversed(FIELDS))
    assert cache.get(job()) is not None


def test_a_late_reply_is_not_stored_under_the_new_snapshot(cache: DecisionCache) -> None:
    late = decision(job(), "s1")
    cache.use(Digest("s2"), FIELDS)
    cache.put(job(), late)
    assert len(cache) == 0


def test_a_reply_from_ahead_of_the_announcement_is_not_stored(cache: DecisionCache) -> None:
    cache.put(job(), decision(job(), "s2"))
    assert cache.get(job()) is None


def test_what_may_not_be_cached_is_not(cache: DecisionCache) -> None:
    cache.put(job(), decision(job(), cacheable=False))
    assert len(cache) == 0


def test_before_the_first_announcement_nothing_is_cached(clock: SetClock) -> None:
    cache = DecisionCache(clock)
    cache.put(job(), decision(job()))
    assert len(cache) == 0
    assert cache.get(job()) is None


def test_it_holds_no_more_than_its_bound(cache: DecisionCache) -> None:
    for number in range(10):
        cache.put(job(f"job.read.n{number}"), decision(job()))
    assert len(cache) == 3


CHANGES: dict[str, Any] = {
    "tenant": "other",
    "topic": "job.other",
    "payload_digest": digest("other"),
    "actor": "other",
    "actor_type": "human",
    "pool": "other",
    "max_attempts": 9,
    "prompt": "other",
    "labels": {"env": "prod"},
    "capability": "other",
    "risk_tags": ("other",),
    "requires": ("other",),
    "principals": ("other",),
    "priority": Priority.HIGH,
    "concurrency_key": "other",
    "run_at_ms": 5,
    "deadline_ms": 5,
    "secrets_present": True,
    "pii_present": True,
    "remediation_of": "other",
    "secrets": ("other",),
}


def test_the_table_names_every_field_that_rules_may_read() -> None:
    assert set(CHANGES) == set(JOB_FIELDS) - NOT_HASHED


@pytest.mark.parametrize("name", CHANGES)
def test_a_field_that_rules_read_tells_jobs_apart(name: str) -> None:
    fields = frozenset({"payload" if name == "payload_digest" else name})
    assert job_key(fields, job()) != job_key(fields, job(**{name: CHANGES[name]}))


@pytest.mark.parametrize("name", CHANGES)
def test_a_field_that_no_rule_reads_does_not(name: str) -> None:
    changed = replace(job(), **{name: CHANGES[name]})
    others = frozenset(CHANGES) - {name}
    if name == "payload_digest":
        others -= {"payload"}
    assert job_key(others, job()) == job_key(others, changed)


@pytest.mark.parametrize("name", ["job_id", "created_ms", "trace_id", "no_such_field", "labels_env"])
def test_a_field_that_cannot_be_compared_means_no_caching(name: str) -> None:
    assert job_key(frozenset({name, "topic"}), job()) is None


def test_a_label_that_is_missing_is_not_one_that_is_empty() -> None:
    fields = frozenset({"labels.env"})
    assert job_key(fields, job()) != job_key(fields, job(labels={"env": ""}))
    assert job_key(fields, job(labels={"other": "x"})) == job_key(fields, job())


@pytest.mark.parametrize("name", sorted(ALL_READS))
def test_every_field_that_a_condition_can_read_can_be_compared(name: str) -> None:
    """Otherwise one rule that reads it would quietly turn the cache off for everybody."""
    assert job_key(frozenset({name}), job(labels={"env": "x"})) is not None
