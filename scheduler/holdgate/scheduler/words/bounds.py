"""What a run is held to, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdgate.scheduler.words.durations import duration

_NAMES: Mapping[str, str] = {
    "max_runtime_s": "runs at most",
    "max_output_bytes": "bytes of output at most",
    "max_attempts": "attempts at most",
    "max_concurrency": "at once at most",
    "network": "reaches",
    "paths": "keeps away from",
    "env": "sees of the environment",
}
_ALLOWED_ALONE = frozenset({"network", "env"})


def bounds_of(constraints: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Each with its words and how much: `runs at most`, `2 h`. An empty allow-list allows nothing."""
    return [(_NAMES.get(name, name.replace("_", " ")), _told(name, value)) for name, value in constraints.items()]


def _told(name: str, value: Any) -> str:
    if isinstance(value, list | tuple):
        listed = ", ".join(map(str, value)) or "nothing"
        return f"only {listed}" if value and name in _ALLOWED_ALONE else listed
    if isinstance(value, int) and not isinstance(value, bool):
        return duration(value) if name == "max_runtime_s" else f"{value:,}"
    return str(value)
