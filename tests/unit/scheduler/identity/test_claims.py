"""Claims of a provider in our words: what parses counts, what does not is left out, and a person has one name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from holdgate.kernel import limits
from holdgate.scheduler.errors import Misconfigured
from holdgate.scheduler.identity.claims import ClaimRules, SignInRefused, principal_of, read_roles

ALICE: dict[str, Any] = {"sub": "1", "email": "Alice@Example.com", "email_verified": True, "roles": ["approver"]}
RULES = ClaimRules(tenant="acme")


def test_a_mailbox_is_one_name_however_it_is_written() -> None:
    """Else one person would be two approvers."""
    names = {principal_of({**ALICE, "email": text}, RULES).actor for text in ("Alice@Example.com", "alice@EXAMPLE.com")}
    assert names == {"alice@example.com"}


@pytest.mark.parametrize("verified", [False, None, "true", 1, []])
def test_an_address_that_nobody_verified_is_no_name(verified: object) -> None:
    """Whoever may write any address there could be anybody."""
    with pytest.raises(SignInRefused):
        principal_of({**ALICE, "email_verified": verified}, RULES)


def test_the_tenant_that_is_set_is_not_asked_of_the_claims() -> None:
    assert principal_of({**ALICE, "tenant": "other"}, RULES).tenant == "acme"


@pytest.mark.parametrize("tenant", ["system", "", "Acme", "a.b", None, 7, ["acme"]])
def test_a_tenant_that_is_no_name_is_refused(tenant: object) -> None:
    with pytest.raises(SignInRefused):
        principal_of({**ALICE, "tenant": tenant}, ClaimRules(tenant_claim="tenant"))


@pytest.mark.parametrize(
    ("claims", "name", "roles"),
    [
        ({"roles": ["approver", "No Name", 3, None, "auditor"]}, "roles", {"approver", "auditor"}),
        ({"roles": "approver auditor"}, "roles", {"approver", "auditor"}),
        ({"realm_access": {"roles": ["operator"]}}, "realm_access.roles", {"operator"}),
        ({"https://a.example/roles": ["author"]}, "https://a.example/roles", {"author"}),
        ({"roles": {"approver": True}}, "roles", set()),
        ({"roles": []}, "roles", set()),
        ({}, "roles", set()),
        ({"a": {"b": "x"}}, "a.b.c", set()),
    ],
)
def test_roles_are_those_that_parse(claims: dict[str, Any], name: str, roles: set[str]) -> None:
    """Who has none is told so."""
    person = {"email": "a@example.com", "email_verified": True, **claims}
    rules = ClaimRules(tenant="acme", roles_claim=name)
    if roles:
        assert principal_of(person, rules).roles == roles
    else:
        with pytest.raises(SignInRefused) as caught:
            principal_of(person, rules)
        assert caught.value.kind == "no_roles"


def test_with_a_map_no_other_name_counts() -> None:
    rules = ClaimRules(tenant="acme", roles={"Approvers": ("approver", "security")})
    assert principal_of({**ALICE, "roles": ["Approvers", "admin"]}, rules).roles == {"approver", "security"}


def test_there_are_not_more_roles_than_a_key_may_have() -> None:
    many = [f"role-{n}" for n in range(limits.TAGS_MAX * 4)]
    assert len(principal_of({**ALICE, "roles": many}, RULES).roles) == limits.TAGS_MAX


@pytest.mark.parametrize("text", ["", "[]", '{"a": "b"}', '{"a": ["Not A Role"]}', '{"a": [1]}', "{"])
def test_a_map_that_is_none_stops_the_start(tmp_path: Path, text: str) -> None:
    file = tmp_path / "roles.json"
    file.write_text(text)
    with pytest.raises(Misconfigured):
        read_roles(file)


def test_a_map_that_is_missing_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured):
        read_roles(tmp_path / "none.json")
