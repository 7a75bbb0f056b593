"""The table of all settings, made from the classes that read them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from holdgate.client.settings import ClientSettings
from holdgate.scheduler.settings import ALL, PREFIX
from holdgate.workers.settings import WorkerSettings

PROCESSES: tuple[tuple[str, type[BaseSettings]], ...] = (
    *zip(("kernel", "api", "dispatcher", "output-gate", "auditor", "setup"), ALL, strict=True),
    ("worker", WorkerSettings),
    ("client", ClientSettings),
)
PROCESS_NAMES = [name for name, _ in PROCESSES if name != "client"]
HEAD = """# Settings

Every process, and the Python client, is set up by environment variables, read once at start. A variable that begins
with `HOLDGATE_` and is not in this table stops the start of a process. Secrets of processes are in files of mode 0600,
never in a variable. This page is made by `make docs`.
"""


def markdown() -> str:
    """The page."""
    lines = [HEAD, "| variable | default | what it is | read by |", "| --- | --- | --- | --- |"]
    for name in _ordered():
        readers = [process for process, settings in PROCESSES if name in settings.model_fields]
        field = next(settings.model_fields[name] for _, settings in PROCESSES if name in settings.model_fields)
        by = "all processes" if readers == PROCESS_NAMES else ", ".join(readers)
        lines.append(f"| `{PREFIX}{name.upper()}` | {_default(field)} | {field.description} | {by} |")
    return "\n".join([*lines, ""])


def _ordered() -> Iterable[str]:
    """Names in the order of the classes, each once; those that most processes read first."""
    count: dict[str, int] = {}
    for _, settings in PROCESSES:
        for name in settings.model_fields:
            count[name] = count.get(name, 0) + 1
    return sorted(count, key=lambda name: -count[name])


def _default(field: Any) -> str:
    if field.default_factory is not None:
        return "the name of the machine"
    if field.default is PydanticUndefined:
        return "required"
    if field.default in (None, ""):
        return "none"
    return f"`{field.default}`"
