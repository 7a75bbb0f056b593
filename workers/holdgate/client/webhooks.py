"""What a receiver of webhooks does first: see that a notice is Holdgate's, new, and not altered.

The scheme is that of Standard Webhooks (https://www.standardwebhooks.com), so its libraries do as well. Needs nothing
but the standard library, and does no IO.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any

from holdgate.kernel.errors import HoldgateError

TOLERANCE_S = 300
"""How far the time of a notice may be from now: an old one that somebody kept is refused."""
_PREFIX = "whsec_"


class WebhookRefused(HoldgateError):
    """this is no notice of ours: answer 400 and do nothing"""

    code = "webhook_refused"


def verify_webhook(
    headers: Mapping[str, str], body: bytes, secret: str | Sequence[str], now: float, *, tolerance_s: int = TOLERANCE_S
) -> dict[str, Any]:
    """The notice in `body`, if one of its signatures is by `secret` (`whsec_…`; several while they change) and its time
    is within `tolerance_s` of `now` (seconds since the epoch); WebhookRefused otherwise.

    `body` are the bytes as they came. The same notice may come more than once, always with the same `id`: keep the ids
    of the last day and answer 2xx to one that is known.
    """
    message_id, timestamp, signatures = (
        _header(headers, f"webhook-{name}") for name in ("id", "timestamp", "signature")
    )
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise WebhookRefused("`webhook-timestamp` is no time")
    if abs(now - int(timestamp)) > tolerance_s:
        raise WebhookRefused("the notice is too old, or from a clock that is ahead")
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    secrets = [secret] if isinstance(secret, str) else list(secret)
    expected = [hmac.new(_key(each), signed, hashlib.sha256).digest() for each in secrets]
    # All of them, whichever fits: how long it takes tells nothing.
    fits = [hmac.compare_digest(given, own) for given in _given(signatures) for own in expected]
    if not any(fits):
        raise WebhookRefused("no signature fits")
    return _notice(body, message_id)


def _header(headers: Mapping[str, str], name: str) -> str:
    for key, value in headers.items():
        if key.lower() == name:
            return value
    raise WebhookRefused(f"`{name}` is missing")


def _given(signatures: str) -> list[bytes]:
    found = []
    for part in signatures.split():
        version, _, code = part.partition(",")
        if version == "v1":
            try:
                found.append(base64.b64decode(code, validate=True))
            except (binascii.Error, ValueError):
                continue
    return found


def _key(secret: str) -> bytes:
    text = secret.strip()
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith(_PREFIX) or not key:
        raise ValueError("a secret is `whsec_` and base64")
    return key


def _notice(body: bytes, message_id: str) -> dict[str, Any]:
    try:
        notice = json.loads(body)
    except ValueError as error:
        raise WebhookRefused("the body is not JSON") from error
    if not isinstance(notice, dict) or notice.get("id") != message_id:
        raise WebhookRefused("the body is not the notice that its headers name")
    return notice
