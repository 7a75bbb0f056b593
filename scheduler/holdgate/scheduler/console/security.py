"""What every page of the console is sent with, and which requests may change something.

What always holds: no page runs a script or a style that is not a file of ours, is framed, or talks to another address;
a request that changes something comes from a page of ours, as its browser says, and carries the token of its session.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.requests import Request

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
PAGE_HEADERS = {
    "content-security-policy": CSP,
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    # Not `no-referrer`: browsers would send `Origin: null` with our own forms, which then look like another's.
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "vary": "Cookie, HX-Request",
}
CSRF_FIELD = "csrf"
CSRF_HEADER = "x-csrf-token"


def is_ours(request: Request, public_url: str) -> bool:
    """Whether a request that changes something comes from a page of this console, as its browser says.

    Browsers send `Origin` with every POST, and pages cannot change it. Who sends neither header is no browser that
    somebody could be lured with; the token is still needed, so it gains nothing and is refused.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None and site != "same-origin":
        return False
    if origin is None:
        return site == "same-origin"
    host = urlsplit(origin).netloc
    allowed = {request.headers.get("host", "")} | ({urlsplit(public_url).netloc} if public_url else set())
    return host != "" and host in allowed


def is_token(shown: Iterable[str | None], csrf: str) -> bool:
    """Whether one of the values that a request shows is the session's token."""
    return any(hmac.compare_digest((value or "").encode(), csrf.encode()) for value in shown)


def local_path(text: str) -> str:
    """`text` when it leads to a page of this console, else `/`: nobody is sent elsewhere by a link to here."""
    is_local = text.startswith("/") and not text.startswith("//") and "\\" not in text and text.isprintable()
    return text if is_local and len(text) <= 2000 else "/"
