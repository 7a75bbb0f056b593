"""What a vote for a release brings along: an opened box, or what is to be read instead of it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from holdgate.kernel import limits
from holdgate.kernel.canonical import canonical_bytes
from holdgate.kernel.ids import Digest
from holdgate.scheduler.api.forms import members_of, text_of
from holdgate.scheduler.api.problems import invalid
from holdgate.scheduler.gates.quarantine import ToRead
from holdgate.scheduler.state.quarantine import Replacement

DIGEST_CHARS_MAX = 128
KINDS = ("opened", "replacement", "replacement_digest")
ERROR_KEYS = frozenset({"type", "message", "trace"})
"""Of an error, as results have it."""
LOG_LINES_MAX = 10_000


def base64_of(data: bytes) -> bytes:
    """How sealed and opened bytes travel in JSON."""
    return base64.b64encode(data)


def content_of(members: Mapping[str, Any]) -> ToRead:
    """What a release is to let be read."""
    given = [name for name in KINDS if members.get(name) is not None]
    if len(given) > 1:
        raise invalid(given[1], f"is given beside `{given[0]}`; say one thing that is to be read")
    match given:
        case ["opened"]:
            return ToRead(opened=_bytes(members["opened"]))
        case ["replacement"]:
            return ToRead(replacement=_replacement(members["replacement"]))
        case ["replacement_digest"]:
            return ToRead(proposed=Digest(text_of(members, "replacement_digest", DIGEST_CHARS_MAX)))
        case _:
            return ToRead()


def _bytes(text: Any) -> bytes:
    try:
        if not isinstance(text, str):
            raise ValueError
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid("opened", "is not base64 of an opened box") from error


def _replacement(value: Any) -> Replacement:
    members = members_of(value, optional={"value", "logs", "error"})
    made = Replacement(
        value=canonical_bytes(members["value"]) if "value" in members else None,
        logs=_logs(members.get("logs")),
        error=_error(members.get("error")),
    )
    if len(canonical_bytes(made.as_dict())) > limits.REPLACEMENT_BYTES_MAX:
        raise invalid("replacement", f"is longer than {limits.REPLACEMENT_BYTES_MAX} bytes")
    return made


def _logs(logs: Any) -> tuple[str, ...]:
    if logs is None:
        return ()
    if not isinstance(logs, list) or len(logs) > LOG_LINES_MAX or not all(isinstance(line, str) for line in logs):
        raise invalid("replacement", f"`logs` is a list of at most {LOG_LINES_MAX} texts")
    return tuple(logs)


def _error(error: Any) -> dict[str, str] | None:
    if error is None:
        return None
    texts = isinstance(error, dict) and all(isinstance(text, str) for text in error.values())
    if not texts or not error.keys() <= ERROR_KEYS:
        raise invalid("replacement", f"`error` is an object of texts: {', '.join(sorted(ERROR_KEYS))}")
    return dict(error)
