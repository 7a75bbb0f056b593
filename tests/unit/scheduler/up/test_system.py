"""Which ports a `holdgate up` takes."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdgate.scheduler.errors import Misconfigured
from holdgate.scheduler.up import system
from holdgate.scheduler.up.system import Options


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_the_usual_port_is_taken_when_it_is_free(free_port: int) -> None:
    """So that the pages of the documentation work as written."""
    assert system._port(None, free_port, 1, "--port") == free_port


def test_another_is_taken_when_the_usual_one_is_not_free_and_the_reader_is_told(
    taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The note names both."""
    monkeypatch.setattr(system, "API_PORT", taken)
    options = Options(Path("d"), metrics_port=0)
    ports = system._ports(options)
    assert ports.api != taken
    assert system._notes(options, ports) == [f"port {taken} is taken; the API took {ports.api}"]


def test_zero_is_any_free_port_and_nothing_is_said_about_it() -> None:
    """What was asked for is no surprise."""
    options = Options(Path("d"), port=0, metrics_port=0)
    ports = system._ports(options)
    assert len({ports.api, ports.metrics, ports.nats, ports.nats_monitor, ports.redis}) == 5
    assert system._notes(options, ports) == []


def test_a_port_that_was_asked_for_and_is_taken_is_an_error(taken: int) -> None:
    """A script that asked for it would look there."""
    with pytest.raises(Misconfigured, match="--port 0"):
        system._port(taken, 1, 2, "--port")
