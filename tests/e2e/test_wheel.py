"""The built wheel, installed with its locked dependencies and nothing else into an empty virtual environment."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from holdgate.scheduler.up.servers import find_redis_server
from support.blocks import ROOT

pytestmark = pytest.mark.xdist_group("wheel")

PACKAGES = ("kernel", "bundles", "scheduler", "workers", "scan", "client")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from this source tree."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, ROOT)
    (built,) = folder.glob("holdgate-*.whl")
    return built


def run(*argv: object, cwd: Path | None = None) -> str:
    """Standard output of a command that succeeds. Nothing of this environment reaches it."""
    # For Python 3.13 and later there is no wheel with a Redis in it: there the one of the tests is on the PATH.
    path = f"{os.environ['PATH']}:{find_redis_server().parent}"
    environment = {"PATH": path, "HOME": os.environ.get("HOME", "/")}
    done = subprocess.run(
        list(map(str, argv)), capture_output=True, text=True, timeout=280, check=False, cwd=cwd, env=environment
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_the_wheel_holds_every_package_its_data_and_nothing_else(wheel: Path) -> None:
    """Everything lies below `holdgate/`, with the scripts, the rules and the marker of types; no tests."""
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"holdgate"}
    for package in PACKAGES:
        assert f"holdgate/{package}/__init__.py" in names
        assert f"holdgate/{package}/py.typed" in names
    assert "holdgate/__init__.py" not in names  # a namespace, so that other distributions may add to it
    assert [name for name in names if name.endswith(".lua")]
    starters = ROOT / "bundles" / "holdgate" / "bundles" / "starter"
    wanted = {f"holdgate/bundles/starter/{path.relative_to(starters).as_posix()}" for path in starters.rglob("*.yaml")}
    assert len(wanted) > 50
    assert {name for name in names if name.startswith("holdgate/bundles/starter/")} == wanted
    for folder in ("templates", "static"):
        files = ROOT / "scheduler" / "holdgate" / "scheduler" / "console" / folder
        shown = {
            f"holdgate/scheduler/console/{folder}/{path.relative_to(files).as_posix()}" for path in files.rglob("*.*")
        }
        assert shown <= set(names)


def test_the_wheel_alone_runs_the_demo(wheel: Path, tmp_path: Path) -> None:
    """As a user would install it: wheel and locked dependencies, hashes checked, away from the source tree."""
    python = tmp_path / "venv" / "bin" / "python"
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    locked = ("--require-hashes", "--only-binary", ":all:", "-r", ROOT / "requirements" / "runtime.txt")
    run(python, "-m", "pip", "install", "-q", *locked)
    run(python, "-m", "pip", "install", "-q", "--no-deps", wheel)
    run(python, "-m", "pip", "check")
    where = run(python, "-c", "import holdgate.kernel.service as m; print(m.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(tmp_path)
    shown = run(tmp_path / "venv" / "bin" / "holdgate", "demo", cwd=tmp_path)
    assert "DIFF" not in shown
