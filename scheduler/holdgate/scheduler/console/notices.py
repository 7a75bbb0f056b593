"""A sentence for the next page, kept in a cookie over a redirect.

What always holds: it is bound to the session, so that nobody else can put words into a page; it is shown as text.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from starlette.responses import Response

from holdgate.scheduler.console.cookies import Cookies

NOTICE_CHARS_MAX = 400
KEPT_S = 60


def write_notice(response: Response, cookies: Cookies, csrf: str, text: str) -> None:
    """Have the next page show `text`."""
    body = base64.urlsafe_b64encode(text[:NOTICE_CHARS_MAX].encode()).decode()
    cookies.keep(response, cookies.notice, f"{body}.{_mac(csrf, body)}", KEPT_S)


def read_notice(cookie: str | None, csrf: str) -> str:
    """What the page before wanted to be shown; empty when there is nothing, or nothing of ours."""
    body, _, mac = (cookie or "").partition(".")
    if not body or not hmac.compare_digest(mac.encode(), _mac(csrf, body).encode()):
        return ""
    try:
        return base64.urlsafe_b64decode(body).decode()
    except (binascii.Error, ValueError):
        return ""


def _mac(csrf: str, body: str) -> str:
    return hmac.new(csrf.encode(), b"holdgate/notice/v1\0" + body.encode(), hashlib.sha256).hexdigest()[:32]
