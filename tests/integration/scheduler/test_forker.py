"""The process that starts the others: what is said when it ends."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from holdgate.kernel.tasks import TaskSet
from holdgate.scheduler.errors import ServerUnusable
from holdgate.scheduler.up import supervise
from holdgate.scheduler.up.supervise import Forker, Spec


async def test_one_that_cannot_start_is_told_with_its_last_words_and_no_stack_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even the reset of its socket, with a request in it that nobody read, is a failure of the loop."""
    (tmp_path / "broken_forker.py").write_text("raise ImportError('no module named x')\n")
    monkeypatch.setattr(supervise, "FORKER", "broken_forker")
    met: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: met.append(context))
    tasks = TaskSet(lambda _name, _error: None)
    forker = Forker(lambda _pid, _code: None, tasks)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    forker.start(env, tmp_path / "forker.log")
    with pytest.raises(ServerUnusable, match=r"ended with code 1: ImportError: no module named x; all of it is in"):
        await forker.fork(Spec("kernel", "kernel", ("kernel",), tmp_path / "kernel.log"))
    await tasks.close()
    assert met == []
