"""A compose file run without a container engine: each service's command as a process, in the service's environment.

Paths and addresses inside a container are translated to those of this machine; everything else is what the file says.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from holdgate.scheduler.up.children import free_port
from support.blocks import ROOT

FILE = ROOT / "compose.yaml"
SECRETS = "/run/secrets/"


def load(variables: dict[str, str]) -> dict[str, Any]:
    """The file with `${NAME}` and `${NAME:?message}` filled in; KeyError where one is missing."""
    text = re.sub(r"(?<!\$)\$\{(\w+)(?::\?[^}]*)?\}", lambda found: variables[found[1]], FILE.read_text())
    document: dict[str, Any] = yaml.safe_load(text)
    return document


def read_env(file: Path) -> dict[str, str]:
    """The file that `holdgate provision` writes for `docker compose --env-file`."""
    return dict(line.split("=", 1) for line in file.read_text().splitlines())


@dataclass
class Machine:
    """Where the services' addresses and paths are on this machine."""

    document: dict[str, Any]
    folder: Path
    ports: dict[str, int] = field(default_factory=dict)
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def port(self, address: str) -> int:
        """The port that stands for `service:port`."""
        return self.ports.setdefault(address, free_port())

    def translated(self, service: str, text: str) -> str:
        """`text` of a service with this machine's paths and addresses."""
        for name in self.document["services"][service].get("secrets", []):
            text = re.sub(rf"^{SECRETS}{name}$", self.document["secrets"][name]["file"], text)
        for mount in self.document["services"][service].get("volumes", []):
            here, _, there = mount.partition(":")
            text = re.sub(rf"^{re.escape(there)}$", here, text)
        assert SECRETS not in text, f"{service} names a file that it does not mount: {text}"
        text = re.sub(r"\b(nats|redis):(\d+)", lambda at: f"127.0.0.1:{self.port(at[0])}", text)
        return re.sub(r"^0\.0\.0\.0:(\d+)$", lambda at: f"127.0.0.1:{self.port(f'{service}:{at[1]}')}", text)

    def start(self, service: str) -> subprocess.Popen[bytes]:
        """Run a service's command with its environment."""
        definition = self.document["services"][service]
        given = {name: self.translated(service, str(value)) for name, value in definition["environment"].items()}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HOLDGATE_")}
        command = [self.translated(service, part) for part in definition["command"]]
        with (self.folder / f"{service}.log").open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "holdgate.scheduler.cli", *command],
                env={**inherited, **given},
                stdout=log,
                stderr=log,
            )
        self.running.append(child)
        return child

    def log(self, service: str) -> str:
        """What a service wrote."""
        return (self.folder / f"{service}.log").read_text()

    def stop(self) -> None:
        """End every service."""
        for child in self.running:
            child.terminate()
        for child in self.running:
            child.wait(20)
