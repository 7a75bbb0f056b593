"""What a receiver can rely on: only what was signed, lately, under this secret, is a notice."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from holdgate.client import WebhookRefused, verify_webhook
from holdgate.scheduler.notify.signature import signed_headers

OTHER = "whsec_" + "QUFB" * 10
KEY = bytes.fromhex("31f290f6bf06298aab4f08d43c3f082cf648a362da2da4b0")
SECRET = "whsec_" + base64.b64encode(KEY).decode()
NOW_S = 1_614_265_330
ID = "ntc_acme_1_2"
BODY = json.dumps({"id": ID, "type": "held"}).encode()


def headers(**changes: str | None) -> dict[str, str]:
    """As they are sent, but for `changes`; None takes one away."""
    made: dict[str, str | None] = {**signed_headers(ID, NOW_S * 1000, BODY, [KEY])}
    made |= {f"webhook-{name}": value for name, value in changes.items()}
    return {name: value for name, value in made.items() if value is not None}


def test_the_signature_is_that_of_the_standard() -> None:
    """The example of the specification's own libraries."""
    made = signed_headers("msg_p5jXN8AQM9LWM0D4loKWxJek", NOW_S * 1000, b'{"test": 2432232314}', [KEY])
    assert made["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("now", [NOW_S, NOW_S + 300, NOW_S - 300])
def test_a_notice_is_taken_within_five_minutes(now: float) -> None:
    """Also by names of headers in another case, and beside signatures of schemes to come."""
    sent = {name.title(): value for name, value in headers().items()}
    assert verify_webhook(sent, BODY, SECRET, now) == {"id": ID, "type": "held"}
    signature = headers()["webhook-signature"]
    assert verify_webhook(headers(signature=f"v2,x v1,!! {signature}"), BODY, [OTHER, SECRET], now)["id"] == ID


@pytest.mark.parametrize(
    ("sent", "body", "secret", "now"),
    [
        (headers(), BODY, SECRET, NOW_S + 301),
        (headers(), BODY, SECRET, NOW_S - 301),
        (headers(timestamp=str(NOW_S + 1)), BODY, SECRET, NOW_S),
        (headers(timestamp="now"), BODY, SECRET, NOW_S),
        (headers(timestamp=""), BODY, SECRET, NOW_S),
        (headers(timestamp="²"), BODY, SECRET, NOW_S),
        (headers(timestamp="-1"), BODY, SECRET, NOW_S),
        (headers(id="ntc_acme_2_2"), BODY, SECRET, NOW_S),
        (headers(), BODY + b" ", SECRET, NOW_S),
        (headers(), BODY, OTHER, NOW_S),
        (headers(), BODY, [], NOW_S),
        (headers(signature=""), BODY, SECRET, NOW_S),
        (headers(signature="v1,"), BODY, SECRET, NOW_S),
        (headers(signature=headers()["webhook-signature"].replace("v1", "v0")), BODY, SECRET, NOW_S),
        (headers(id=None), BODY, SECRET, NOW_S),
        (headers(timestamp=None), BODY, SECRET, NOW_S),
        (headers(signature=None), BODY, SECRET, NOW_S),
    ],
)
def test_anything_else_is_refused(sent: dict[str, str], body: bytes, secret: Any, now: float) -> None:
    """Old, altered, unsigned, signed by somebody else."""
    with pytest.raises(WebhookRefused):
        verify_webhook(sent, body, secret, now)


@pytest.mark.parametrize("body", [b"not json", b"[]", b'{"id": "ntc_other_1_2"}'])
def test_a_body_that_is_not_the_notice_of_its_headers_is_refused(body: bytes) -> None:
    """Signed or not: an id that a receiver keeps must be the notice's."""
    sent = signed_headers(ID, NOW_S * 1000, body, [KEY])
    with pytest.raises(WebhookRefused):
        verify_webhook(sent, body, SECRET, NOW_S)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!!", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
def test_a_secret_that_is_none_is_a_fault_of_the_receiver(secret: str) -> None:
    """It must not look like a notice that was refused."""
    with pytest.raises(ValueError, match="whsec_"):
        verify_webhook(headers(), BODY, secret, NOW_S)
