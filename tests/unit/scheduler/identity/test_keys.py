"""The file of API keys: hashes only, replaced in one step, strict to read; callers are found by digest."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import ActorId
from holdgate.scheduler.api.auth import authenticate
from holdgate.scheduler.api.problems import Problem
from holdgate.scheduler.identity.keys import KeysInvalid, Role, issue_key, read_keys, revoke_key, write_keys
from holdgate.scheduler.identity.principals import ApiKeys


class Clock:
    """Time that a test turns."""

    now = 0

    def now_ms(self) -> int:
        return self.now


def test_a_key_is_shown_once_and_kept_as_its_hash_in_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key, record = issue_key(path, tenant="acme", actor="bot-1", roles=["agent", "release-manager"])
    assert key.startswith("hgk_")
    assert key not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_keys(path) == (record,)
    other, _ = issue_key(path, tenant="acme", actor="bot-2", roles=["agent"])
    assert other != key
    assert len(read_keys(path)) == 2
    assert [item.name for item in tmp_path.iterdir()] == ["keys.json"]


@pytest.mark.parametrize(
    "change",
    [
        {"sha256": "xyz"},
        {"sha256": "A" * 64},
        {"tenant": "Acme"},
        {"tenant": "a.b"},
        {"tenant": "{a}"},
        {"actor": ""},
        {"actor": None},
        {"actor_type": "robot"},
        {"roles": "agent"},
        {"roles": ["Agent!"]},
        {"principals": [""]},
        {"principals": ["a"] * 17},
        {"disabled": "no"},
        {"extra": 1},
    ],
    ids=str,
)
def test_a_record_of_another_shape_lets_nobody_in(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "keys.json"
    issue_key(path, tenant="acme", actor="bot", roles=["agent"])
    document = json.loads(path.read_text())
    document["keys"][0].update(change)
    path.write_text(json.dumps(document))
    with pytest.raises(KeysInvalid):
        read_keys(path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version":2,"keys":[]}', '{"version":1}', '{"version":1,"keys":{}}'])
def test_a_file_of_another_shape_lets_nobody_in(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(KeysInvalid):
        read_keys(path)


def test_a_missing_file_lets_nobody_in(tmp_path: Path) -> None:
    keys = ApiKeys(tmp_path / "none", Clock())
    with pytest.raises(KeysInvalid) as caught:
        keys.principal_of(b"key")
    assert caught.value.code == "keys_unavailable"
    with pytest.raises(KeysInvalid):
        keys.principal_by_id("key_0")


def test_a_key_is_found_by_its_name_until_it_is_revoked_or_the_name_is_two_keys(tmp_path: Path) -> None:
    """What sessions look up at each request."""
    path = tmp_path / "keys.json"
    _, record = issue_key(path, tenant="acme", actor="alice", roles=["approver"])
    found = ApiKeys(path, Clock()).principal_by_id(record.key_id)
    assert found is not None
    assert found.actor == "alice"
    write_keys(path, (record, replace(record, sha256="0" * 64, actor=ActorId("mallory"))))
    assert ApiKeys(path, Clock()).principal_by_id(record.key_id) is None
    write_keys(path, (record,))
    revoke_key(path, record.key_id)
    assert ApiKeys(path, Clock()).principal_by_id(record.key_id) is None


def test_a_name_of_another_shape_gets_no_key(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        issue_key(tmp_path / "keys.json", tenant="acme", actor="", roles=["agent"])
    assert not (tmp_path / "keys.json").exists()


def test_nobody_gets_a_key_of_the_tenant_of_the_systems_own_trail(tmp_path: Path) -> None:
    """Its jobs would write beside what kernels refuse."""
    with pytest.raises(InvalidInput, match="tenant"):
        issue_key(tmp_path / "keys.json", tenant="system", actor="a", roles=["agent"])


def test_a_revoked_key_counts_no_more_once_the_file_was_looked_at(tmp_path: Path) -> None:
    path, clock = tmp_path / "keys.json", Clock()
    key, record = issue_key(path, tenant="acme", actor="bot", roles=["agent"])
    keys = ApiKeys(path, clock)
    assert keys.principal_of(key.encode()) is not None
    revoke_key(path, record.key_id)
    clock.now += 1000
    assert keys.principal_of(key.encode()) is None
    assert read_keys(path)[0].disabled
    with pytest.raises(InvalidInput):
        revoke_key(path, "key_none")


def test_headers_can_agree_with_the_key_and_never_change_it(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key, _ = issue_key(path, tenant="acme", actor="bot", roles=["agent"], principals=["ada"])
    keys = ApiKeys(path, Clock())
    mine = (b"x-api-key", key.encode())
    principal = authenticate([mine, (b"x-tenant-id", b"acme"), (b"x-actor", b"admin")], keys)
    assert (principal.tenant, principal.actor, principal.principals) == ("acme", "bot", ("ada",))
    for headers, code in (
        ([mine, (b"x-tenant-id", b"other")], "tenant_mismatch"),
        ([mine, (b"x-tenant-id", b"")], "tenant_mismatch"),
        ([mine, (b"x-tenant-id", b"acme"), (b"x-tenant-id", b"other")], "tenant_mismatch"),
        ([mine, (b"authorization", b"Bearer other")], "unauthenticated"),
        ([(b"authorization", b"Basic " + key.encode())], "unauthenticated"),
        ([], "unauthenticated"),
    ):
        with pytest.raises(Problem) as caught:
            authenticate(headers, keys)
        assert caught.value.code == code


def test_an_admin_may_call_everything_and_is_no_approver_by_name(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key, _ = issue_key(path, tenant="acme", actor="root", roles=["admin"])
    principal = ApiKeys(path, Clock()).principal_of(key.encode())
    assert principal is not None
    assert principal.has(Role.APPROVER)
    assert "release-manager" not in principal.roles
