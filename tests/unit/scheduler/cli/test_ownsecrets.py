"""What a process that scans knows of the platform's own secrets."""

from __future__ import annotations

import base64
import json
import secrets
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from holdgate.kernel.clock import SystemClock
from holdgate.kernel.nkeys import Nkey
from holdgate.scan import Scanner
from holdgate.scan.findings import Category
from holdgate.scan.known import made_by_us
from holdgate.scheduler.cli.ownsecrets import own_digests, own_secrets
from holdgate.scheduler.errors import Misconfigured
from holdgate.scheduler.settings import ApiSettings, OutputGateSettings
from holdgate.scheduler.up.provision import Provisioned, provision


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Provisioned:
    """A directory as `holdgate up` makes it."""
    return provision(tmp_path_factory.mktemp("home"), SystemClock())


def api(made: Provisioned, **more: Any) -> ApiSettings:
    home = made.home
    return ApiSettings(
        root_file=home.root_file, root_pins=made.root_pins, key_file=home.key_file("api"),
        api_keys_file=home.api_keys_file, **more,
    )  # fmt: skip


def private(folder: Path, text: str) -> Path:
    """A file that only its owner may read."""
    file = folder / "secret"
    file.write_text(text)
    file.chmod(0o600)
    return file


def test_passwords_keys_and_what_the_operator_names_are_known_each_once(made: Provisioned) -> None:
    home = made.home
    known = own_secrets(
        api(
            made,
            nats_nkey_file=home.nkey_file("api"),
            redis_password_file=home.password_file("redis-api"),
            quarantine_key_file=home.key_file("quarantine"),
            known_secrets_file=home.known_secrets_file,
        )
    )
    seeds = [json.loads(home.key_file(name).read_bytes())["seed"] for name in ("api", "quarantine")]
    expected = {bytes.fromhex(seed) for seed in seeds} | {made.passwords["redis-api"].encode()}
    expected |= {made.home.nkey_file("api").read_bytes().strip()}
    assert set(known) == expected
    assert len(known) == len(set(known))


def test_what_was_made_for_others_is_found_and_nobody_who_looks_for_it_has_it(made: Provisioned) -> None:
    """The process that reads hostile outputs must not become whoever it protects."""
    home = made.home
    others = [file.read_text().strip() for file in home.path.glob("secrets/*.nkey")]
    others += [*made.passwords.values(), *made.keys.values(), home.password_file("fingerprint").read_text().strip()]
    text = home.known_secrets_file.read_text()
    assert not [secret for secret in others if secret in text]
    digests = own_digests(api(made, known_secrets_file=home.known_secrets_file))
    scanner = Scanner(known_digests=made_by_us(digests), rules=())
    for secret in others:
        for shown in (f"it is {secret}.", base64.b64encode(f"it is {secret}.".encode()).decode()):
            assert [finding.category for finding in scanner.scan(shown)] == [Category.PLATFORM_SECRET], secret[:2]
    assert scanner.scan(f"{secrets.token_hex(24)} {Nkey.generate().seed}") == []


def test_a_process_knows_its_own_nkey_without_being_told(made: Provisioned) -> None:
    """Nobody has to name it in the operator's file."""
    (known, *_) = [
        each for each in own_secrets(api(made, nats_nkey_file=made.home.nkey_file("api"))) if each[:2] == b"SU"
    ]
    assert known == made.home.nkey_file("api").read_bytes().strip()


def test_the_output_gate_knows_the_key_of_its_fingerprints(made: Provisioned) -> None:
    file = made.home.password_file("fingerprint")
    settings = OutputGateSettings(root_file=made.home.root_file, root_pins=made.root_pins, fingerprint_key_file=file)
    assert own_secrets(settings) == (file.read_bytes().strip(),)


def test_a_password_that_chance_may_write_is_not_looked_for(made: Provisioned, tmp_path: Path) -> None:
    """Every job with a short word in it would be refused."""
    file = private(tmp_path, secrets.token_hex(2))
    assert file.read_bytes() not in own_secrets(api(made, redis_password_file=file))


@pytest.mark.parametrize(("size", "warned"), [(11, True), (12, False)])
def test_a_secret_that_may_be_guessed_by_what_is_refused_is_looked_for_with_a_warning(
    tmp_path: Path, made: Provisioned, size: int, warned: bool
) -> None:
    """A refusal tells; a job holds many guesses."""
    file = private(tmp_path, secrets.token_hex(6)[:size])
    with capture_logs() as logs:
        assert file.read_bytes().strip() in own_secrets(api(made, redis_password_file=file))
    assert ("secret_short" in [each["action"] for each in logs]) is warned


def test_a_line_of_the_operator_s_that_cannot_be_looked_for_stops_the_start(made: Provisioned, tmp_path: Path) -> None:
    """They believe that it is looked for; the message says which line and not what is in it."""
    file = private(tmp_path, f"{secrets.token_hex(8)}\nshort\n")
    with pytest.raises(Misconfigured, match="secret 2 in") as raised:
        own_secrets(api(made, known_secrets_file=file))
    assert "short" not in str(raised.value)
