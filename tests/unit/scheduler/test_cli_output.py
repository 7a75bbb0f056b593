"""Commands whose output cannot be shown or written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.trust import STARTER

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}


@pytest.fixture
def pair(tmp_path: Path) -> list[str]:
    """Two versions of a bundle."""
    places = [tmp_path / "one", tmp_path / "two"]
    for place in places:
        shutil.copytree(STARTER, place)
    source = places[1] / "bundle.yaml"
    source.write_text(source.read_text().replace("version: 1", "version: 2"))
    return [str(place) for place in places]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "holdgate.scheduler.cli", *arguments]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_what_a_locale_cannot_show_is_written_as_an_escape(pair: list[str], encoding: str) -> None:
    environment = {**ENVIRONMENT, "PYTHONIOENCODING": encoding}
    done = subprocess.run(
        command("bundle", "diff", *pair), env=environment, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"version  1 \\u2192 2" in done.stdout


@pytest.mark.parametrize("arguments", [["bundle", "diff"], ["bundle", "build"], ["settings"], ["version"]], ids=str)
def test_a_full_disk_is_one_line_and_an_exit_code(pair: list[str], tmp_path: Path, arguments: list[str]) -> None:
    paths = {"diff": pair, "build": [pair[0], "-o", str(tmp_path / "built")]}.get(arguments[-1], [])
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command(*arguments, *paths), env=ENVIRONMENT, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False
        )
    assert (done.returncode, done.stderr) == (1, b"holdgate: no space left on device\n")


@pytest.mark.parametrize("arguments", [["bundle", "diff"], ["settings"]], ids=str)
def test_who_stops_reading_is_told_nothing(pair: list[str], arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    paths = pair if arguments[-1] == "diff" else []
    done = subprocess.run(
        command(*arguments, *paths), env=ENVIRONMENT, stdout=writing, stderr=subprocess.PIPE, timeout=60, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")
