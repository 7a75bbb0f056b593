"""Recorded decisions decided again by a candidate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from holdgate.bundles import replay as module
from holdgate.bundles.comparison import Outcome, Terms
from holdgate.bundles.errors import BundleOutOfScope, BundleSetRefused
from holdgate.bundles.replay import Recorded, Replay, tried
from holdgate.bundles.trusted import TrustedSet
from holdgate.kernel.canonical import canonical_bytes
from holdgate.kernel.policy import Policy
from holdgate.kernel.records import Verdict
from support.policies import NOW_MS, decide, job, policy, rule
from support.trust import ALLOW_READS, Ceremony, bundle

REFUSED = frozenset({"payload", "prompt"})
ROLES = {"roles": ["lead"], "quorum": 1, "expires": "1h"}


def recorded(by: Policy, at_ms: int = NOW_MS, **form: Any) -> Recorded:
    """What `by` decided about a job."""
    of = job(**form)
    decision = decide(by, of)
    return Recorded(of, decision.verdict, decision.deciding, at_ms, terms=Terms.of(decision))


def test_an_unchanged_policy_changes_nothing() -> None:
    rules = [rule("let"), rule("hold", "require_approval", approvers=ROLES, match={"topics": ["job.deploy.*"]})]
    replay = Replay(policy(*rules))
    replay.feed([recorded(policy(*rules), topic=topic) for topic in ("job.demo.read", "job.deploy.apply")])
    report = replay.report()
    assert (report.decisions, report.unchanged, report.groups, report.widens) == (2, 2, (), False)


def test_changes_are_grouped_by_the_rules_that_decided_wider_ones_first() -> None:
    before = policy(rule("let", match={"topics": ["job.demo.*"]}), rule("no", "deny", match={"topics": ["job.exec.*"]}))
    after = policy(rule("no", "deny", match={"topics": ["job.demo.*"]}), rule("run", match={"topics": ["job.exec.>"]}))
    replay = Replay(after, examples_max=1)
    replay.feed([recorded(before, topic=topic) for topic in ["job.demo.read"] * 3 + ["job.exec.shell"] * 2])
    report = replay.report()
    shown = [(g.key.outcome, g.key.rule_before, g.key.rule_after, g.count) for g in report.groups]
    assert shown == [(Outcome.WIDER, "no", "run", 2), (Outcome.TIGHTER, "let", "no", 3)]
    assert report.transitions == {"deny→allow": 2, "allow→deny": 3}
    assert [len(group.examples) for group in report.groups] == [1, 1]
    assert report.widens


def test_what_was_denied_by_default_names_no_rule() -> None:
    replay = Replay(policy(rule("let")))
    replay.feed([recorded(policy(rule("other", match={"topics": ["job.x"]})))])
    (group,) = replay.report().groups
    assert (group.key.rule_before, group.key.rule_after) == (None, "let")


def test_decisions_are_made_at_the_time_at_which_they_were_made() -> None:
    early = policy(rule("early", when='now < timestamp("2026-01-01T00:00:01Z")'))
    replay = Replay(early)
    replay.feed([recorded(policy(rule("let")), at_ms=at_ms) for at_ms in (NOW_MS, NOW_MS + 2000)])
    report = replay.report()
    assert (report.unchanged, report.transitions) == (1, {"allow→deny": 1})
    assert (report.oldest_ms, report.newest_ms) == (NOW_MS, NOW_MS + 2000)


def test_a_payload_that_was_not_kept_is_not_taken_for_an_absent_one() -> None:
    """Where the candidate looks at it; where it does not, the decision is compared."""
    reading = rule("amount", "deny", when="job.payload.amount > 5", match={"topics": ["job.refund.*"]})
    before = policy(rule("no", "deny"))
    records = [
        replace(recorded(before, topic=topic), missing=REFUSED) for topic in ("job.refund.create", "job.demo.read")
    ]
    records = [replace(item, job=item.job.with_payload(None)) for item in records]
    replay = Replay(policy(rule("let"), reading))
    replay.feed(records)
    report = replay.report()
    assert report.not_comparable == {"not_kept": 1}
    assert report.transitions == {"deny→allow": 1}


def test_what_nobody_decided_is_not_comparable_with_the_record_but_with_the_active_policy() -> None:
    item = replace(recorded(policy(rule("let"))), verdict=None)
    replay = Replay(policy(rule("no", "deny")))
    replay.feed([item])
    assert replay.report().not_comparable == {"not_decided": 1}
    replay = Replay(policy(rule("no", "deny")), baseline=policy(rule("let")))
    replay.feed([item])
    assert replay.report().transitions == {"allow→deny": 1}


def test_against_the_active_policy_only_what_the_candidate_changes_counts() -> None:
    """The record says that it was allowed; by now it is denied, with the candidate as without."""
    active = policy(rule("no", "deny"))
    replay = Replay(policy(rule("no", "deny"), rule("more", "deny")), baseline=active)
    replay.feed([recorded(policy(rule("let")))])
    assert (replay.report().unchanged, replay.report().groups) == (1, ())


def test_looser_terms_are_wider_and_unclear_ones_count_as_widening() -> None:
    def bound(seconds: int) -> Policy:
        return policy(rule("let", "allow_with_constraints", constraints={"max_runtime_s": seconds}))

    replay = Replay(bound(90))
    replay.feed([recorded(bound(60)), recorded(bound(90)), recorded(bound(120))])
    report = replay.report()
    assert (report.unchanged, dict(report.outcomes)) == (1, {Outcome.WIDER: 1, Outcome.TIGHTER: 1})
    replay = Replay(policy(rule("hold", "require_approval", approvers=ROLES)))
    replay.feed([recorded(bound(60))])
    (group,) = replay.report().groups
    assert (group.key.outcome, group.key.differs, replay.report().widens) == (Outcome.WIDER, ("constraints",), True)

    def slow(key: str) -> Policy:
        return policy(rule("let"), rule("slow", "throttle", throttle={"limit": 5, "per": "1h", "key": [key]}))

    replay = Replay(slow("actor"))
    replay.feed([recorded(slow("tenant"))])
    (group,) = replay.report().groups
    assert (group.key.outcome, group.key.differs, replay.report().widens) == (Outcome.OTHER, ("throttles",), True)


def test_a_stricter_approval_does_not_widen() -> None:
    strict = {"roles": ["lead"], "quorum": 2, "expires": "30m", "signed": True}
    for baseline in (None, policy(rule("hold", "require_approval", approvers=ROLES))):
        replay = Replay(policy(rule("hold", "require_approval", approvers=strict)), baseline=baseline)
        replay.feed([recorded(policy(rule("hold", "require_approval", approvers=ROLES)))])
        (group,) = replay.report().groups
        assert (group.key.outcome, group.key.differs) == (Outcome.TIGHTER, ("approvals",))
        assert not replay.report().widens


def test_a_condition_that_fails_is_counted() -> None:
    replay = Replay(policy(rule("let"), rule("no", "deny", when="job.labels.owner == 'x'")))
    replay.feed([recorded(policy(rule("let")))])
    assert (replay.report().errors, replay.report().transitions) == (1, {"allow→deny": 1})


def test_a_report_holds_no_payload_and_no_prompt() -> None:
    replay = Replay(policy(rule("no", "deny")))
    replay.feed([recorded(policy(rule("let")), payload={"card": "4111"}, prompt="whisper", labels={"team": "red"})])
    shown = canonical_bytes(replay.report().as_dict()).decode()
    assert "4111" not in shown
    assert "whisper" not in shown
    assert '"labels":{"team":"red"}' in shown


def test_memory_is_bounded_whatever_is_fed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GROUPS_MAX", 3)
    item = recorded(policy(rule("let")))
    replay = Replay(policy(rule("no", "deny")))
    replay.feed([replace(item, rules=(f"rule-{number}",)) for number in range(50)])
    report = replay.report()
    assert len(report.groups) == 4
    assert sum(group.count for group in report.groups) == 50
    assert any(group.key.rule_before == module.BEYOND for group in report.groups)


def test_every_record_is_counted_once() -> None:
    before = policy(rule("let", match={"topics": ["job.demo.*"]}))
    replay = Replay(policy(rule("no", "deny", match={"topics": ["job.demo.a"]}), rule("let")))
    items = [recorded(before, topic=f"job.{area}.{name}") for area in ("demo", "other") for name in "abc"]
    replay.feed([*items, replace(items[0], verdict=None)])
    replay.leave_out("unreadable", 2)
    report = replay.report()
    changed = sum(report.outcomes.values())
    assert report.decisions == 9 == report.unchanged + changed + sum(report.not_comparable.values())


def in_force(*bundles: bytes) -> TrustedSet:
    """Bundles in force."""
    trusted = TrustedSet.under(Ceremony().root)
    for data in bundles:
        trusted = trusted.restore(data)
    return trusted


def test_a_candidate_takes_the_place_of_the_bundle_of_its_name_unsigned_and_of_any_version(tmp_path: Path) -> None:
    deny = "rules: [{id: deny-it, decision: deny, reason: x, match: {topics: [job.read.>]}}]"
    other = "rules: [{id: let-other, decision: allow, reason: x, match: {topics: [job.other]}}]"
    present = in_force(bundle(tmp_path, ALLOW_READS, version=5), bundle(tmp_path, other, name="other"))
    found = tried(bundle(tmp_path, deny, version=2, signers=()), present)
    assert (found.name, found.version) == ("house", 2)
    assert [item.id for item in found.policy.rules] == ["deny-it", "let-other"]
    assert found.policy.default is Verdict.DENY


def test_a_candidate_that_could_not_stand_there_is_refused(tmp_path: Path) -> None:
    present = in_force(bundle(tmp_path, ALLOW_READS))
    with pytest.raises(BundleSetRefused):
        tried(bundle(tmp_path, ALLOW_READS, name="other"), present)
    narrow = bundle(tmp_path, ALLOW_READS, version=2, scope="{tenants: [default], topics: [job.other]}")
    with pytest.raises(BundleOutOfScope):
        tried(narrow, present)
