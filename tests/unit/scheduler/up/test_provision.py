"""The directory of a `holdgate up`: made once, found again, private."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from holdgate.bundles.chain import sign_root
from holdgate.bundles.errors import KeyUnsafe
from holdgate.bundles.format import build_bundle, parse_bundle
from holdgate.bundles.keys import load_public, load_signer
from holdgate.bundles.root import Approver, Pins, RootKeys
from holdgate.bundles.rootfile import load_chain, load_root
from holdgate.bundles.trusted import TrustedSet, parse_bundle_rules
from holdgate.kernel.clock import SystemClock
from holdgate.kernel.standing import roles_asked
from holdgate.scheduler.identity.keys import key_sha256, read_keys
from holdgate.scheduler.up import plan
from holdgate.scheduler.up.credentials import nkeys
from holdgate.scheduler.up.plan import Ports
from holdgate.scheduler.up.provision import (
    CALLERS,
    ROOT_LIFETIME_S,
    ROOT_RENEW_BEFORE_S,
    STARTER_APPROVER_ROLES,
    provision,
)
from holdgate.workers.settings import load_keys
from support.trust import STARTER, signer

CLOCK = SystemClock()


class At:
    """A clock that stands."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        return self._now_ms


def test_the_root_names_the_keys_that_lie_in_the_directory(tmp_path: Path) -> None:
    """And is signed by the pinned root key."""
    made = provision(tmp_path / "d", CLOCK)
    trust = load_root(made.home.root_file, Pins.parse(made.root_pins), CLOCK.now_ms()).trust()
    assert not trust.fail_modes.submit_open
    assert not trust.fail_modes.dispatch_open
    assert trust.quarantine_key is not None
    listed = [trust.api, trust.kernel, trust.dispatcher, trust.auditor]
    for name, keyring in zip(("api", "kernel", "dispatcher", "auditor"), listed, strict=True):
        assert load_public(made.home.key_file(name)).fingerprint in keyring


def test_a_quarantine_key_that_was_taken_elsewhere_stays_away(tmp_path: Path) -> None:
    """No other is made in its place, the root still seals to it, and the API is given none."""
    home = provision(tmp_path / "d", CLOCK).home
    root = home.root_file.read_bytes()
    ports = Ports(1, 2, 3, 4, 5)
    for is_here in (True, False):
        specs = plan.process_specs(home, "1/x", ports, 0, dict)
        (api,) = [spec for spec in specs if spec.name == "api"]
        assert ("quarantine_key_file" in api.env) is is_here
        home.key_file("quarantine").unlink(missing_ok=True)
        provision(tmp_path / "d", CLOCK)
    assert not home.key_file("quarantine").exists()
    assert home.root_file.read_bytes() == root


def test_a_second_time_finds_everything_as_it_was(tmp_path: Path) -> None:
    """Keys, passwords, API keys, root: not one byte differs."""
    first = provision(tmp_path / "d", CLOCK)
    files = {file: file.read_bytes() for file in first.home.path.rglob("*") if file.is_file()}
    second = provision(tmp_path / "d", CLOCK)
    assert second.keys == first.keys
    assert second.passwords == first.passwords
    assert {file: file.read_bytes() for file in first.home.path.rglob("*") if file.is_file()} == files


def test_everything_secret_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    """Folders 0700; files 0600 but public keys and the bundle."""
    made = provision(tmp_path / "d", CLOCK)
    for path in [made.home.path, *made.home.path.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.is_dir():
            assert mode == 0o700, path
        elif path.suffix not in (".pub", ".bundle"):
            assert mode == 0o600, path


def test_a_key_that_others_may_read_stops_the_start(tmp_path: Path) -> None:
    """It may have been copied."""
    made = provision(tmp_path / "d", CLOCK)
    made.home.key_file("kernel").chmod(0o644)
    with pytest.raises(KeyUnsafe, match="chmod 600"):
        provision(tmp_path / "d", CLOCK)


def test_api_keys_are_kept_as_hashes_and_have_the_promised_roles(tmp_path: Path) -> None:
    """Eight callers; approvers hold the names that the starter bundle asks for; agents are two actors of one tenant."""
    made = provision(tmp_path / "d", CLOCK)
    assert set(made.keys) == set(CALLERS)
    records = {record.sha256: record for record in read_keys(made.home.api_keys_file)}
    assert len(records) == len(CALLERS)
    for name, key in made.keys.items():
        record = records[key_sha256(key)]
        assert record.actor == name
        assert record.tenant == "default"
        assert key not in made.home.api_keys_file.read_text()
    for name in ("approver", "approver2"):
        assert set(STARTER_APPROVER_ROLES) < set(records[key_sha256(made.keys[name])].roles)


def test_approvers_hold_every_name_that_a_starter_bundle_asks_for(tmp_path: Path) -> None:
    """Otherwise a job of the demo, or of a bundle that began as one of them, would wait for ever."""
    published = parse_bundle(provision(tmp_path / "d", CLOCK).starter)
    starters = [parse_bundle(build_bundle(path.parent)) for path in STARTER.parent.glob("*/bundle.yaml")]
    assert len(starters) > 1
    asked: set[str] = set()
    for file in (published, *starters):
        approvals = [rule.approval for rule in parse_bundle_rules(file).rules if rule.approval is not None]
        asked.update(role for approval in approvals for role in roles_asked(approval))
    assert asked == set(STARTER_APPROVER_ROLES)


def test_the_starter_bundle_would_be_accepted_under_the_root(tmp_path: Path) -> None:
    """With the kernel's own verification."""
    made = provision(tmp_path / "d", CLOCK)
    now_ms = CLOCK.now_ms()
    root = load_root(made.home.root_file, Pins.parse(made.root_pins), now_ms)
    accepted = TrustedSet.under(root).accept(made.starter, now_ms)
    assert accepted.active() is not None


def test_workers_pin_the_approvers_that_the_root_names(tmp_path: Path) -> None:
    """Also those that the owner named in it later."""
    made = provision(tmp_path / "d", CLOCK)
    assert load_keys(made.home.worker_keys_file).approvers == ()
    chain = load_chain(made.home.root_file, Pins.parse(made.root_pins), CLOCK.now_ms())
    dana = Approver(actor="dana", public_key=signer("dana").public_key.hex(), roles=["release-manager"])
    changed = chain.root.model_copy(update={"version": 2, "approvers": [dana]})
    made.home.root_file.write_bytes(sign_root(changed, [load_signer(made.home.key_file("root"))], after=chain))
    provision(tmp_path / "d", CLOCK)
    (pinned,) = load_keys(made.home.worker_keys_file).approvers
    assert (pinned.actor, pinned.public_key) == ("dana", signer("dana").public_key)


def test_a_root_that_ends_soon_is_followed_by_its_next_version(tmp_path: Path) -> None:
    """A laptop that was asleep for a year starts again, under the same keys and one version further."""
    now_ms = CLOCK.now_ms()
    made = provision(tmp_path / "d", At(now_ms))
    before = load_root(made.home.root_file, Pins.parse(made.root_pins), now_ms)
    late_ms = now_ms + (ROOT_LIFETIME_S - ROOT_RENEW_BEFORE_S + 1) * 1000
    provision(tmp_path / "d", At(late_ms))
    chain = load_chain(made.home.root_file, Pins.parse(made.root_pins), late_ms)
    chain.verify_holds(before.version, before.digest)
    assert chain.root.version == before.version + 1
    assert chain.root.kernel_keys == before.kernel_keys


def test_a_root_that_the_owner_gave_other_root_keys_is_left_as_it_is(tmp_path: Path) -> None:
    """The key in the directory cannot sign for it; a file without its signatures would stop every process."""
    now_ms = CLOCK.now_ms()
    made = provision(tmp_path / "d", At(now_ms))
    present = load_chain(made.home.root_file, Pins.parse(made.root_pins), now_ms)
    keys = RootKeys(keys=[signer(name).public_key.hex() for name in ("r1", "r2")], threshold=2)
    changed = present.root.model_copy(update={"version": 2, "root": keys})
    signers = [load_signer(made.home.key_file("root")), signer("r1"), signer("r2")]
    made.home.root_file.write_bytes(sign_root(changed, signers, after=present))
    before = made.home.root_file.read_bytes()
    late_ms = now_ms + (ROOT_LIFETIME_S - ROOT_RENEW_BEFORE_S + 1) * 1000
    provision(tmp_path / "d", At(late_ms))
    assert made.home.root_file.read_bytes() == before
    assert load_root(made.home.root_file, Pins.parse(made.root_pins), late_ms).version == 2


def test_each_process_gets_its_own_key_its_own_user_and_no_secret_in_its_environment(tmp_path: Path) -> None:
    """Only names of files."""
    made = provision(tmp_path / "d", CLOCK)
    specs = plan.process_specs(made.home, made.root_pins, Ports(1, 2, 3, 4, 5), 2, lambda settings: settings)
    assert [spec.kind for spec in specs].count("worker") == 2
    secrets = {*made.passwords.values(), *made.keys.values(), *(key.seed for key in nkeys(made.home))}
    users, keys = [], []
    for spec in specs:
        assert not secrets & set(spec.env.values())
        users.append(spec.env["nats_user"])
        keys.append(spec.env.get("key_file"))
        assert spec.env["nats_nkey_file"].endswith(f"secrets/{spec.env['nats_user']}.nkey")
        if "redis_url" in spec.env:
            assert spec.env["redis_password_file"].endswith(f"secrets/redis-{spec.env['redis_user']}")
    held = [key for key in keys if key is not None]
    assert len(held) == len(set(held)) == 4
    assert sorted(set(users)) == ["api", "auditor", "dispatcher", "kernel", "output-gate", "worker-default"]
    assert not {"root.key", "author.key", "quarantine.key"} & {Path(key).name for key in held}
