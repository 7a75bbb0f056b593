"""The ready file: where a running system is and what its processes are. Written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdgate.scheduler.up.plan import HOST, Ports
from holdgate.scheduler.up.servers import write_private

if TYPE_CHECKING:
    from holdgate.scheduler.up.provision import Provisioned


class Ready:
    """`file` is what the user asked for; `state_file` is the same for `holdgate drill --dir`."""

    def __init__(self, file: Path | None, state_file: Path) -> None:
        self._file = file
        self._state_file = state_file
        self.document: dict[str, Any] = {}
        self.metrics_port = 0
        self.notes: list[str] = []
        self._written = False
        self._control = ""
        self._probes: dict[str, str] = {}

    def fill(self, provisioned: Provisioned, ports: Ports) -> None:
        """What does not change while the system runs. Servers as an operator sees them, Redis with the password."""
        from holdgate.scheduler.up.access import OPERATOR
        from holdgate.scheduler.up.provision import TENANT

        self.metrics_port = ports.metrics
        self._probes = {name: f"http://{HOST}:{port}" for name, port in ports.probes.items()}
        api = f"http://{HOST}:{ports.api}"
        self.document = {
            "api": api,
            "metrics": f"http://{HOST}:{ports.metrics}/metrics",
            "console": f"{api}/",
            "nats": f"nats://{HOST}:{ports.nats}",
            "nats_user": OPERATOR,
            "nats_nkey_file": str(provisioned.home.nkey_file(OPERATOR)),
            "redis": provisioned.redis_config(ports.redis).url,
            "tenant": TENANT,
            "keys": dict(provisioned.keys),
            "pids": {},
        }

    def write(self, control: str, pids: Mapping[str, list[int]]) -> None:
        """Everything answers: show the files."""
        self._control = control
        self._written = True
        self.update_pids(pids)

    def update_pids(self, pids: Mapping[str, list[int]]) -> None:
        """A process started or ended."""
        if not self._written:
            return
        self.document["redis"] = _login_of(self._state_file) or self.document["redis"]
        self.document["pids"] = {kind: list(listed) for kind, listed in pids.items()}
        own = {"control": self._control, "supervisor": os.getpid(), "probes": self._probes}
        replace(self._state_file, {**self.document, **own})
        if self._file is not None:
            replace(self._file, self.document)

    def remove(self) -> None:
        """The system is going away."""
        self._written = False
        self._state_file.unlink(missing_ok=True)
        if self._file is not None:
            self._file.unlink(missing_ok=True)


def _login_of(file: Path) -> str | None:
    """How to come into Redis, where an exchange of its password has written that there."""
    try:
        return str(json.loads(file.read_text())["redis"])
    except (OSError, ValueError, KeyError):
        return None


def summary(ready: Ready, directory: Path, seconds: float) -> str:
    """What a person needs to go on."""
    shown = ready.document
    rows = [("API", shown["api"]), ("console", shown["console"]), ("metrics", shown["metrics"])]
    rows += [("data", str(directory))]
    lines = [f"Holdgate is up after {seconds:.1f} s. Ctrl-C stops it.", ""]
    lines += [f"  {name:<10} {value}" for name, value in rows]
    lines += [f"  {'':<10} {note}" for note in ready.notes]
    lines += ["", f"  API keys of tenant `{shown['tenant']}` (for X-API-Key, and to sign in to the console):"]
    lines += [f"  {name:<10} {key}" for name, key in shown["keys"].items()]
    lines += ["", f"  export API={shown['api']} KEY={shown['keys']['agent']}"]
    return "\n".join(lines)


def replace(file: Path, document: Mapping[str, Any]) -> None:
    """Whole or not at all."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    write_private(temporary, json.dumps(document, indent=2) + "\n")  # noqa: TID251  for scripts; never hashed
    temporary.replace(file)
