"""A bundle that does not hold any more closes its own scope and nothing else, until one of its name holds again."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdgate.bundles.errors import BundleSetRefused
from holdgate.bundles.trusted import Floor, TrustedSet
from holdgate.kernel.evaluate import evaluate
from holdgate.kernel.ids import Tenant
from holdgate.kernel.output import OutputFacts, OutputVerdict, decide_output
from holdgate.kernel.records import Decision, Phase, Verdict
from support.trust import ALLOW_READS, NOW_MS, Ceremony, bundle, job

TEAM_SCOPE = '{tenants: [acme], topics: ["job.read.>"]}'
TEAM_RULES = """
rules:
  - {id: team-reads, decision: allow, reason: ours, match: {tenants: [acme], topics: ["job.read.*"]}}
output_rules:
  - {id: team-out, verdict: allow, reason: ours, match: {tenants: [acme], topics: ["job.read.*"], categories: [pii]}}
"""


def two(tmp_path: Path) -> tuple[Ceremony, dict[str, bytes], TrustedSet]:
    """`house` by one author for everybody, `team` by another for the reads of one tenant."""
    ceremony = Ceremony(authors=("author", "team"))
    files = {
        "house": bundle(tmp_path, ALLOW_READS),
        "team": bundle(tmp_path, TEAM_RULES, name="team", scope=TEAM_SCOPE, signers=["team"]),
    }
    trusted = TrustedSet.under(ceremony.root)
    for data in files.values():
        trusted = trusted.accept(data, NOW_MS)
    return ceremony, files, trusted


def revoked(tmp_path: Path) -> TrustedSet:
    """The same under a root that does not name the team's author any more."""
    ceremony, files, before = two(tmp_path)
    ceremony.authors = ("author",)
    after, problems = TrustedSet.under(ceremony.root, before.floors).restore_all(files)
    assert {name: error.code for name, error in problems.items()} == {"team": "bundle_unknown_key"}
    return after


def decide(trusted: TrustedSet, topic: str, tenant: str) -> Decision:
    active = trusted.active()
    assert active is not None
    return evaluate(active.policy, job(topic, tenant=Tenant(tenant)), now_ms=NOW_MS, phase=Phase.SUBMIT)


def test_the_scope_of_a_revoked_author_is_closed(tmp_path: Path) -> None:
    trusted = revoked(tmp_path)
    decision = decide(trusted, "job.read.all", "acme")
    assert (decision.verdict, decision.deciding) == (Verdict.DENY, ("holdgate.dropped.team",))
    assert "until it is published again" in decision.reason


@pytest.mark.parametrize(("topic", "tenant"), [("job.read.all", "default"), ("job.read.x", "rival")])
def test_other_bundles_go_on_deciding_outside_of_it(tmp_path: Path, topic: str, tenant: str) -> None:
    assert decide(revoked(tmp_path), topic, tenant).verdict is Verdict.ALLOW


def test_what_was_dropped_is_told_with_the_reason(tmp_path: Path) -> None:
    active = revoked(tmp_path).active()
    assert active is not None
    assert [bundle.as_dict() for bundle in active.dropped] == [
        {"name": "team", "version": 1, "code": "bundle_unknown_key"}
    ]


def test_findings_in_output_of_the_closed_scope_are_quarantined(tmp_path: Path) -> None:
    """Its output rules are gone, and one of them may have kept back what the defaults let through."""
    policy = revoked(tmp_path).policy
    assert policy is not None
    facts = OutputFacts(Tenant("acme"), "job.read.all", {}, None, (("email", "pii", "low"),))
    assert decide_output(policy, facts, NOW_MS).verdict is OutputVerdict.QUARANTINE
    other = OutputFacts(Tenant("rival"), "job.read.all", {}, None, (("email", "pii", "low"),))
    assert decide_output(policy, other, NOW_MS).verdict is OutputVerdict.ALLOW


def test_a_bundle_whose_scope_is_not_known_closes_everything(tmp_path: Path) -> None:
    _, files, before = two(tmp_path)
    floors = {**before.floors, "lost": Floor(3, before.floors["team"].digest)}
    trusted, _ = TrustedSet.under(before.root, floors).restore_all(files)
    for topic, tenant in (("job.read.all", "default"), ("job.write.x", "acme")):
        assert decide(trusted, topic, tenant).deciding == ("holdgate.dropped.lost",)


def test_a_successor_opens_the_scope_again(tmp_path: Path) -> None:
    again = bundle(tmp_path, TEAM_RULES, name="team", scope=TEAM_SCOPE, version=2)
    trusted = revoked(tmp_path).accept(again, NOW_MS)
    assert decide(trusted, "job.read.all", "acme").verdict is Verdict.ALLOW
    assert trusted.missing == ()


def test_dropping_changes_the_snapshot_and_coming_back_restores_it(tmp_path: Path) -> None:
    """Whoever caches decisions or holds an approval is told."""
    ceremony, files, before = two(tmp_path)
    dropped, _ = TrustedSet.under(ceremony.root, before.floors).restore_all({"house": files["house"]})
    back = dropped.restore(files["team"])
    snapshots = [trusted.policy.snapshot for trusted in (before, dropped, back) if trusted.policy is not None]
    assert snapshots[0] == snapshots[2] != snapshots[1]


def test_a_kernel_that_never_knew_the_bundle_does_not_agree_with_one_that_dropped_it(tmp_path: Path) -> None:
    ceremony, files, before = two(tmp_path)
    dropped, _ = TrustedSet.under(ceremony.root, before.floors).restore_all({"house": files["house"]})
    new = TrustedSet.under(ceremony.root).accept(files["house"], NOW_MS)
    assert dropped.policy is not None
    assert new.policy is not None
    assert dropped.policy.snapshot != new.policy.snapshot


def test_two_kernels_that_dropped_for_different_reasons_agree(tmp_path: Path) -> None:
    ceremony, files, before = two(tmp_path)
    lost, _ = TrustedSet.under(ceremony.root, before.floors).restore_all({"house": files["house"]})
    broken, _ = TrustedSet.under(ceremony.root, before.floors).restore_all({**files, "team": b"{"})
    assert lost.policy is not None
    assert broken.policy is not None
    assert lost.policy.snapshot == broken.policy.snapshot
    assert [item.code for item in (*lost.dropped, *broken.dropped)] == ["bundle_missing", "bundle_truncated"]


def test_a_rule_may_move_between_bundles_that_are_published_together(tmp_path: Path) -> None:
    """In whichever order they are found, and though each alone would not fit beside the other's old version."""
    trusted = TrustedSet.under(Ceremony().root)
    rules = "rules:\n  - {{id: {}, decision: deny, reason: x}}\n"
    for name, rule in (("a", "one"), ("b", "two")):
        trusted = trusted.accept(bundle(tmp_path, rules.format(rule), name=name), NOW_MS)
    swapped = {
        name: trusted.verified(name, bundle(tmp_path, rules.format(rule), name=name, version=2), NOW_MS)
        for name, rule in (("a", "two"), ("b", "one"))
    }
    with pytest.raises(BundleSetRefused):
        trusted.accept(swapped["a"].data, NOW_MS)
    after, problems = trusted.placed(swapped)
    assert problems == {}
    assert {name: item.version for name, item in after.floors.items()} == {"a": 2, "b": 2}


def test_of_bundles_that_do_not_fit_together_those_that_do_are_placed(tmp_path: Path) -> None:
    trusted = TrustedSet.under(Ceremony().root)
    rules = "rules:\n  - {{id: {}, decision: deny, reason: x}}\n"
    found = {
        name: trusted.verified(name, bundle(tmp_path, rules.format(rule), name=name), NOW_MS)
        for name, rule in (("a", "one"), ("b", "one"), ("c", "three"))
    }
    after, problems = trusted.placed(found)
    assert sorted(after.bundles) == ["a", "c"]
    assert {name: error.code for name, error in problems.items()} == {"b": "bundle_set"}


def test_output_of_the_closed_scope_is_quarantined_though_nothing_is_found_in_it(tmp_path: Path) -> None:
    """Its detectors are gone with it: what they would have found looks clean."""
    policy = revoked(tmp_path).policy
    assert policy is not None
    for tenant, verdict in (("acme", OutputVerdict.QUARANTINE), ("rival", OutputVerdict.ALLOW)):
        facts = OutputFacts(Tenant(tenant), "job.read.all", {}, None)
        assert decide_output(policy, facts, NOW_MS).verdict is verdict
