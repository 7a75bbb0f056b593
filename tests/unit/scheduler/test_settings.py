"""Settings: checked once, secrets from private files, nothing misspelt, few."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from holdgate.scheduler.cli.reference import PROCESSES, markdown
from holdgate.scheduler.errors import Misconfigured
from holdgate.scheduler.settings import (
    ALL,
    ApiSettings,
    KernelSettings,
    SetupSettings,
    known_names,
    read_secret,
    read_secrets,
    refuse_unknown,
)
from support.blocks import ROOT

SETTINGS_MAX = 72


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment with what a kernel needs."""
    for name in known_names():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOLDGATE_ROOT_FILE", "/r")
    monkeypatch.setenv("HOLDGATE_ROOT_PINS", "ed25519:00")
    monkeypatch.setenv("HOLDGATE_KEY_FILE", "/k")
    monkeypatch.setenv("HOLDGATE_KERNEL_DIR", "/d")
    return monkeypatch


def test_there_are_not_more_than_can_be_known() -> None:
    """At most seventy-two over all processes, a third of them keys and certificates of connections. Each is described,
    and means one thing wherever it is read."""
    names: dict[str, set[str]] = {}
    for _, settings in PROCESSES:
        for name, field in settings.model_fields.items():
            assert field.description, name
            names.setdefault(name, set()).add(str(field.annotation))
    assert len(names) <= SETTINGS_MAX


def test_the_page_of_the_settings_is_current() -> None:
    """`make docs` writes it."""
    assert (ROOT / "docs" / "reference" / "settings.md").read_text() == markdown()


def test_every_name_in_the_table_is_known_and_no_other() -> None:
    """Workers' and clients' names are listed by hand, so that a kernel need not load them."""
    table = {f"HOLDGATE_{name.upper()}" for _, settings in PROCESSES for name in settings.model_fields}
    assert known_names() == table


def test_the_kernels_process_loads_only_the_trusted_base() -> None:
    """`holdgate.kernel`, the verifying half of `holdgate.bundles`, how a process lives; no API, worker or client."""
    code = (
        "import sys, asyncio\n"
        "from holdgate.scheduler.cli import processes\n"
        "from holdgate.bundles import activate, keys, root, store\n"
        "from holdgate.kernel import service\n"
        "print(sorted(m for m in sys.modules if m.startswith('holdgate.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    loaded = ast.literal_eval(done.stdout)
    for package in (
        "holdgate.scan",
        "holdgate.workers",
        "holdgate.client",
        "holdgate.scheduler.api",
        "holdgate.scheduler.state",
        "holdgate.scheduler.dispatch",
        "holdgate.scheduler.gates",
        "holdgate.scheduler.up",
    ):
        assert not [module for module in loaded if module.startswith(package)], package


def test_settings_come_from_the_environment_and_never_change(environment: pytest.MonkeyPatch) -> None:
    """Read once, frozen."""
    environment.setenv("HOLDGATE_STOP_TIMEOUT_S", "2.5")
    settings = KernelSettings()  # type: ignore[call-arg]
    assert settings.stop_timeout_s == 2.5
    assert settings.kernel_dir == Path("/d")
    with pytest.raises(ValidationError):
        settings.stop_timeout_s = 3.0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HOLDGATE_DURABILITY", "sometimes"),
        ("HOLDGATE_API_LISTEN", "8081"),
        ("HOLDGATE_BODY_BYTES_MAX", "99999999999"),
        ("HOLDGATE_LOG_LEVEL", "loud"),
        ("HOLDGATE_QUEUE_JOBS_MAX", "0"),
    ],
)
def test_values_out_of_bounds_are_refused(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    """And the message does not repeat the value, which may be a secret in the wrong place."""
    environment.setenv("HOLDGATE_API_KEYS_FILE", "/a")
    environment.setenv(name, value)
    with pytest.raises(ValidationError) as caught:
        ApiSettings()  # type: ignore[call-arg]
    assert f"input_value='{value}'" not in str(caught.value)


def test_a_misspelt_setting_stops_the_start(environment: pytest.MonkeyPatch) -> None:
    """It would silently do nothing."""
    refuse_unknown()
    environment.setenv("HOLDGATE_DURABILTY", "relaxed")
    with pytest.raises(Misconfigured, match="`HOLDGATE_DURABILTY`"):
        refuse_unknown()


def test_a_secret_is_read_only_from_a_file_of_its_owner(tmp_path: Path) -> None:
    """Readable by others, missing or empty: refused, with what to do."""
    file = tmp_path / "password"
    with pytest.raises(Misconfigured, match="cannot read"):
        read_secret(file)
    file.write_text("open sesame\nand a comment\n")
    file.chmod(0o640)
    with pytest.raises(Misconfigured, match="chmod 600"):
        read_secret(file)
    file.chmod(0o600)
    assert read_secret(file).get_secret_value() == "open sesame"
    assert "sesame" not in repr(read_secret(file))
    assert read_secrets(file) == (b"open sesame", b"and a comment")
    file.write_text("\n")
    with pytest.raises(Misconfigured, match="is empty"):
        read_secret(file)


def test_every_process_has_settings_of_its_own() -> None:
    """One class a process."""
    assert len(set(ALL)) == len(ALL)


@pytest.mark.parametrize(
    ("written", "size"),
    [(None, None), ("5000", 5000), ("18GB", 18 * 1024**3), ("18G", 18 * 10**9), ("2TiB", 2 * 1024**4), ("7kb", 7168)],
)
def test_what_streams_may_take_is_read_as_the_server_reads_it(written: str | None, size: int | None) -> None:
    assert SetupSettings.model_construct(nats_file_store=written).file_store_bytes() == size


@pytest.mark.parametrize(
    "trusted", ["0.0.0.0/0", "::/0", "*", "proxy", "10.0.0.1/8", "10.0.0.1,", "127.0.0.1, 0.0.0.0/0"]
)
def test_everybody_is_no_proxy(environment: pytest.MonkeyPatch, trusted: str) -> None:
    """Or each client would say itself who it is; neither a name nor a star that would be taken for nothing."""
    environment.setenv("HOLDGATE_API_KEYS_FILE", "/a")
    environment.setenv("HOLDGATE_TRUSTED_PROXIES", "10.0.0.0/8, 2001:db8::1")
    assert ApiSettings().trusted_proxies  # type: ignore[call-arg]  the rest is in the environment
    environment.setenv("HOLDGATE_TRUSTED_PROXIES", trusted)
    with pytest.raises(ValidationError):
        ApiSettings()  # type: ignore[call-arg]  as above
