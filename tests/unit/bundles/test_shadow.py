"""Live decisions compared with a candidate: what is counted, and what bounds it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from holdgate.bundles import shadow as module
from holdgate.bundles.shadow import SAMPLES_MAX, Candidate, LiveComparison, ShadowLimits
from holdgate.bundles.shadowing import why_no_place
from holdgate.kernel.canonical import canonical_bytes
from holdgate.kernel.ids import ActorId, Digest, Tenant
from holdgate.kernel.jobform import Identity
from holdgate.kernel.policy import Policy
from holdgate.kernel.records import Decision, Job, Phase
from support.policies import SNAPSHOT, decide, job, policy, rule

LET = policy(rule("let"))
DENY = policy(rule("deny-it", "deny"))
OTHER_SNAPSHOT = Digest("sha256:" + "6" * 64)


def candidate(by: Policy, name: str = "house", content: str = "a") -> Candidate:
    """A verified candidate of this policy."""
    return Candidate(name, 2, Digest("sha256:" + content * 64), ("ed25519:x",), by, 10**15)


def comparison(by: Policy, **limits: Any) -> LiveComparison:
    """With one candidate, over decisions of `SNAPSHOT`."""
    made = LiveComparison(ShadowLimits(**limits))
    made.use(SNAPSHOT, {"house": candidate(by)})
    return made


def offered(to: LiveComparison, by: Policy = LET, *, phase: Phase = Phase.SUBMIT, of: Job | None = None) -> Decision:
    """A live decision."""
    of = of or job()
    decision = decide(by, of, phase=phase)
    to.offer(of, decision)
    return decision


def counts(of: LiveComparison) -> Any:
    return of.status("house")["counts"]


def drain(of: LiveComparison) -> None:
    while of.compare_some():
        pass


def test_outcomes_are_counted_by_phase() -> None:
    strict = policy(rule("let"), rule("deny-it", "deny", match={"topics": ["job.exec.*"]}))
    shadow = comparison(strict)
    offered(shadow)
    offered(shadow, of=job(topic="job.exec.run"))
    offered(shadow, DENY, phase=Phase.DISPATCH)
    offered(shadow, policy(rule("let", "allow_with_constraints")), phase=Phase.DISPATCH)
    drain(shadow)
    assert counts(shadow) == {"submit": {"same": 1, "tighter": 1}, "dispatch": {"wider": 2}}


def test_more_than_the_queue_holds_is_dropped_and_counted() -> None:
    shadow = comparison(DENY, queue_max=8)
    for _ in range(100):
        offered(shadow)
    assert shadow.waiting == 8
    drain(shadow)
    assert counts(shadow) == {"submit": {"dropped": 92, "tighter": 8}}


def test_payloads_that_wait_are_bounded_in_bytes() -> None:
    reading = policy(rule("big", "deny", when="size(job.payload) > 5"))
    shadow = comparison(reading, queue_bytes_max=20_000)
    large = job(payload="x" * 9_000)
    for _ in range(5):
        offered(shadow, of=large)
    assert shadow.waiting == 2
    drain(shadow)
    offered(shadow, of=large)
    assert shadow.waiting == 1


def test_a_large_payload_is_let_go_of_where_no_candidate_looks_at_it() -> None:
    shadow = comparison(DENY, queue_bytes_max=10)
    offered(shadow, of=job(payload="x" * 9_000))
    assert shadow.waiting == 1


def test_a_payload_that_the_kernel_was_not_given_is_skipped_not_guessed() -> None:
    reading = policy(rule("let"), rule("big", "deny", when="size(job.payload) > 5"))
    shadow = comparison(reading)
    offered(shadow, of=job().with_payload(None))
    drain(shadow)
    assert counts(shadow) == {"submit": {"skipped": 1}}


def test_decisions_by_another_set_of_bundles_are_compared_with_nothing() -> None:
    shadow = comparison(DENY)
    waiting = offered(shadow)
    shadow.offer(job(), replace(waiting, snapshot=OTHER_SNAPSHOT))
    assert counts(shadow) == {"submit": {"dropped": 1}}
    shadow.use(OTHER_SNAPSHOT, {"house": candidate(DENY)})
    assert shadow.waiting == 0
    assert counts(shadow) == {"submit": {"dropped": 2}}


def test_what_is_known_of_a_candidate_goes_with_its_content() -> None:
    shadow = comparison(DENY)
    offered(shadow)
    drain(shadow)
    shadow.use(OTHER_SNAPSHOT, {"house": candidate(LET)})
    assert counts(shadow) == {"submit": {"tighter": 1}}
    shadow.use(OTHER_SNAPSHOT, {"house": candidate(LET, content="b")})
    assert counts(shadow) == {}


def test_a_candidate_that_fails_is_a_count() -> None:
    """Nothing does; this is the guard for what nobody thought of."""
    broken = candidate(replace(LET, index=None))  # type: ignore[arg-type]
    shadow = LiveComparison()
    shadow.use(SNAPSHOT, {"house": broken})
    offered(shadow)
    drain(shadow)
    assert counts(shadow) == {"submit": {"failed": 1}}


def test_samples_are_few_newest_and_without_payload_and_prompt() -> None:
    shadow = comparison(DENY)
    for number in range(SAMPLES_MAX + 5):
        offered(shadow, of=replace(job(payload={"card": "4111"}, prompt="whisper"), topic=f"job.demo.t{number}"))
    drain(shadow)
    samples: Any = shadow.status("house")["samples"]
    assert [sample["topic"] for sample in samples] == [f"job.demo.t{n}" for n in range(5, SAMPLES_MAX + 5)]
    assert (samples[0]["before"], samples[0]["after"], samples[0]["rules_after"]) == ("allow", "deny", ["deny-it"])
    shown = canonical_bytes(samples).decode()
    assert "4111" not in shown
    assert "whisper" not in shown


def test_a_slice_ends_when_its_time_is_over() -> None:
    shadow = comparison(DENY, slice_s=0.0)
    for _ in range(5):
        offered(shadow)
    assert shadow.compare_some() == 1
    assert shadow.waiting == 4


class Pauses(Exception):
    """Ends a comparison at its first pause."""


async def first_pause(shadow: LiveComparison, monkeypatch: pytest.MonkeyPatch) -> float:
    """How long it pauses after its first slice, by a clock that stands still but for one second at each look."""
    ticks = itertools.count()
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        raise Pauses

    monkeypatch.setattr(module.time, "perf_counter", lambda: float(next(ticks)))
    monkeypatch.setattr(module.asyncio, "sleep", sleep)
    with pytest.raises(Pauses):
        await shadow.run()
    return pauses[0]


async def test_comparing_takes_no_more_than_its_share_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a slice that took three seconds: nineteen times that."""
    shadow = comparison(DENY, share=0.05, slice_s=0.5)
    offered(shadow)
    assert await first_pause(shadow, monkeypatch) == pytest.approx(57)


async def test_no_more_than_so_many_decisions_a_second_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    shadow = comparison(DENY, share=1.0, slice_s=1000.0, rate_max=2)
    for _ in range(10):
        offered(shadow)
    assert await first_pause(shadow, monkeypatch) == pytest.approx(5)


def test_a_candidate_that_takes_too_long_for_a_decision_is_asked_no_more() -> None:
    shadow = comparison(DENY, decision_s_max=-1.0)
    for _ in range(10):
        offered(shadow)
    drain(shadow)
    assert counts(shadow) == {"submit": {"tighter": 1, "dropped": 9}}
    assert shadow.is_too_slow("house")


def test_another_candidate_of_a_name_that_took_too_long_is_not_asked_at_once() -> None:
    """Nor is one that was gone in between: whoever may start candidates could hold the kernel up as often."""
    shadow = comparison(DENY, decision_s_max=-1.0)
    offered(shadow)
    drain(shadow)
    shadow.use(SNAPSHOT, {})
    shadow.use(SNAPSHOT, {"house": candidate(DENY, content="b")})
    offered(shadow)
    drain(shadow)
    assert (counts(shadow), shadow.is_too_slow("house")) == ({"submit": {"dropped": 1}}, True)


def test_another_candidate_is_asked_after_a_while_and_the_same_one_never() -> None:
    shadow = comparison(DENY, decision_s_max=-1.0, again_s=0.0)
    offered(shadow)
    drain(shadow)
    shadow.use(SNAPSHOT, {"house": candidate(DENY)})
    assert shadow.is_too_slow("house")
    shadow.use(SNAPSHOT, {"house": candidate(DENY, content="b")})
    assert not shadow.is_too_slow("house")


def test_decisions_are_counted_by_tenant_and_in_all() -> None:
    shadow = comparison(DENY, tenants_max=2)
    for tenant in ("a", "a", "b", "c"):
        offered(shadow, of=job(identity=Identity(Tenant(tenant), ActorId("x"))))
    drain(shadow)
    told: Any = shadow.status("house")
    assert told["counts"] == {"submit": {"tighter": 4}}
    assert told["tenants"] == {"a": {"submit": {"tighter": 2}}, "b": {"submit": {"tighter": 1}}}


@pytest.mark.parametrize(
    ("signers", "taken", "places", "why"),
    [
        (["a"], {}, 1, None),
        (["a"], {"a": 1, "b": 2}, 1, None),
        (["a"], {}, 0, "8 candidates are shadowed already"),
        (["a"], {"a": 2}, 6, "2 candidates of one author"),
        (["b", "a"], {"a": 2}, 6, "2 candidates of one author"),
    ],
)
def test_no_author_takes_the_places_of_the_others(
    signers: list[str], taken: dict[str, int], places: int, why: str | None
) -> None:
    assert (why_no_place(signers, taken, places) or "").startswith(why or "")
    assert (why_no_place(signers, taken, places) is None) is (why is None)


def test_without_a_candidate_nothing_waits() -> None:
    shadow = LiveComparison()
    shadow.use(SNAPSHOT, {})
    offered(shadow)
    assert shadow.waiting == 0
