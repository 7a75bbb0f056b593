"""Times as people write and read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from holdgate.kernel.errors import InvalidInput

UNITS_S = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:([0-9]{1,5})d)?(?:([0-9]{1,5})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,8})s)?")


def seconds_of(text: str) -> int:
    """`90s`, `30m`, `1h30m`, `2d` in seconds; InvalidInput."""
    found = _DURATION.fullmatch(text.strip())
    if found is None or not any(found.groups()):
        raise InvalidInput(f"`{text[:40]}` is no length of time; such as `90s`, `30m`, `1h30m` or `2d`")
    return sum(int(count or 0) * unit for count, unit in zip(found.groups(), UNITS_S.values(), strict=True))


def time_of(text: object) -> datetime | None:
    """A time as the API shows it."""
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None


def clock_text(time: datetime | str | None) -> str:
    """A time to the second: `2026-01-02 03:04:05 UTC`."""
    found = time_of(time) if isinstance(time, str) else time
    return "-" if found is None else found.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def rfc3339_after(now_ms: int, seconds: int) -> str:
    """`seconds` from now, as the API takes it."""
    return datetime.fromtimestamp(now_ms // 1000 + seconds, UTC).isoformat().replace("+00:00", "Z")


def until_of(duration: str | None, until: str | None, now_ms: int, example: str) -> str:
    """The end that `--for` or `--until` names, as the API takes it; InvalidInput unless it is one of them."""
    if duration is not None and until is None:
        return rfc3339_after(now_ms, seconds_of(duration))
    if until is not None and duration is None:
        return until
    raise InvalidInput(f"say for how long: `--for {example}`, or `--until 2026-01-02T03:04:05Z`")


def left_s(until: datetime | None, now_ms: int) -> float | None:
    """Seconds from now until then."""
    return None if until is None else until.timestamp() - now_ms / 1000
