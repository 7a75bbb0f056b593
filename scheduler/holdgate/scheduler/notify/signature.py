"""How a receiver knows that a notice is ours and new: the scheme of Standard Webhooks, symmetric, version 1.

https://github.com/standard-webhooks/standard-webhooks: HMAC-SHA256 over `id.timestamp.body`, in base64, one signature
for each secret in force. The id stays when a notice is sent again; the timestamp is that of the attempt.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"


def signed_headers(message_id: str, now_ms: int, body: bytes, secrets: Sequence[bytes]) -> dict[str, str]:
    """The three headers. `message_id` has no dot."""
    timestamp = str(now_ms // 1000)
    signed = b".".join((message_id.encode("ascii"), timestamp.encode("ascii"), body))
    codes = [base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode() for secret in secrets]
    return {ID: message_id, TIMESTAMP: timestamp, SIGNATURE: " ".join(f"v1,{code}" for code in codes)}
