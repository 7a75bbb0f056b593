"""What is said to those who are asked to sign a new root: every difference, and which of them weaken."""

from __future__ import annotations

from typing import Any

import pytest

from holdgate.bundles.root import Root, parse_root
from holdgate.bundles.rootdiff import compare_roots, weaknesses
from holdgate.bundles.rootdraft import Draft, parse_draft
from support.trust import signer


def key(name: str) -> str:
    return signer(name).public_key.hex()


NARROW = {"tenants": ["acme"], "topics": ["job.read.>"]}
WIDE = {"tenants": ["*"], "topics": [">"]}
ALICE = {"name": "alice", "public_key": key("alice"), "scope": NARROW}
BOB = {"name": "bob", "public_key": key("bob"), "scope": WIDE}
ROLE = {"name": "release-manager", "scope": NARROW, "quorum_min": 2}
DANA = {"actor": "dana", "public_key": key("dana"), "roles": ["release-manager"]}
PLAIN: dict[str, Any] = {
    "version": 1,
    "expires": "2040-01-01T00:00:00Z",
    "root": {"keys": [key("r1"), key("r2"), key("r3")], "threshold": 2},
    "authors": [ALICE, BOB],
    "threshold": 2,
    "api_keys": [key("api")],
    "kernel_keys": [key("kernel")],
    "dispatcher_keys": [key("dispatcher")],
    "auditor_keys": [key("auditor")],
    "approvers": [DANA],
    "approver_roles": [ROLE],
    "quarantine_key": key("quarantine"),
}


def root(**changes: Any) -> Root:
    return parse_root({**PLAIN, **changes})


DIFFERENT: dict[str, Any] = {
    "version": 2,
    "expires": "2041-01-01T00:00:00Z",
    "root": {"keys": [key("r1"), key("r2")], "threshold": 2},
    "authors": [ALICE, BOB, {"name": "carol", "public_key": key("carol"), "scope": WIDE}],
    "threshold": 1,
    "api_keys": [key("api2")],
    "kernel_keys": [key("kernel2")],
    "dispatcher_keys": [],
    "auditor_keys": [],
    "approvers": [],
    "approver_roles": [],
    "quarantine_key": None,
    "default_decision": "allow",
    "fail_modes": {"submit": "open", "dispatch": "closed"},
}


@pytest.mark.parametrize("name", sorted(Root.model_fields.keys() - {"format"}))
def test_no_difference_goes_unsaid(name: str) -> None:
    """A member that nobody thought of here has no entry in the table, and fails."""
    assert compare_roots(root(), root()) == []
    assert compare_roots(root(), root(**{name: DIFFERENT[name]}))
    assert compare_roots(root(**{name: DIFFERENT[name]}), root())


WEAKER: dict[str, tuple[dict[str, Any], str]] = {
    "a lower root threshold": ({"root": {**PLAIN["root"], "threshold": 1}}, "next root"),
    "more root keys": ({"root": {"keys": [*PLAIN["root"]["keys"], key("r4")], "threshold": 2}}, "2 of 4 root keys"),
    "a lower threshold of authors": ({"threshold": 1}, "bundles: signatures"),
    "an author who rules over more": ({"authors": [{**ALICE, "scope": WIDE}, BOB]}, "author `alice`"),
    "an author under another name": ({"authors": [{**ALICE, "name": "al"}, BOB]}, "is called `al`"),
    "an approver with more roles": ({"approvers": [{**DANA, "roles": ["release-manager", "x"]}]}, "approver `dana`"),
    "an approver who is another": ({"approvers": [{**DANA, "actor": "erin"}]}, "approver `erin`"),
    "an approver role more": ({"approver_roles": [ROLE, {"name": "x"}]}, "approver role `x`"),
    "no approver roles": ({"approver_roles": []}, "whomever they name"),
    "fewer votes": ({"approver_roles": [{**ROLE, "quorum_min": 1}]}, "votes"),
    "a role that approves elsewhere too": ({"approver_roles": [{**ROLE, "scope": WIDE}]}, "release-manager"),
    "quarantine sealed to another": ({"quarantine_key": key("other")}, "sealed to another key"),
    "allow by default": ({"default_decision": "allow"}, "no rule speaks of"),
    "an open submit gate": ({"fail_modes": {"submit": "open"}}, "gate submit"),
    "an open dispatch gate": ({"fail_modes": {"dispatch": "open"}}, "gate dispatch"),
}


@pytest.mark.parametrize(("changes", "said"), WEAKER.values(), ids=WEAKER)
def test_what_weakens_is_said_to_weaken(changes: dict[str, Any], said: str) -> None:
    """And the way back is not, but for what is another person or key in both directions."""
    weak = [change.what for change in compare_roots(root(), root(**changes)) if change.weakens]
    assert len(weak) == 1
    assert said in weak[0]


STRONGER: dict[str, dict[str, Any]] = {
    "a higher root threshold": {"root": {**PLAIN["root"], "threshold": 3}},
    "another root key in place of one": {"root": {"keys": [key("r1"), key("r2"), key("r4")], "threshold": 2}},
    "an author who rules over less": {"authors": [ALICE, {**BOB, "scope": NARROW}]},
    "an author's second key": {"authors": [ALICE, BOB, {**BOB, "public_key": key("bob2")}]},
    "an approver with fewer roles": {"approvers": [{**DANA, "roles": []}]},
    "more votes": {"approver_roles": [{**ROLE, "quorum_min": 3}]},
    "a new key of the kernel": {"kernel_keys": [key("kernel2")]},
}


@pytest.mark.parametrize("changes", STRONGER.values(), ids=STRONGER)
def test_what_does_not_weaken_is_said_without_a_warning(changes: dict[str, Any]) -> None:
    found = compare_roots(root(), root(**changes))
    assert found
    assert not any(change.weakens for change in found)


def test_what_is_weak_in_a_root_by_itself() -> None:
    assert weaknesses(root()) == []
    modes = {"submit": "open", "dispatch": "open"}
    weak = root(default_decision="allow", fail_modes=modes, threshold=1, root={**PLAIN["root"], "threshold": 1})
    assert len(weaknesses(weak)) == 5


@pytest.mark.parametrize("changes", [{}, DIFFERENT], ids=["everything", "and other than usual"])
def test_a_root_that_is_written_as_yaml_is_read_back_the_same(changes: dict[str, Any]) -> None:
    made = root(**changes)
    draft = Draft(made.model_dump(mode="json")).to_yaml()
    assert parse_draft("root.yaml", draft.encode()) == made
    assert parse_draft("root.yaml", draft.replace(f"version: {made.version}\n", "").encode()).version == 1
    assert parse_draft("root.yaml", Draft.after(made).to_yaml().encode(), after=made).version == made.version + 1


def test_names_that_look_like_yaml_stay_names() -> None:
    names = ["no", "1", "a: b", "#", '"', "\\", "- x", "é", "{}", "'"]
    authors = [{**ALICE, "name": name, "public_key": key(f"a{number}")} for number, name in enumerate(names)]
    made = root(authors=authors)
    assert parse_draft("root.yaml", Draft(made.model_dump(mode="json")).to_yaml().encode()) == made
