"""The pages for newcomers, as a newcomer would follow them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from holdgate.bundles.documents import load_rules_file
from holdgate.scheduler.up.caller import Caller
from holdgate.workers import Worker
from support.blocks import ALONE, ROOT, SHARED, SYSTEM, blocks, tools_path, write_files
from support.waiting import eventually_sync
from support.whole import Whole, running_whole

QUICKSTART = ROOT / "docs" / "quickstart.md"
POLICY = ROOT / "docs" / "how-to" / "write-a-policy.md"
PEOPLE = "<!-- test: people -->"
WORKER = ROOT / "docs" / "how-to" / "write-a-worker.md"
PAGES = sorted(page.relative_to(ROOT) for page in (ROOT / "docs").rglob("*.md"))


def marked(mark: str) -> list[Path]:
    """Pages with a block that is marked so."""
    return [page for page in PAGES if mark in (ROOT / page).read_text()]


def test_the_quickstart_holds_releases_and_runs_a_deployment(whole: Whole, tmp_path: Path) -> None:
    """Ports and keys are those of the running system; everything else is the text of the page."""
    (walk,) = blocks(QUICKSTART, "bash", marked=True)
    shown = follow(walk.replace("http://127.0.0.1:8081", whole.api), whole, tmp_path)
    assert '"reason": "human review required for prod write"' in shown
    assert '"state": "succeeded"' in shown


def test_the_quickstart_does_the_same_at_a_terminal(whole: Whole, tmp_path: Path) -> None:
    """With the keys and the address that the system keeps in its directory."""
    (walk,) = blocks(QUICKSTART, "bash", marked=True, mark=PEOPLE)
    shown = follow(walk, whole, tmp_path)
    assert "is released, the job is queued" in shown
    assert "succeeded" in shown


def test_the_policy_page_takes_a_bundle_from_draft_to_in_force(tmp_path: Path) -> None:
    """Its rules, its bundle.yaml and its commands, on a system of its own, since they change its policy."""
    rules, further, bundle = blocks(POLICY, "yaml")
    assert load_rules_file("rules.yaml", (rules + further).encode(), "refunds").rules[-1].approval is not None
    draft = tmp_path / "refunds"
    draft.mkdir()
    (draft / "rules.yaml").write_text(rules)
    (draft / "bundle.yaml").write_text(bundle)
    (publish,) = blocks(POLICY, "bash", marked=True)
    with running_whole(tmp_path) as system:
        shown = follow(publish, system, tmp_path)
        assert '"name": "refunds"' in shown
        caller = Caller(system.api, system.key("agent"))
        eventually_sync(
            lambda: caller.submit("job.refund.create", payload={"amount": 500})[1].get("state") == "held",
            why="the new bundle is in force",
        )
        caller.close()


def test_the_worker_of_the_page_registers_its_handlers() -> None:
    """It runs as it stands."""
    (source,) = (block for block in blocks(WORKER, "python") if "Worker(" in block)
    names: dict[str, object] = {"__name__": "my_module"}
    exec(source, names)  # noqa: S102  the page's own code
    worker = names["worker"]
    assert isinstance(worker, Worker)
    assert list(worker.handlers.patterns) == ["job.report.build", "job.report.render"]


@pytest.mark.parametrize("page", marked(ALONE), ids=str)
def test_a_page_whose_commands_need_no_system(page: Path, tmp_path: Path) -> None:
    """Its files and, as one script, its commands."""
    write_files(ROOT / page, tmp_path)
    run("\n".join(blocks(ROOT / page, "bash", marked=True, mark=ALONE)), {}, tmp_path)


@pytest.mark.parametrize("page", marked(SHARED), ids=str)
def test_a_page_whose_commands_leave_a_system_as_it_was(page: Path, whole: Whole, tmp_path: Path) -> None:
    """Its commands, as one script."""
    follow("\n".join(blocks(ROOT / page, "bash", marked=True, mark=SHARED)), whole, tmp_path)


@pytest.mark.parametrize("page", marked(SYSTEM), ids=str)
def test_a_page_whose_commands_change_a_system(page: Path, tmp_path: Path) -> None:
    """Its files and, as one script, its commands, on a system of its own."""
    folder = tmp_path / "walk"
    folder.mkdir()
    write_files(ROOT / page, folder)
    with running_whole(tmp_path) as system:
        follow("\n".join(blocks(ROOT / page, "bash", marked=True, mark=SYSTEM)), system, folder)


def follow(script: str, system: Whole, folder: Path) -> str:
    """What the commands print on a system; they must not fail."""
    here = folder / ".holdgate"
    if not here.exists():
        here.symlink_to(system.folder)
    environment = {
        "API": system.api,
        "DIR": str(system.folder),
        "KEY": system.key("agent"),
        "APPROVER": system.key("approver"),
        "AUTHOR": system.key("author"),
        "OPERATOR": system.key("operator"),
    }
    return run(script, environment, folder)


def run(script: str, more: dict[str, str], folder: Path) -> str:
    """What the commands print; they must not fail."""
    environment = {"PATH": tools_path(f"{Path(sys.executable).parent}:{os.environ['PATH']}"), **more}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
