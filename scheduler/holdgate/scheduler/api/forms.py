"""Members of small JSON bodies, each checked with a problem that names it."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from holdgate.kernel import limits
from holdgate.kernel.clock import parse_rfc3339
from holdgate.scheduler.api.problems import Problem, invalid, invalid_fields

_NONE: frozenset[str] = frozenset()


def members_of(body: Any, *, required: Set[str] = _NONE, optional: Set[str] = _NONE) -> dict[str, Any]:
    """`body` as an object with these members and no others. That a reason is missing is told apart (`reason_of`)."""
    if not isinstance(body, dict):
        raise invalid("body", "an object is expected")
    known = required | optional
    errors = [(name[:64] if name.isprintable() else "body", "an unknown key") for name in body if name not in known]
    errors += [(name, "is needed") for name in sorted(required - {"reason"}) if name not in body]
    if errors:
        raise invalid_fields(errors)
    return body


def text_of(body: Mapping[str, Any], name: str, chars_max: int) -> str:
    """A text of 1 to `chars_max` characters that can be printed."""
    value = body.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= chars_max or not value.isprintable():
        raise invalid(name, f"a text of 1 to {chars_max} printable characters is expected")
    return value


def confirm_of(body: Mapping[str, Any]) -> str:
    """The member `confirm`, which a rule may ask for; empty without one."""
    return "" if body.get("confirm") is None else text_of(body, "confirm", limits.REASON_CHARS_MAX)


def texts_of(body: Mapping[str, Any], name: str, most: int) -> tuple[str, ...]:
    """A list of at most `most` different texts of at most 128 characters."""
    value = body.get(name)
    if not isinstance(value, list) or len(value) > most:
        raise invalid(name, f"a list of at most {most} texts is expected")
    if not all(isinstance(item, str) and 1 <= len(item) <= limits.LABEL_KEY_CHARS_MAX for item in value):
        raise invalid(name, f"texts of at most {limits.LABEL_KEY_CHARS_MAX} characters are expected")
    if len(set(value)) != len(value):
        raise invalid(name, "names something twice")
    return tuple(value)


def number_of(body: Mapping[str, Any], name: str, most: int) -> int:
    """A whole number from 1 to `most`."""
    value = body.get(name)
    if type(value) is not int or not 1 <= value <= most:
        raise invalid(name, f"a number from 1 to {most} is expected")
    return value


def time_of(body: Mapping[str, Any], name: str, now_ms: int, ahead_s_max: int) -> int:
    """A time to come, at most `ahead_s_max` from now, in milliseconds."""
    value = body.get(name)
    try:
        time_ms = parse_rfc3339(value) if isinstance(value, str) else None
    except (ValueError, OverflowError):
        time_ms = None
    if time_ms is None:
        raise invalid(name, "a time such as `2026-01-02T03:04:05Z` is needed")
    if not now_ms < time_ms <= now_ms + ahead_s_max * 1000:
        raise invalid(name, f"must be within the next {ahead_s_max // 86400} days")
    return time_ms


def reason_of(body: Mapping[str, Any]) -> str:
    """The member `reason`; `approval_reason_required` without one."""
    reason = body.get("reason")
    if reason is None or (isinstance(reason, str) and not reason.strip()):
        raise Problem("approval_reason_required", extra={"errors": [{"field": "reason", "detail": "is needed"}]})
    if not isinstance(reason, str) or len(reason) > limits.REASON_CHARS_MAX:
        raise invalid("reason", f"a text of at most {limits.REASON_CHARS_MAX} characters is expected")
    if any(ord(character) < 32 and character not in "\t\n\r" for character in reason):
        raise invalid("reason", "has a control character")
    return reason
