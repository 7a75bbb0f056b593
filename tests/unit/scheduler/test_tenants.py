"""The file of tenants."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from holdgate.scheduler.errors import Misconfigured
from holdgate.scheduler.tenants import RELOAD_EVERY_MS, Tenants


class Turned:
    """A clock that tests turn."""

    def __init__(self) -> None:
        self.ms = 1_800_000_000_000

    def now_ms(self) -> int:
        return self.ms


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "tenants.json"
    file.write_text('{"acme": {"weight": 4, "running_max": 9}, "trial": {"queue_jobs_max": 1}}')
    return file


def test_each_part_names_those_that_the_file_gives_one(file: Path) -> None:
    tenants = Tenants(file, Turned())
    assert dict(tenants.weights) == {"acme": 4}
    assert dict(tenants.running_max) == {"acme": 9}
    assert dict(tenants.queue_jobs_max) == {"trial": 1}
    assert not Tenants(None, Turned()).weights


def test_a_change_counts_within_a_second_and_one_that_cannot_be_used_does_not(file: Path) -> None:
    clock = Turned()
    tenants = Tenants(file, clock)
    file.write_text('{"acme": {"weight": 25}}')
    assert dict(tenants.weights) == {"acme": 4}
    clock.ms += RELOAD_EVERY_MS
    assert (dict(tenants.weights), dict(tenants.running_max)) == ({"acme": 25}, {})
    file.write_text('{"acme": {"weight": 0}, "other": {"weight": 3}}')
    clock.ms += RELOAD_EVERY_MS
    with capture_logs() as logs:
        assert dict(tenants.weights) == {"acme": 25}
        assert dict(tenants.weights) == {"acme": 25}
    assert [entry["action"] for entry in logs] == ["tenants_refused"]
    file.unlink()
    clock.ms += RELOAD_EVERY_MS
    assert dict(tenants.weights) == {"acme": 25}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "JSON"),
        ("[]", "dictionary|object"),
        ('{"acme": {"weight": 1001}}', "acme.weight"),
        ('{"acme": {"weight": "4"}}', "acme.weight"),
        ('{"acme": {"running_max": 0}}', "acme.running_max"),
        ('{"acme": {"queue_jobs_max": 0}}', "acme.queue_jobs_max"),
        ('{"acme": {"wieght": 4}}', "acme.wieght"),
        ('{"no name": {}}', "no name of a tenant"),
    ],
)
def test_no_process_starts_with_a_file_that_cannot_be_used(file: Path, text: str, why: str) -> None:
    file.write_text(text)
    with pytest.raises(Misconfigured, match=why):
        Tenants(file, Turned())
    file.unlink()
    with pytest.raises(Misconfigured, match="cannot be used"):
        Tenants(file, Turned())
