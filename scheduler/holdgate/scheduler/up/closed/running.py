"""A running `holdgate up`, as whoever takes parts of it away sees it."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from holdgate.scheduler.errors import Misconfigured
from holdgate.scheduler.up.caller import Caller
from holdgate.scheduler.up.home import Home
from holdgate.scheduler.up.scenes import People

PROBE_S = 1.0
NO_ANSWER = "no answer"
COUNTED = ("holdgate_worker_done_total", "holdgate_worker_running")
PATIENCE_S = 15.0
"""Of a caller: longer than any answer may take."""


class NotHere(Exception):
    """A row that cannot be tried on this system, and why."""


@dataclass(frozen=True, slots=True)
class Running:
    """`runs` counts how often handlers began, as the worker itself says."""

    home: Home
    people: People
    runs: Callable[[], int]

    @classmethod
    def of(cls, directory: Path, runs: Callable[[], int] | None = None) -> Running:
        """The system that runs in `directory`. Misconfigured when there is none."""
        home = Home(directory.absolute())
        state = _state(home)
        made = [
            Caller(state["api"], state["keys"][name], wait_s=PATIENCE_S) for name in ("agent", "approver", "operator")
        ]
        people = People(*made)
        return cls(home, people, runs or (lambda: _runs(home)))

    @property
    def state(self) -> dict[str, Any]:
        """Where everything is now."""
        return _state(self.home)

    def pids(self, kind: str) -> list[int]:
        """Process ids of `kind` now."""
        return [int(pid) for pid in self.state["pids"].get(kind, [])]

    def ready(self) -> tuple[str, dict[str, str]]:
        """What `/readyz` of the API says: its standing, and the checks that fail."""
        try:
            reply = httpx.get(f"{self.state['api']}/readyz", timeout=PROBE_S, trust_env=False).json()
        except httpx.HTTPError as error:
            return "no answer", {"api": type(error).__name__}
        standing = reply["status"] if isinstance(reply["status"], str) else "not_ready"
        return standing, {name: said for name, said in reply.get("checks", {}).items() if said != "ok"}

    def others(self) -> dict[str, str]:
        """What `/readyz` of each process beside the API says, with the names of the checks that fail."""
        with ThreadPoolExecutor(8) as pool:
            urls: dict[str, str] = self.state["probes"]
            return dict(zip(urls, pool.map(_standing, urls.values()), strict=True))

    def metrics(self) -> str:
        """The page of all processes."""
        return httpx.get(self.state["metrics"], timeout=PATIENCE_S, trust_env=False).text

    def close(self) -> None:
        """Let go of the connections."""
        for caller in (self.people.agent, self.people.approver, self.people.operator):
            caller.close()


def _state(home: Home) -> dict[str, Any]:
    try:
        state: dict[str, Any] = json.loads(home.state_file.read_text())
    except (OSError, ValueError) as error:
        raise Misconfigured(f"no `holdgate up` runs in `{home.path}`") from error
    return state


def _standing(url: str) -> str:
    try:
        reply = httpx.get(f"{url}/readyz", timeout=PROBE_S, trust_env=False).json()
    except (httpx.HTTPError, ValueError):
        return NO_ANSWER
    failing = sorted(name for name, said in reply.get("checks", {}).items() if said != "ok")
    return f"{reply['status']}: {', '.join(failing)}" if failing else str(reply["status"])


def _runs(home: Home) -> int:
    """Runs that began, by the workers themselves: they count those that go on, and each at its end."""
    total = 0.0
    for name, url in _state(home)["probes"].items():
        if name.startswith("worker"):
            page = httpx.get(f"{url}/metrics", timeout=PROBE_S, trust_env=False).text
            lines = [line for line in page.splitlines() if line.startswith(COUNTED)]
            total += sum(float(line.rpartition(" ")[2]) for line in lines)
    return int(total)
