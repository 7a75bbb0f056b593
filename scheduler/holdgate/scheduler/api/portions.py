"""Long values in replies: all of one or nothing, because a part of it would be no JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from holdgate.scheduler.api.calls import Call
from holdgate.scheduler.api.problems import invalid

_BYTES = re.compile(r"[0-9]{1,9}\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Portion:
    """The value, None where it is left out or there is none, and what to tell of it."""

    data: bytes | None
    told: Mapping[str, Any]


def portion_of(call: Call, name: str, data: bytes | None, most: int | None = None) -> Portion:
    """What of `data` the query `{name}_bytes_max`, and `most`, let through."""
    bounds = [bound for bound in (_asked(call, f"{name}_bytes_max"), most) if bound is not None]
    size = None if data is None else len(data)
    left_out = size is not None and any(size > bound for bound in bounds)
    told = {f"{name}_shown": data is not None, f"{name}_bytes": size, f"{name}_left_out": left_out}
    return Portion(None if left_out else data, told)


def _asked(call: Call, parameter: str) -> int | None:
    text = call.query.get(parameter)
    if text is None:
        return None
    if _BYTES.match(text) is None:
        raise invalid(parameter, "a number of bytes is expected")
    return int(text)
