"""The page at `/`: whether the system is up, and where its description is. Works without script; loads nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from html import escape

from holdgate.scheduler.api.calls import SECURITY_HEADERS, Reply

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:3rem auto;max-width:44rem;padding:0 1rem}"
    "body{color:#1b1f24;background:#fff}"
    "table{border-collapse:collapse}td,th{text-align:left;padding:.25rem 1.5rem .25rem 0}"
    "code{background:#f2f4f7;padding:0 .25rem}"
    ".ok{color:#116329}.bad{color:#a40e26}"
    "@media(prefers-color-scheme:dark){body{color:#e6e8eb;background:#16181c}code{background:#26292f}a{color:#7cb7ff}"
    ".ok{color:#5fd38a}.bad{color:#ff8592}}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_CSP = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"content-security-policy", _CSP.encode()),
    *SECURITY_HEADERS,
)
_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Holdgate</title>
<style>{style}</style></head>
<body><main>
<h1>Holdgate {version}</h1>
<p>A job scheduler for AI agents that asks before it acts. This is its HTTP API, under <code>/api/v1</code>;
every call but the health checks needs an API key.</p>
<table><caption>Status</caption><tbody>{rows}</tbody></table>
<ul>
<li><a href="/openapi.json">OpenAPI description</a></li>
<li><a href="/readyz">Readiness</a>, <a href="/healthz">health</a></li>
<li><code>GET /api/v1/status</code> with a key says more</li>
</ul>
</main></body></html>
"""


def landing_reply(checks: Mapping[str, str], version: str) -> Reply:
    """The page; `checks` as readiness shows them."""
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td class="{"ok" if said == "ok" else "bad"}">{escape(said)}</td></tr>'
        for name, said in checks.items()
    )
    page = _PAGE.format(style=_STYLE, version=escape(version), rows=rows)
    return Reply(200, page.encode(), _HEADERS)
