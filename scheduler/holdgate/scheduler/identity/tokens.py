"""Small signed records as text for cookies: `body.key.signature`, the body and the signature in base64url.

What always holds: a token is opened only once its signature held, for the purpose it was made for.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from holdgate.kernel.canonical import canonical_bytes, parse_json
from holdgate.kernel.errors import Forged, InvalidInput
from holdgate.kernel.links import Signed
from holdgate.kernel.permits import Keyring, Signer

TOKEN_CHARS_MAX = 3800
"""A browser keeps a cookie of 4096 bytes, name and attributes included."""


@dataclass(frozen=True, slots=True)
class TokenKeys:
    """With what tokens are signed, and by which keys they hold: None where the trust root has expired."""

    signer: Signer
    keyring: Callable[[], Keyring | None]

    def seal(self, domain: str, body: Mapping[str, Any]) -> str:
        """The token of `body`; InvalidInput when it is longer than a cookie may be."""
        signed = self.signer.sign(domain, canonical_bytes(dict(body)))
        token = ".".join((_text(signed.body), signed.key, _text(signed.signature)))
        if len(token) > TOKEN_CHARS_MAX:
            raise InvalidInput("this does not fit into a cookie")
        return token

    def open(self, domain: str, token: str) -> dict[str, Any]:
        """What is in `token`; Forged when it is not one of ours for this purpose."""
        keyring = self.keyring()
        if keyring is None:
            raise Forged("the trust root has expired")
        try:
            body = parse_json(keyring.verify(domain, _signed_of(token)))
        except InvalidInput as error:
            raise Forged("not a token") from error
        if not isinstance(body, dict):
            raise Forged("not a token")
        return body


def _signed_of(token: str) -> Signed:
    parts = token.split(".")
    if len(token) > TOKEN_CHARS_MAX or len(parts) != 3 or not token.isascii():
        raise Forged("not a token")
    try:
        return Signed(body=_bytes(parts[0]), key=parts[1], signature=_bytes(parts[2]))
    except (binascii.Error, ValueError) as error:
        raise Forged("not a token") from error


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
