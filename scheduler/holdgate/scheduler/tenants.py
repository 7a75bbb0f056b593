"""What an operator sets for single tenants: a file, read again when it changes.

What always holds: a process starts only with a file that can be read; of one that cannot be read later, what was read
before goes on to count. A changed file counts within a second, without a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import structlog
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from holdgate.kernel.clock import Clock
from holdgate.kernel.ids import NAME
from holdgate.scheduler.errors import Misconfigured

log = structlog.get_logger(__name__)

RELOAD_EVERY_MS = 1000
WEIGHT_MAX = 1000
"""Of a tenant: a larger one would hand a whole ask to one tenant for many rounds."""


class TenantBounds(BaseModel):
    """Of one tenant; None: as for all."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    weight: int | None = Field(None, ge=1, le=WEIGHT_MAX)
    """Its share of what is handed over while others wait, too; 1 where nothing is said."""
    queue_jobs_max: int | None = Field(None, ge=1)
    running_max: int | None = Field(None, ge=1)


_FILE = TypeAdapter(dict[str, TenantBounds])
_PARTS = tuple(TenantBounds.model_fields)


class Tenants:
    """The file at `path`; None: nothing is set. Misconfigured when it cannot be read at first.

    `weights`, `queue_jobs_max` and `running_max` hold those tenants of which the file says it, as it is now.
    """

    def __init__(self, path: Path | None, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._said: dict[str, dict[str, int]] = {part: {} for part in _PARTS}
        self._checked_ms = clock.now_ms()
        self._stamp: tuple[int, int, int] | None = None
        if path is not None:
            try:
                self._read(path)
            except (OSError, ValueError) as error:
                raise Misconfigured(f"the file of tenants `{path}` cannot be used: {_why(error)}") from error
        self.weights = _Live(lambda: self._now()["weight"])
        self.queue_jobs_max = _Live(lambda: self._now()["queue_jobs_max"])
        self.running_max = _Live(lambda: self._now()["running_max"])

    def _now(self) -> Mapping[str, Mapping[str, int]]:
        now_ms = self._clock.now_ms()
        if self._path is not None and not 0 <= now_ms - self._checked_ms < RELOAD_EVERY_MS:
            self._checked_ms = now_ms
            try:
                self._read(self._path)
            except (OSError, ValueError) as error:
                log.critical("the file of tenants cannot be used; what it said before counts",
                             action="tenants_refused", error=_why(error))  # fmt: skip
        return self._said

    def _read(self, path: Path) -> None:
        """OSError or ValueError, and nothing has changed."""
        status = path.stat()
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if stamp == self._stamp:
            return
        bounds = _FILE.validate_json(path.read_bytes())
        for tenant in bounds:
            if not NAME.match(tenant):
                msg = f"`{tenant[:80]}` is no name of a tenant"
                raise ValueError(msg)
        self._said = {part: _values(bounds, part) for part in _PARTS}
        self._stamp = stamp


class _Live(Mapping[str, int]):
    """What `read` gives at each look."""

    def __init__(self, read: Callable[[], Mapping[str, int]]) -> None:
        self._read = read

    def __getitem__(self, tenant: str) -> int:
        return self._read()[tenant]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())


def _values(bounds: Mapping[str, TenantBounds], part: str) -> dict[str, int]:
    said = {tenant: getattr(own, part) for tenant, own in bounds.items()}
    return {tenant: value for tenant, value in said.items() if value is not None}


def _why(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_input=False, include_url=False)[0]
        return f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}"
    return str(error)
