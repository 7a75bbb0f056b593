"""Attacks on the set of trusted bundles, one test each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdgate.bundles.errors import BundleRefused
from holdgate.bundles.format import BundleFile, build_bundle, parse_bundle, sign_bundle
from holdgate.bundles.publish import check_publishable
from holdgate.bundles.root import Scope
from holdgate.bundles.trusted import Floor, TrustedSet, covers_pattern
from holdgate.kernel.canonical import canonical_bytes
from holdgate.kernel.errors import HoldgateError, PolicyInvalid
from holdgate.kernel.evaluate import evaluate
from holdgate.kernel.records import Phase, Verdict
from support.trust import ALLOW_READS, HOLD_WRITES, NOW_MS, Ceremony, bundle, job, signed, signer, starter


def empty(**changes: Any) -> TrustedSet:
    return TrustedSet.under(Ceremony(**changes).root)


def refused(trusted: TrustedSet, data: bytes, now_ms: int = NOW_MS) -> str:
    """The code with which `data` is refused."""
    with pytest.raises(HoldgateError) as caught:
        trusted.accept(data, now_ms)
    assert isinstance(caught.value, BundleRefused | PolicyInvalid)
    return caught.value.code


def altered(data: bytes, change: Any) -> bytes:
    """The bundle with a change in its JSON, canonical again, signatures as they were."""
    document = json.loads(data)
    change(document)
    return canonical_bytes(document)


def test_a_bundle_of_enough_authors_is_in_force(tmp_path: Path) -> None:
    trusted = empty(authors=("a", "b", "c"), threshold=2).accept(
        bundle(tmp_path, ALLOW_READS, signers=["a", "c"]), NOW_MS
    )
    active = trusted.active()
    assert active is not None
    assert evaluate(active.policy, job(), now_ms=NOW_MS, phase=Phase.SUBMIT).verdict is Verdict.ALLOW
    assert set(active.bundles[0].signers) == {signer("a").name, signer("c").name}


def test_no_bundle_is_no_policy() -> None:
    assert empty().active() is None


# Signatures -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signers", [[], ["a"], ["a", "mallory"]])
def test_fewer_authors_than_the_threshold(tmp_path: Path, signers: list[str]) -> None:
    trusted = empty(authors=("a", "b", "c"), threshold=2)
    assert refused(trusted, bundle(tmp_path, ALLOW_READS, signers=signers)) == "bundle_threshold"


def test_signatures_by_unknown_keys_alone(tmp_path: Path) -> None:
    trusted = empty(authors=("a", "b", "c"), threshold=2)
    assert refused(trusted, bundle(tmp_path, ALLOW_READS, signers=["mallory", "eve"])) == "bundle_unknown_key"


def test_two_keys_of_one_author_are_one_author(tmp_path: Path) -> None:
    """Whoever has two keys does not sign for two people."""
    root = Ceremony(authors=("a", "a2", "b"), threshold=2).root
    authors = [author.model_copy(update={"name": author.name[0]}) for author in root.authors]
    trusted = TrustedSet.under(root.model_copy(update={"authors": authors}))
    assert refused(trusted, bundle(tmp_path, ALLOW_READS, signers=["a", "a2"])) == "bundle_threshold"
    trusted.accept(bundle(tmp_path, ALLOW_READS, signers=["a2", "b"]), NOW_MS)


def test_one_author_signing_under_two_names_is_one(tmp_path: Path) -> None:
    """The root names the same key twice: it counts once."""
    ceremony = Ceremony(authors=("a", "b"), threshold=2)
    data = bundle(tmp_path, ALLOW_READS, signers=["a"])
    twice = altered(data, lambda document: document["signatures"].append(document["signatures"][0]))
    assert refused(TrustedSet.under(ceremony.root), twice) == "bundle_signature"


def test_a_signature_over_another_bundle(tmp_path: Path) -> None:
    one, other = bundle(tmp_path, ALLOW_READS), bundle(tmp_path, HOLD_WRITES, version=2)
    swapped = altered(one, lambda document: document.update(signatures=json.loads(other)["signatures"]))
    assert refused(empty(), swapped) == "bundle_signature"


def test_a_signature_made_for_another_purpose(tmp_path: Path) -> None:
    file = parse_bundle(bundle(tmp_path, ALLOW_READS, signers=[]))
    other_purpose = signer("author").sign("permit", file.manifest.signed_bytes())
    assert refused(empty(), BundleFile(file.manifest, file.files, (other_purpose,)).to_bytes()) == "bundle_signature"


def test_a_wrong_signature_beside_enough_right_ones(tmp_path: Path) -> None:
    data = bundle(tmp_path, ALLOW_READS, signers=["a", "b"])

    def change(document: Any) -> None:
        document["signatures"][0]["signature"] = document["signatures"][1]["signature"]

    assert refused(empty(authors=("a", "b")), altered(data, change)) == "bundle_signature"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return bundle(tmp_path_factory.mktemp("good"), ALLOW_READS)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_changed_byte_is_refused(good: bytes, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(good) - 1))
    value = (good[position] + data.draw(st.integers(1, 255))) % 256
    with pytest.raises(BundleRefused):
        empty().accept(good[:position] + bytes([value]) + good[position + 1 :], NOW_MS)


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.999])
def test_a_truncated_file(tmp_path: Path, keep: float) -> None:
    good = bundle(tmp_path, ALLOW_READS)
    assert refused(empty(), good[: int(len(good) * keep)]) == "bundle_truncated"


# Files ----------------------------------------------------------------------------------------------------------------

FILE_ATTACKS: dict[str, tuple[Any, str]] = {
    "a file more": (lambda document: document["files"].update({"evil.yaml": "eA=="}), "bundle_files"),
    "a file less": (lambda document: document["files"].clear(), "bundle_files"),
    "another content": (lambda document: document["files"].update({"rules.yaml": "eA=="}), "bundle_files"),
    "not base64": (lambda document: document["files"].update({"rules.yaml": "?"}), "bundle_files"),
    "base64 with stray bits": (lambda document: document["files"].update({"rules.yaml": "eB=="}), "bundle_files"),
    "a path out of the bundle": (
        lambda document: document["manifest"]["files"][0].update(path="../../etc/rules.yaml"),
        "bundle_path",
    ),
    "an absolute path": (
        lambda document: document["manifest"]["files"][0].update(path="/rules.yaml"),
        "bundle_path",
    ),
    "an unknown key": (lambda document: document["manifest"].update(extra=1), "bundle_malformed"),
    "a hash changed": (
        lambda document: document["manifest"]["files"][0].update(sha256="sha256:" + "0" * 64),
        "bundle_files",
    ),
    "a scope changed": (
        lambda document: document["manifest"].update(scope={"tenants": ["x"], "topics": [">"]}),
        "bundle_signature",
    ),
    "a version changed": (lambda document: document["manifest"].update(version=99), "bundle_signature"),
    "an expiry changed": (
        lambda document: document["manifest"].update(expires="2099-01-01T00:00:00Z"),
        "bundle_signature",
    ),
    "a name changed": (lambda document: document["manifest"].update(name="other"), "bundle_signature"),
    "another format": (lambda document: document.update(format="holdgate-bundle/2"), "bundle_malformed"),
}


@pytest.mark.parametrize(("change", "code"), FILE_ATTACKS.values(), ids=FILE_ATTACKS)
def test_a_changed_bundle(tmp_path: Path, change: Any, code: str) -> None:
    assert refused(empty(), altered(bundle(tmp_path, ALLOW_READS), change)) == code


def test_another_form_of_the_same_json(tmp_path: Path) -> None:
    good = bundle(tmp_path, ALLOW_READS)
    for other in (good + b"\n", b" " + good, json.dumps(json.loads(good)).encode()):
        assert refused(empty(), other) == "bundle_not_canonical"


def test_a_key_twice(tmp_path: Path) -> None:
    good = bundle(tmp_path, ALLOW_READS)
    assert refused(empty(), good.replace(b'{"files"', b'{"files":{},"files"', 1)) == "bundle_malformed"


# Versions and time ----------------------------------------------------------------------------------------------------


def test_an_older_version(tmp_path: Path) -> None:
    trusted = empty().accept(bundle(tmp_path, ALLOW_READS, version=5), NOW_MS)
    assert refused(trusted, bundle(tmp_path, ALLOW_READS, version=4)) == "bundle_version"


def test_the_same_version_with_other_content(tmp_path: Path) -> None:
    trusted = empty().accept(bundle(tmp_path, ALLOW_READS), NOW_MS)
    assert refused(trusted, bundle(tmp_path, HOLD_WRITES)) == "bundle_version_reused"


def test_the_same_version_with_a_signature_more_is_the_same_bundle(tmp_path: Path) -> None:
    data = bundle(tmp_path, ALLOW_READS, signers=["a"])
    before = empty(authors=("a", "b")).accept(data, NOW_MS)
    after = before.accept(signed(data, ["b"]), NOW_MS)
    assert after.policy is not None
    assert before.policy is not None
    assert after.policy.snapshot == before.policy.snapshot


def test_a_version_below_one_seen_before_the_restart(tmp_path: Path) -> None:
    seen = TrustedSet.under(Ceremony().root).accept(bundle(tmp_path, ALLOW_READS, version=9), NOW_MS)
    restarted = TrustedSet.under(Ceremony().root, seen.floors)
    assert restarted.active() is None
    assert restarted.missing == ("house",)
    assert refused(restarted, bundle(tmp_path, ALLOW_READS, version=8)) == "bundle_version"


def test_an_expired_bundle_is_not_accepted_but_restored(tmp_path: Path) -> None:
    data = bundle(tmp_path, ALLOW_READS, expires="2027-01-01T00:00:00Z")
    late_ms = NOW_MS + 400 * 86_400_000
    assert refused(empty(), data, late_ms) == "bundle_expired"
    active = empty().restore(data).active()
    assert active is not None
    assert late_ms >= active.expires_ms


def test_the_earliest_expiry_of_all_counts(tmp_path: Path) -> None:
    trusted = empty().accept(bundle(tmp_path, ALLOW_READS, expires="2031-01-01T00:00:00Z"), NOW_MS)
    trusted = trusted.accept(bundle(tmp_path, HOLD_WRITES, name="b", expires="2030-01-01T00:00:00Z"), NOW_MS)
    active = trusted.active()
    assert active is not None
    assert active.expires_ms == 1_893_456_000_000


# Scope ----------------------------------------------------------------------------------------------------------------

NARROW = '{tenants: [acme], topics: ["job.read.>"]}'
IN_SCOPE = """
rules:
  - {id: r, decision: allow, reason: fine, match: {tenants: [acme], topics: ["job.read.*"]}}
"""


def test_a_bundle_within_its_signers_scope(tmp_path: Path) -> None:
    scopes = {"author": Scope(tenants=["acme", "b"], topics=["job.>"])}
    empty(scopes=scopes).accept(bundle(tmp_path, IN_SCOPE, scope=NARROW), NOW_MS)


@pytest.mark.parametrize(
    "scope", [Scope(tenants=["rival"]), Scope(topics=["job.write.>"]), Scope(topics=["job.read.*"])]
)
def test_a_bundle_beyond_its_signers_scope(tmp_path: Path, scope: Scope) -> None:
    data = bundle(tmp_path, IN_SCOPE, scope=NARROW)
    assert refused(empty(scopes={"author": scope}), data) == "bundle_scope"


def test_a_signer_beyond_its_scope_does_not_count_to_the_threshold(tmp_path: Path) -> None:
    trusted = empty(authors=("a", "b"), threshold=2, scopes={"b": Scope(tenants=["rival"])})
    assert refused(trusted, bundle(tmp_path, IN_SCOPE, scope=NARROW, signers=["a", "b"])) == "bundle_scope"


TEAM = {"team": Scope(tenants=["acme"], topics=["job.read.>"])}
DENY_WRITES = """
rules:
  - {id: deny-writes, decision: deny, reason: closed, match: {topics: ["job.write.>"]}}
"""


def test_who_may_rule_over_less_cannot_replace_a_bundle_of_a_wider_scope(tmp_path: Path) -> None:
    """It would take the name, and with it the rules of everybody else, out of the set."""
    ceremony = Ceremony(authors=("author", "team"), scopes=TEAM)
    before = TrustedSet.under(ceremony.root).accept(bundle(tmp_path, DENY_WRITES), NOW_MS)
    theirs = bundle(tmp_path, IN_SCOPE, scope=NARROW, version=2, signers=["team"])
    assert refused(before, theirs) == "bundle_scope"
    restarted = TrustedSet.under(ceremony.root, before.floors)
    assert refused(restarted, theirs) == "bundle_scope"
    with pytest.raises(BundleRefused, match="of what it replaces"):
        restarted.restore(theirs)
    unknown = TrustedSet.under(ceremony.root, {"house": Floor(1, before.floors["house"].digest)})
    assert refused(unknown, theirs) == "bundle_scope"
    assert unknown.restore(bundle(tmp_path, DENY_WRITES)).active() is not None


def test_a_wider_bundle_replaced_needs_the_whole_threshold_of_those_who_may(tmp_path: Path) -> None:
    trusted = empty(authors=("a", "b", "team"), threshold=2, scopes=TEAM)
    trusted = trusted.accept(bundle(tmp_path, DENY_WRITES, signers=["a", "b"]), NOW_MS)
    narrow = bundle(tmp_path, IN_SCOPE, scope=NARROW, version=2, signers=["a", "team"])
    assert refused(trusted, narrow) == "bundle_scope"
    trusted.accept(signed(narrow, ["b"]), NOW_MS)


def test_what_those_who_may_made_narrower_others_may_go_on_with(tmp_path: Path) -> None:
    trusted = empty(authors=("author", "team"), scopes=TEAM).accept(bundle(tmp_path, DENY_WRITES), NOW_MS)
    trusted = trusted.accept(bundle(tmp_path, IN_SCOPE, scope=NARROW, version=2), NOW_MS)
    trusted.accept(bundle(tmp_path, IN_SCOPE, scope=NARROW, version=3, signers=["team"]), NOW_MS)


REACHING = {
    "no tenant": 'match: {topics: ["job.read.all"]}',
    "another tenant": 'match: {tenants: [acme, rival], topics: ["job.read.all"]}',
    "no topic": "match: {tenants: [acme]}",
    "a wider topic": 'match: {tenants: [acme], topics: ["job.>"]}',
    "a topic beside": 'match: {tenants: [acme], topics: ["job.read.all", "job.write.all"]}',
    "nothing at all": "match: {actors: [x]}",
}


@pytest.mark.parametrize("match", REACHING.values(), ids=REACHING)
def test_a_rule_that_reaches_out_of_its_bundle(tmp_path: Path, match: str) -> None:
    rules = f"rules:\n  - id: r\n    decision: deny\n    reason: closed\n    {match}\n"
    assert refused(empty(), bundle(tmp_path, rules, scope=NARROW)) == "bundle_reach"


def test_an_output_rule_that_reaches_out_of_its_bundle(tmp_path: Path) -> None:
    rules = "output_rules:\n  - {id: r, verdict: allow, reason: x, match: {categories: [secret]}}\n"
    assert refused(empty(), bundle(tmp_path, rules, scope=NARROW)) == "bundle_reach"


COVERS = [
    (">", "job.a", True),
    (">", ">", True),
    ("job.>", "job.>", True),
    ("job.>", "job.a.>", True),
    ("job.>", "job.*", True),
    ("job.>", "job", False),
    ("job.*", "job.>", False),
    ("job.*", "job.*", True),
    ("job.*", "job.a", True),
    ("job.a", "job.*", False),
    ("job.*", "job.a.b", False),
    ("job.*.c", "job.a.c", True),
    ("job.*.c", "job.*.*", False),
    ("job.a.b", "job.a", False),
    ("job.a", "job.a.b", False),
    ("job.*.>", "job.>", False),
    ("job.>", "run.a", False),
]


@pytest.mark.parametrize(("outer", "inner", "answer"), COVERS)
def test_what_a_pattern_covers(outer: str, inner: str, answer: bool) -> None:
    assert covers_pattern(outer, inner) is answer


# The set --------------------------------------------------------------------------------------------------------------


def test_two_bundles_with_the_same_rule_id(tmp_path: Path) -> None:
    trusted = empty().accept(bundle(tmp_path, ALLOW_READS), NOW_MS)
    assert refused(trusted, bundle(tmp_path, ALLOW_READS, name="twin")) == "bundle_set"
    assert list(trusted.bundles) == ["house"]


def test_rules_that_do_not_load_name_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(PolicyInvalid, match=r"rules.yaml:3"):
        empty().accept(bundle(tmp_path, "rules:\n  - id: r\n    decision: maybe\n    reason: x\n"), NOW_MS)


def test_the_snapshot_names_bundles_and_root(tmp_path: Path) -> None:
    data = bundle(tmp_path, ALLOW_READS)
    one, other = empty().accept(data, NOW_MS), empty(version=2).accept(data, NOW_MS)
    more = one.accept(bundle(tmp_path, HOLD_WRITES, name="b"), NOW_MS)
    snapshots = {trusted.policy.snapshot for trusted in (one, other, more) if trusted.policy}
    assert len(snapshots) == 3


def test_the_order_of_arrival_does_not_matter(tmp_path: Path) -> None:
    one, other = bundle(tmp_path, ALLOW_READS), bundle(tmp_path, HOLD_WRITES, name="b")
    ahead = empty().accept(one, NOW_MS).accept(other, NOW_MS)
    behind = empty().accept(other, NOW_MS).accept(one, NOW_MS)
    assert ahead.policy is not None
    assert behind.policy is not None
    assert ahead.policy.snapshot == behind.policy.snapshot


def test_publishing_refuses_what_is_published_already(tmp_path: Path) -> None:
    root, data = Ceremony().root, bundle(tmp_path, ALLOW_READS)
    assert check_publishable(data, root, {}, NOW_MS).floor == Floor(1, parse_bundle(data).digest, Scope())
    with pytest.raises(BundleRefused, match="published already"):
        check_publishable(data, root, {"house": data}, NOW_MS)


# The starter bundle ---------------------------------------------------------------------------------------------------

STARTER_CASES = [
    ({"topic": "job.deploy.apply", "labels": {"env": "prod"}, "capability": "infra.write"}, "require_approval"),
    ({"topic": "job.deploy.apply", "labels": {"env": "prod"}}, "deny"),
    ({"topic": "job.deploy.apply", "labels": {"env": "staging"}}, "allow_with_constraints"),
    ({"topic": "job.deploy.apply"}, "deny"),
    ({"topic": "job.exec.shell", "prompt": "rm -rf /"}, "deny"),
    ({"topic": "job.exec.script", "labels": {"command_class": "destructive"}}, "deny"),
    ({"topic": "job.demo.read"}, "allow"),
    ({"topic": "job.demo.leak"}, "allow"),
    ({"topic": "job.demo.key"}, "allow"),
    ({"topic": "job.demo.slow"}, "allow"),
    ({"topic": "job.demo.fail"}, "allow"),
    ({"topic": "job.demo.write"}, "allow_with_constraints"),
    ({"topic": "job.demo.throttled"}, "throttle"),
    ({"topic": "job.anything.else"}, "deny"),
]


@pytest.mark.parametrize(("asked", "verdict"), STARTER_CASES, ids=lambda value: str(value))
def test_the_starter_bundle(asked: dict[str, Any], verdict: str) -> None:
    active = empty().accept(starter(), NOW_MS).active()
    assert active is not None
    decision = evaluate(active.policy, job(**asked), now_ms=NOW_MS, phase=Phase.SUBMIT)
    assert decision.verdict == verdict
    assert decision.reason


def test_the_starter_bundle_holds_a_production_write_by_its_rule() -> None:
    active = empty().accept(starter(), NOW_MS).active()
    assert active is not None
    asked = job("job.deploy.apply", labels={"env": "prod"}, capability="infra.write", risk_tags=("change",))
    decision = evaluate(active.policy, asked, now_ms=NOW_MS, phase=Phase.SIMULATE)
    assert decision.deciding == ("require-approval-prod-write",)
    assert decision.reason == "human review required for prod write"
    assert decision.approvals[0].roles == ("release-manager",)


def test_building_is_reproducible(tmp_path: Path) -> None:
    bundle(tmp_path, ALLOW_READS)
    built = build_bundle(tmp_path / "house-1")
    assert built == build_bundle(tmp_path / "house-1")
    assert sign_bundle(built, signer("author")) == sign_bundle(sign_bundle(built, signer("author")), signer("author"))
