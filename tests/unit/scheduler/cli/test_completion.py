"""Completion: what may stand where, and a real bash that asks."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import pytest

from holdgate.scheduler.cli import GROUPS
from holdgate.scheduler.cli.completion import SCRIPTS, candidates

SEEN_WITHIN_S = 20.0
LINES = {
    "app": ["approvals"],
    "approvals re": ["reconfirm", "reject"],
    "approvals delegate ": ["give", "list", "revoke"],
    "approvals bulk ": ["approve", "reject"],
    "approvals bulk approve --r": ["--reason", "--rule"],
    "approvals list --order ": ["expiring", "gravest", "newest"],
    "approvals list --order newest --sev": ["--severity"],
    "jobs list --state t": ["timed_out"],
    "jobs submit --payload ": [],
    "jobs show --js": ["--json"],
    "completion z": ["zsh"],
    "approvals nonsense --nonsense x": [],
}


@pytest.mark.parametrize(("line", "found"), LINES.items(), ids=LINES)
def test_what_may_stand_there(line: str, found: list[str]) -> None:
    assert candidates(line.split(" ")) == found


def test_every_group_is_found_and_loads() -> None:
    assert set(GROUPS) <= set(candidates([""]))
    for group in GROUPS:
        assert candidates([group, ""]), group
        assert "--help" in candidates([group, "-"])


def test_what_is_hidden_is_not_offered() -> None:
    assert "--api-key" not in candidates(["jobs", "list", "--api"])
    assert "--api-key-file" in candidates(["jobs", "list", "--api"])


@pytest.mark.parametrize("shell", SCRIPTS)
def test_the_script_is_printed_for_each_shell(shell: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "holdgate.scheduler.cli", "completion", shell],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, SCRIPTS[shell])
    assert "--complete" in done.stdout


class Bash:
    """A real bash at a terminal, with the script of `holdgate completion bash`."""

    def __init__(self, folder: Path) -> None:
        command = folder / "holdgate"
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -m holdgate.scheduler.cli "$@"\n')
        command.chmod(0o755)
        environment = {"PATH": f"{folder}:/usr/bin:/bin", "TERM": "dumb", "PYTHONPATH": os.pathsep.join(sys.path)}
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "-i"],
            env=environment,
            cwd=folder,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.shown = ""

    def type(self, text: str, until: str) -> str:
        """What was shown since, once `until` is among it."""
        start = len(self.shown)
        os.write(self.master, text.encode())
        while until not in self.shown[start:]:
            assert select.select([self.master], [], [], SEEN_WITHIN_S)[0], self.shown
            self.shown += os.read(self.master, 65536).decode(errors="replace")
        return self.shown[start:]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)


def test_a_real_bash_completes_commands_of_groups_that_are_loaded_late(tmp_path: Path) -> None:
    bash = Bash(tmp_path)
    try:
        bash.type("source <(holdgate completion bash); echo rea''dy\n", "ready\r\n")
        bash.type("holdgate app\t", "holdgate approvals ")
        bash.type("rejec\t", "reject ")
        bash.type("--rea\t", "--reason ")
        bash.type("\x15", "")
        shown = bash.type("holdgate approvals delegate \t\t", "revoke")
        assert "give" in shown
        assert "list" in shown
    finally:
        bash.close()
