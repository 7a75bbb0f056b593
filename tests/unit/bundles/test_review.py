"""The one check before a publish: what is refused, in which order, and what is said of it. Data only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from holdgate.bundles import review as review_module
from holdgate.bundles.errors import (
    BundleConflict,
    BundleExpired,
    BundleFaulty,
    BundleLintFailed,
    BundleOutdated,
    BundleTestsFailed,
    BundleUnsigned,
    BundleWidens,
    DocumentInvalid,
)
from holdgate.bundles.format import build_bundle
from holdgate.bundles.gone import Gone, Seen
from holdgate.bundles.publish import check_publishable
from holdgate.bundles.review import Review, objections, require_publishable, review
from holdgate.bundles.root import Scope
from holdgate.kernel.detectors import Detector
from support.trust import ALLOW_READS, HOLD_WRITES, NOW_MS, Ceremony, bundle, signed

NOTHING = "rules: []\n"
DENY_READS = """
rules:
  - {id: deny-reads, decision: deny, reason: closed, match: {topics: ["job.read.>"]}}
"""
NEVER = """
rules:
  - {id: never, decision: deny, reason: x, match: {labels: {env: prod}}, not: {labels: {env: prod}}}
"""
PASSES = "cases:\n  - {name: reads run, job: {topic: job.read.all}, expect: {verdict: allow}}\n"
FAILS = "cases:\n  - {name: reads stop, job: {topic: job.read.all}, expect: {verdict: deny}}\n"


def with_tests(folder: Path, rules: str, tests: str, version: int = 1) -> bytes:
    """A bundle with a file of tests."""
    place = folder / f"tested-{version}"
    place.mkdir()
    (place / "rules.yaml").write_text(rules)
    (place / "tests.yaml").write_text(tests)
    (place / "bundle.yaml").write_text(
        f'name: house\nversion: {version}\nexpires: "2039-01-01T00:00:00Z"\nrules: [rules.yaml]\ntests: [tests.yaml]\n'
    )
    return signed(build_bundle(place), ["author"])


def reviewed(data: bytes, in_force: Mapping[str, bytes] | None = None, ceremony: Ceremony | None = None) -> Review:
    return review(data, (ceremony or Ceremony()).root, in_force or {}, NOW_MS)


def codes(made: Review, *, accepted: bool = False) -> list[str]:
    return [objection.code for objection in objections(made, widening_accepted=accepted)]


def test_a_first_bundle_that_allows_anything_must_be_meant(tmp_path: Path) -> None:
    made = reviewed(bundle(tmp_path, ALLOW_READS))
    assert codes(made) == ["bundle_widening"]
    with pytest.raises(BundleWidens) as refused:
        require_publishable(made, widening_accepted=False)
    assert [where for where, _ in refused.value.problems] == ["house.allow-reads"]
    assert "--accept-widening" in str(refused.value)
    require_publishable(made, widening_accepted=True)


def test_a_bundle_that_only_forbids_needs_no_word(tmp_path: Path) -> None:
    held = bundle(tmp_path, ALLOW_READS)
    assert codes(reviewed(bundle(tmp_path, DENY_READS, name="closed"), {"house": held})) == []


def test_a_widening_that_another_bundle_forbids_is_none(tmp_path: Path) -> None:
    """What is allowed depends on the whole set."""
    closed = bundle(tmp_path, DENY_READS, name="closed")
    assert codes(reviewed(bundle(tmp_path, ALLOW_READS), {"closed": closed})) == []


def test_taking_the_deny_of_a_bundle_away_is_a_widening(tmp_path: Path) -> None:
    held = bundle(tmp_path, ALLOW_READS + DENY_READS.replace("\nrules:\n", ""))
    made = reviewed(bundle(tmp_path, ALLOW_READS, version=2), {"house": held})
    assert codes(made) == ["bundle_widening"]


def test_failing_tests_come_first_and_no_word_helps(tmp_path: Path) -> None:
    made = reviewed(with_tests(tmp_path, ALLOW_READS, FAILS))
    assert codes(made, accepted=True) == ["bundle_tests"]
    with pytest.raises(BundleTestsFailed, match=r"1 of 1 tests fail: .*reads stop"):
        require_publishable(made, widening_accepted=True)
    assert made.as_dict()["publishable"] is False


def test_tests_that_pass_are_counted(tmp_path: Path) -> None:
    made = reviewed(with_tests(tmp_path, ALLOW_READS, PASSES))
    assert (codes(made, accepted=True), len(made.tests.results)) == ([], 1)
    assert not [finding for finding in made.findings if finding.code == "bundle-untested"]


def test_a_file_of_tests_that_does_not_load_is_no_passed_test(tmp_path: Path) -> None:
    with pytest.raises(DocumentInvalid):
        reviewed(with_tests(tmp_path, ALLOW_READS, "cases: nothing\n"))


def test_a_bundle_without_tests_is_told_so_and_not_refused(tmp_path: Path) -> None:
    made = reviewed(bundle(tmp_path, ALLOW_READS))
    assert "bundle-untested" in [finding.code for finding in made.findings]
    assert codes(made, accepted=True) == []


def test_an_author_hears_of_a_rule_that_wants_signatures_which_nobody_can_give(tmp_path: Path) -> None:
    """A warning: whoever signs the root may list the keys afterwards."""
    rules = HOLD_WRITES.replace("approvers: {", "approvers: {signed: true, ")
    assert rules != HOLD_WRITES
    made = reviewed(bundle(tmp_path, rules))
    assert "signed-unheld" in [finding.code for finding in made.findings]
    assert codes(made, accepted=True) == []
    plain = reviewed(bundle(tmp_path, HOLD_WRITES, name="plain"))
    assert "signed-unheld" not in [finding.code for finding in plain.findings]


def test_who_takes_the_tests_of_a_bundle_away_must_mean_it(tmp_path: Path) -> None:
    held = with_tests(tmp_path, ALLOW_READS, PASSES)
    assert codes(reviewed(with_tests(tmp_path, ALLOW_READS, PASSES, version=2), {"house": held})) == []
    assert codes(reviewed(bundle(tmp_path, ALLOW_READS, version=2), {"house": held})) == ["bundle_widening"]


def test_an_error_of_the_linter_is_refused(tmp_path: Path) -> None:
    made = reviewed(bundle(tmp_path, NEVER))
    assert codes(made, accepted=True) == ["bundle_lint"]
    with pytest.raises(BundleLintFailed, match="never"):
        require_publishable(made, widening_accepted=True)


def test_what_the_linter_says_of_other_bundles_in_force_keeps_nobody_from_publishing(tmp_path: Path) -> None:
    held = bundle(tmp_path, NEVER, name="old")
    made = reviewed(bundle(tmp_path, DENY_READS), {"old": held})
    assert "bundle_lint" not in codes(made, accepted=True)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"signers": []}, BundleUnsigned),
        ({"expires": "2020-01-01T00:00:00Z"}, BundleExpired),
    ],
)
def test_what_a_kernel_refuses_is_refused(tmp_path: Path, change: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        reviewed(bundle(tmp_path, DENY_READS, **change))  # type: ignore[arg-type]


def test_the_version_must_rise_above_the_one_in_force(tmp_path: Path) -> None:
    held = bundle(tmp_path, DENY_READS, version=2)
    for version in (1, 2):
        with pytest.raises(BundleOutdated):
            reviewed(bundle(tmp_path, HOLD_WRITES, version=version), {"house": held})
    with pytest.raises(BundleOutdated, match="published already"):
        reviewed(held, {"house": held})


def test_a_bundle_in_force_that_lost_its_authors_is_left_out_and_can_be_replaced(tmp_path: Path) -> None:
    """As after the root was rotated: without it, nobody could publish any more."""
    held = {
        "house": bundle(tmp_path, ALLOW_READS, signers=["gone"]),
        "writes": bundle(tmp_path, HOLD_WRITES, name="writes", signers=["gone"]),
    }
    made = reviewed(bundle(tmp_path, ALLOW_READS, version=2), held)
    assert set(made.left_out) == {"house", "writes"}
    assert codes(made) == ["bundle_widening"]  # the other closes everything only in kernels that had it


def test_who_replaces_a_bundle_that_does_not_hold_opens_what_it_closed(tmp_path: Path) -> None:
    """Even with a bundle that allows nothing itself: what others allow in that scope runs again."""
    held = {
        "house": bundle(tmp_path, DENY_READS, signers=["gone"]),
        "reads": bundle(tmp_path, ALLOW_READS, name="reads"),
    }
    assert codes(reviewed(bundle(tmp_path, HOLD_WRITES, version=2), held)) == ["bundle_widening"]


GONE = Gone(2, "bundle_unknown_key", None)
EVERYTHING = 'rules:\n  - {id: all, decision: allow, reason: x, match: {topics: ["job.>"]}}\n'
NARROW = Scope(tenants=["acme"], topics=["job.x"])


@pytest.mark.parametrize(
    ("seen", "gone", "expected"),
    [
        ([], None, []),
        ([], GONE, ["bundle_widening"]),
        ([], Gone(2, "bundle_unknown_key", NARROW), ["bundle_widening"]),
        ([Seen("house", 2)], None, ["bundle_widening"]),
        ([Seen("house", 2)], Gone(1, "bundle_unknown_key", NARROW), ["bundle_widening"]),
    ],
)
def test_who_takes_the_name_of_a_bundle_that_is_gone_opens_what_kernels_closed(
    tmp_path: Path, seen: list[Seen], gone: Gone | None, expected: list[str]
) -> None:
    """Even with a bundle that only forbids, and whether store or kernels tell."""
    held = {"all": bundle(tmp_path, EVERYTHING, name="all")}
    found = {} if gone is None else {"house": gone}
    made = review(bundle(tmp_path, DENY_READS, version=3), Ceremony().root, held, NOW_MS, seen, found)
    assert codes(made) == expected
    assert set(made.left_out) == set(found)


def test_a_version_that_kernels_decide_by_is_not_taken_for_gone_because_of_a_file_above_it(tmp_path: Path) -> None:
    """Anybody with the store can write one that nobody's key signed."""
    held = {"all": bundle(tmp_path, EVERYTHING, name="all"), "house": bundle(tmp_path, NOTHING)}
    digest = reviewed(held["house"]).bundle.digest
    after, root = bundle(tmp_path, DENY_READS, version=3), Ceremony().root
    assert codes(review(after, root, held, NOW_MS, [], {"house": GONE})) == ["bundle_widening"]
    assert codes(review(after, root, held, NOW_MS, [Seen("house", 1, digest)], {"house": GONE})) == []
    both = [Seen("house", 1, digest), Seen("house", 1)]
    assert codes(review(after, root, held, NOW_MS, both, {"house": GONE})) == ["bundle_widening"]


def test_what_a_bundle_that_kernels_dropped_forbade_hides_no_widening_of_another(tmp_path: Path) -> None:
    """An older version of it still counts in the store, and no kernel goes back to it."""
    held = {"house": bundle(tmp_path, DENY_READS)}
    wider, root = bundle(tmp_path, ALLOW_READS, name="reads"), Ceremony().root
    digest = reviewed(held["house"]).bundle.digest
    assert codes(review(wider, root, held, NOW_MS, [Seen("house", 1, digest)], {"house": GONE})) == []
    assert codes(review(wider, root, held, NOW_MS, [Seen("house", 2)], {"house": GONE})) == ["bundle_widening"]
    harmless = bundle(tmp_path, NOTHING, name="nothing")
    assert codes(review(harmless, root, held, NOW_MS, [Seen("house", 2)], {"house": GONE})) == []
    made = review(harmless, root, held, NOW_MS, [], {"house": GONE})
    assert codes(made) == ["bundle_widening"]  # nobody says what kernels do
    assert [change.bundle for change in made.diff.changes] == ["house"]


def test_what_kernels_decide_by_and_does_not_hold_here_is_told_and_blocks_nobody(tmp_path: Path) -> None:
    digest, root = reviewed(bundle(tmp_path, DENY_READS)).bundle.digest, Ceremony().root
    seen = [Seen("one", 2, digest), Seen("two", 2, digest)]
    gone = {"one": GONE, "two": GONE}
    made = review(bundle(tmp_path, DENY_READS, name="one", version=3), root, {}, NOW_MS, seen, gone)
    assert codes(made) == ["bundle_widening"]
    assert any(change.bundle == "two" and "which does not hold here" in change.what for change in made.diff.changes)
    with pytest.raises(BundleConflict):
        review(bundle(tmp_path, DENY_READS, name="one", version=3), root, {}, NOW_MS, seen, {"one": GONE})
    lost = seen[:1]
    replaced = review(bundle(tmp_path, NOTHING, name="one", version=3), root, {}, NOW_MS, lost)
    assert codes(replaced) == ["bundle_widening"]  # nobody knows what the lost one forbade


def test_tests_that_take_too_long_are_not_passed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review_module, "TESTS_S_MAX", 0.0)
    with pytest.raises(BundleTestsFailed, match="longer than 0 s"):
        reviewed(with_tests(tmp_path, ALLOW_READS, PASSES))


def test_where_the_root_allows_by_default_taking_a_deny_away_is_a_widening(tmp_path: Path) -> None:
    held, after = bundle(tmp_path, DENY_READS), bundle(tmp_path, HOLD_WRITES, version=2)
    assert codes(reviewed(after, {"house": held}, Ceremony(default_decision="allow"))) == ["bundle_widening"]
    assert codes(reviewed(after, {"house": held})) == ["bundle_widening"]  # what was denied may be held instead
    assert codes(reviewed(bundle(tmp_path, NOTHING, version=3), {"house": held})) == []
    assert codes(
        reviewed(bundle(tmp_path, NOTHING, version=3), {"house": held}, Ceremony(default_decision="allow"))
    ) == ["bundle_widening"]


def test_a_store_behind_its_kernels_is_no_ground_to_publish_on(tmp_path: Path) -> None:
    root, first = Ceremony().root, bundle(tmp_path, DENY_READS)
    digest = reviewed(first).bundle.digest
    later = bundle(tmp_path, HOLD_WRITES, version=2)

    def look(data: bytes, *seen: Seen) -> Review:
        return review(data, root, {"house": first} if data is later else {}, NOW_MS, seen)

    look(later, Seen("house", 1, digest))
    look(first, Seen("house", 1, digest), Seen("lost", 3, digest))  # the very file that kernels have: a repair
    look(later, Seen("dropped", 3))
    for seen in (Seen("house", 2, digest), Seen("house", 5, digest), Seen("house", 2)):
        with pytest.raises(BundleOutdated, match="seen by kernels"):
            look(later, Seen("a-lost-one", 1, digest), seen)
    with pytest.raises(BundleConflict, match="`lost` version 3") as refused:
        look(later, Seen("house", 1, digest), Seen("lost", 3, digest))
    assert refused.value.code == "bundle_store_behind"


def test_a_check_of_the_signatures_alone_agrees(tmp_path: Path) -> None:
    data = bundle(tmp_path, ALLOW_READS)
    assert check_publishable(data, Ceremony().root, {}, NOW_MS).digest == reviewed(data).bundle.digest


def test_a_review_as_plain_values_names_what_an_author_looks_at(tmp_path: Path) -> None:
    shown = reviewed(with_tests(tmp_path, ALLOW_READS, PASSES)).as_dict()
    assert (shown["widens"], shown["publishable"], shown["left_out"]) == (True, True, {})
    assert [item["code"] for item in shown["objections"]] == ["bundle_widening"]
    assert shown["signers"][0]["author"] == "author"
    assert (shown["tests"]["cases"], shown["diff"]["changes"][0]["rule"]) == (1, "allow-reads")


def test_what_is_too_much_to_compare_is_not_called_harmless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review_module, "COMPARED_MAX", 1)
    made = reviewed(bundle(tmp_path, DENY_READS), {"writes": bundle(tmp_path, HOLD_WRITES, name="writes")})
    assert codes(made) == ["bundle_widening"]
    assert "too many to compare" in made.diff.changes[0].what
    require_publishable(made, widening_accepted=True)


def test_problems_are_bounded(tmp_path: Path) -> None:
    many = BundleWidens("many", [(f"rule-{number}", "why") for number in range(500)])
    assert len(many.problems) == BundleFaulty.PROBLEMS_MAX
    rules = "rules:\n" + "".join(
        f'  - {{id: r{number}, decision: allow, reason: x, match: {{topics: ["job.t{number}"]}}}}\n'
        for number in range(300)
    )
    made = reviewed(bundle(tmp_path, rules))
    (objection,) = objections(made, widening_accepted=False)
    assert "and 295 more" in str(objection)
    shown = made.as_dict()
    assert (len(shown["diff"]["changes"]), shown["changes_left_out"]) == (200, 100)


class Knows:
    """A scanner by which no detector finds its examples."""

    def built_in(self) -> dict[str, str]:
        return {"email": "pii"}

    def problems(self, detectors: Sequence[Detector]) -> Sequence[tuple[str, str, bool]]:
        return [(item.id, "does not find its examples", True) for item in detectors]


def test_a_detector_that_does_not_find_its_examples_is_not_published(tmp_path: Path) -> None:
    """The kernel would take it: only a scanner can tell."""
    detector = '{id: custom.x, category: pii, severity: low, regex: "PRJ-[0-9]{4}", max_len: 8, examples: EXAMPLES}'
    rules = "detectors:\n  - " + detector.replace("EXAMPLES", '{"true": ["PRJ-1"], "false": ["PRJ"]}') + "\n"
    data = bundle(tmp_path, rules)
    assert codes(reviewed(data)) == []
    made = review(data, Ceremony().root, {}, NOW_MS, scanner=Knows())
    assert codes(made) == ["bundle_lint"]
    assert [finding.code for finding in made.findings if finding.rule == "custom.x"] == ["detector-examples"]


def test_what_expired_is_told_at_a_publish_and_lets_it_pass(tmp_path: Path) -> None:
    rules = "allow_findings:\n  - {id: let, reason: an old example, expires: 2026-12-31, detectors: [email]}\n"
    made = reviewed(bundle(tmp_path, ALLOW_READS + rules))
    assert "expired" in {finding.code for finding in made.findings}
    assert codes(made, accepted=True) == []


LOOSER = {
    "let through": "allow_findings:\n  - {id: let, reason: an example, expires: 2027-03-01, detectors: [iban]}\n",
    "a detector in shadow": "detector_modes:\n  - {detector: iban, mode: shadow}\n",
    "a destination known": "destinations: {mail: internal}\n",
    "let out": "output_rules:\n  - {id: o, verdict: allow, reason: ours, match: {detectors: [iban]}}\n",
}


@pytest.mark.parametrize("looser", LOOSER)
def test_whatever_lets_more_out_must_be_meant(tmp_path: Path, looser: str) -> None:
    in_force = {"house": bundle(tmp_path, ALLOW_READS)}
    made = reviewed(bundle(tmp_path, ALLOW_READS + LOOSER[looser], version=2), in_force)
    assert codes(made) == ["bundle_widening"]
    back = reviewed(bundle(tmp_path, ALLOW_READS, version=3), {"house": made.bundle.data})
    assert codes(back) == []
