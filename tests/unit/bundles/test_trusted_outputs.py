"""What a bundle says of outputs stays within its scope, and lets nothing through for ever."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdgate.bundles.errors import BundleRefused
from holdgate.bundles.trusted import TrustedSet
from support.trust import ALLOW_READS, NOW_MS, Ceremony, bundle

DAY_MS = 86_400_000
SCOPE = '{tenants: [acme], topics: ["job.read.>"]}'
WITHIN = 'tenants: [acme], topics: ["job.read.*"]'
DETECTOR = (
    "detectors:\n  - {id: custom.x, category: pii, severity: low, regex: 'PRJ-[0-9]{4}', max_len: 8,"
    ' examples: {"true": ["PRJ-1234"], "false": ["PRJ"]}, %s}'
)
PARTS = {
    "a finding let through": "allow_findings:\n  - {id: x, reason: x, expires: 2027-03-01, detectors: [email], %s}",
    "a destination": "destinations:\n  mail: {class: internal, %s}",
    "a mode": "detector_modes:\n  - {detector: email, mode: shadow, %s}",
    "a detector": DETECTOR,
    "an output rule": "output_rules:\n  - {id: x, verdict: allow, reason: ours, match: {categories: [pii], %s}}",
}
OUTSIDE = (
    "tenants: [acme]",
    'topics: ["job.read.*"]',
    'tenants: [rival], topics: ["job.read.*"]',
    WITHIN[:-1] + ', "job.>"]',
)


def accept(tmp_path: Path, rules: str, now_ms: int = NOW_MS) -> TrustedSet:
    return TrustedSet.under(Ceremony().root).accept(bundle(tmp_path, rules, scope=SCOPE), now_ms)


@pytest.mark.parametrize("part", PARTS)
def test_nothing_that_a_bundle_says_of_outputs_reaches_beyond_its_scope(tmp_path: Path, part: str) -> None:
    """No team turns off a detector, or opens a way out, for another."""
    written = PARTS[part]
    assert accept(tmp_path, written % WITHIN).policy is not None
    for outside in OUTSIDE:
        with pytest.raises(BundleRefused) as refused:
            accept(tmp_path, written % outside)
        assert refused.value.code == "bundle_reach"


def test_findings_are_let_through_for_a_year_at_most(tmp_path: Path) -> None:
    """As long as it is new; what is in force already is not dropped for it."""
    rules = "allow_findings:\n  - {id: x, reason: ours, detectors: [email], expires: %s}\n" + ALLOW_READS
    good = bundle(tmp_path, rules % "2028-01-16")
    bad = bundle(tmp_path, rules % "2028-01-17", version=2)
    empty = TrustedSet.under(Ceremony().root)
    assert empty.accept(good, NOW_MS).policy is not None
    for refuse in (lambda: empty.accept(bad, NOW_MS), lambda: empty.verified("house", bad, NOW_MS)):
        with pytest.raises(BundleRefused) as refused:
            refuse()
        assert refused.value.code == "bundle_allow_expires"
    assert empty.restore(bad).policy is not None
    in_force = empty.accept(bad, NOW_MS + 2 * DAY_MS)
    assert in_force.verified("house", bad, NOW_MS).digest == in_force.bundles["house"].digest


def test_no_detector_and_no_entry_takes_an_id_of_the_kernel(tmp_path: Path) -> None:
    rules = (
        "allow_findings:\n  - {id: holdgate.x, reason: ours, detectors: [email], expires: 2027-03-01}\n" + ALLOW_READS
    )
    with pytest.raises(BundleRefused) as refused:
        TrustedSet.under(Ceremony().root).accept(bundle(tmp_path, rules), NOW_MS)
    assert refused.value.code == "bundle_rule_id"
