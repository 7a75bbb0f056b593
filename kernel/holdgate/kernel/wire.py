"""msgpack between processes and in stores: bounded, without extension types, errors of one kind.

What always holds: what a newer release wrote in another form is never half read; keys that it added are passed over.
"""

from __future__ import annotations

from typing import Any

import msgpack

from holdgate.kernel import limits
from holdgate.kernel.errors import InvalidInput, RecordNewer

VERSION = 1


def pack(value: dict[str, Any]) -> bytes:
    """Bytes of a message; every message is a map and says its version."""
    packed: bytes = msgpack.packb({"v": VERSION, **value}, use_bin_type=True)
    return packed


def unpack(data: bytes, *, bytes_max: int = limits.ENVELOPE_BYTES_MAX) -> dict[str, Any]:
    """The message in `data`; InvalidInput when it is not one of this version, RecordNewer when it is of a later one."""
    if len(data) > bytes_max:
        raise InvalidInput(f"a message of {len(data)} bytes is over the limit of {bytes_max}")
    try:
        value = msgpack.unpackb(data, raw=False, strict_map_key=True, ext_hook=_refuse_ext)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise InvalidInput("a message is not msgpack") from error
    if not isinstance(value, dict):
        raise InvalidInput("a message of an unknown version")
    version = value.pop("v", None)
    if type(version) is int and version > VERSION:
        raise RecordNewer(f"a record of version {version}; this release reads up to {VERSION}")
    if type(version) is not int or version != VERSION:
        raise InvalidInput("a message of an unknown version")
    return value


def _refuse_ext(code: int, _data: bytes) -> Any:
    raise InvalidInput(f"msgpack extension type {code} is not used here")
