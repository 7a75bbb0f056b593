"""Who wrote a rule does not release what it holds, where the rule says so: the names come from verified signatures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from holdgate.bundles.errors import BundleMalformed, BundleUnsigned
from holdgate.bundles.format import parse_bundle
from holdgate.bundles.replay import tried
from holdgate.bundles.root import Approver, Root, Scope, parse_root
from holdgate.bundles.trusted import TrustedSet
from holdgate.kernel.custody import PermitReply, PermitRequest, answer_permit
from holdgate.kernel.evaluate import evaluate
from holdgate.kernel.ids import WorkerId
from holdgate.kernel.records import Decision, Outcome, Phase
from support.trust import NOW_MS, Ceremony, admission, bundle, job, signer, vote

RULES = """
rules:
  - id: hold-writes
    decision: require_approval
    reason: somebody looks at writes
    match: {topics: ["job.write.>"]}
    approvers: {roles: [release-manager], not_author: %s}
"""
HELD = job("job.write.all")


def under(root: Root, directory: Path, *, not_author: str = "true", signers: Sequence[str] = ("author",)) -> TrustedSet:
    data = bundle(directory, RULES % not_author, signers=signers)
    return TrustedSet.under(root).accept(data, NOW_MS)


def decided(trusted: TrustedSet) -> Decision:
    assert trusted.policy is not None
    return evaluate(trusted.policy, HELD, now_ms=NOW_MS, phase=Phase.DISPATCH)


def excluded(trusted: TrustedSet) -> tuple[str, ...]:
    (requirement,) = decided(trusted).approvals
    return requirement.excluded


def released(trusted: TrustedSet, **changes: Any) -> PermitReply:
    """The kernel's answer to a release manager's vote with these changes."""
    decision = decided(trusted)
    admitted = admission(HELD, decision, outcome=Outcome.HELD)
    votes = (vote(HELD, decision, **changes),)
    request = PermitRequest(HELD, admitted, 1, "default", WorkerId("w1"), votes)
    return answer_permit(request, decision, trusted.trust, signer("kernel"), NOW_MS)


def test_the_author_releases_nothing_of_its_own_and_somebody_else_does(tmp_path: Path) -> None:
    trusted = under(Ceremony().root, tmp_path)
    assert released(trusted, approver="author").refusal == "votes_quorum"
    assert released(trusted, approver="Author").refusal == "votes_quorum"
    assert released(trusted, approver="erin", on_behalf_of="author").refusal == "votes_quorum"
    assert released(trusted).permit is not None


def test_neither_does_who_signed_it_too(tmp_path: Path) -> None:
    root = Ceremony(authors=("author", "carol", "dave"), threshold=2).root
    trusted = under(root, tmp_path, signers=("author", "carol"))
    assert excluded(trusted) == ("author", "carol")
    assert [released(trusted, approver=name).refusal for name in ("author", "carol", "dave")] == [
        "votes_quorum",
        "votes_quorum",
        None,
    ]


def test_an_author_with_two_names_that_differ_in_capitals_is_one(tmp_path: Path) -> None:
    with pytest.raises(BundleMalformed, match="more than there are authors"):
        parse_root({**Ceremony(authors=("carol", "Carol")).root.model_dump(mode="json"), "threshold": 2})
    root = Ceremony(authors=("carol", "Carol", "dave"), threshold=2).root
    with pytest.raises(BundleUnsigned):
        under(root, tmp_path, signers=("carol", "Carol"))


def test_nor_who_signed_it_and_may_not_sign_for_its_scope(tmp_path: Path) -> None:
    """Its signature counts for nothing; that it read the rules is as true."""
    root = Ceremony(authors=("author", "team"), scopes={"team": Scope(tenants=["acme"])}).root
    assert excluded(under(root, tmp_path, signers=("author", "team"))) == ("author", "team")


def test_nor_an_author_under_the_name_by_which_its_key_approves(tmp_path: Path) -> None:
    root = Ceremony().root
    key = root.authors[0].public_key
    root = root.model_copy(update={"approvers": [Approver(actor="arthur", public_key=key, roles=["release-manager"])]})
    trusted = under(root, tmp_path)
    assert excluded(trusted) == ("arthur", "author")
    assert released(trusted, by="author", approver="arthur", roles=()).refusal == "votes_quorum"


def test_a_signature_that_no_author_of_the_root_made_excludes_nobody(tmp_path: Path) -> None:
    trusted = under(Ceremony(approvers={"mallory": ()}).root, tmp_path, signers=("author", "mallory"))
    assert excluded(trusted) == ("author",)


def test_a_rule_that_does_not_say_so_lets_its_author_release(tmp_path: Path) -> None:
    trusted = under(Ceremony().root, tmp_path, not_author="false")
    assert excluded(trusted) == ()
    assert released(trusted, approver="author").permit is not None


@pytest.mark.parametrize("again", ["restored", "placed"])
def test_a_bundle_that_is_loaded_again_excludes_its_authors_again(tmp_path: Path, again: str) -> None:
    root = Ceremony().root
    data = bundle(tmp_path, RULES % "true")
    if again == "restored":
        assert excluded(TrustedSet.under(root).restore(data)) == ("author",)
    else:
        empty = TrustedSet.under(root)
        trusted, problems = empty.placed({"house": empty.verified("house", data, NOW_MS)})
        assert (excluded(trusted), problems) == (("author",), {})


def test_of_what_nobody_signed_yet_it_is_said_that_authors_are_excluded_and_not_whom(tmp_path: Path) -> None:
    data = bundle(tmp_path, RULES % "true", signers=())
    assert parse_bundle(data).signatures == ()
    policy = tried(data, TrustedSet.under(Ceremony().root)).policy
    (requirement,) = evaluate(policy, HELD, now_ms=NOW_MS, phase=Phase.SIMULATE).approvals
    assert (requirement.not_author, requirement.excluded) == (True, ())
