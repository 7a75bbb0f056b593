"""msgpack between processes: bounded, without extension types, errors of one kind."""

from __future__ import annotations

from typing import Any

import msgpack

from holdgate.kernel import limits
from holdgate.kernel.errors import InvalidInput

VERSION = 1


def pack(value: dict[str, Any]) -> bytes:
    """Bytes of a message; every message is a map and says its version."""
    packed: bytes = msgpack.packb({"v": VERSION, **value}, use_bin_type=True)
    return packed


def unpack(data: bytes, *, bytes_max: int = limits.ENVELOPE_BYTES_MAX) -> dict[str, Any]:
    """The message in `data`; InvalidInput when it is not one of this version."""
    if len(data) > bytes_max:
        raise InvalidInput(f"a message of {len(data)} bytes is over the limit of {bytes_max}")
    try:
        value = msgpack.unpackb(data, raw=False, strict_map_key=True, ext_hook=_refuse_ext)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise InvalidInput("a message is not msgpack") from error
    if not isinstance(value, dict) or value.pop("v", None) != VERSION:
        raise InvalidInput("a message of an unknown version")
    return value


def _refuse_ext(code: int, _data: bytes) -> Any:
    raise InvalidInput(f"msgpack extension type {code} is not used here")
