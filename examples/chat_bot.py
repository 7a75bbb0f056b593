"""Puts Holdgate's notices into a chat: checks the signature, drops repeats, posts one line to an incoming webhook.

    python chat_bot.py SECRET_FILE CHAT_URL [PORT]

`CHAT_URL` is what Slack, Mattermost, Rocket.Chat and others give out for posting `{"text": …}`. Run it on the machine
of the dispatcher, or behind a proxy that speaks TLS. Nobody can decide anything through it: the link leads to the
console, where people sign in.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from holdgate.client import WebhookRefused, verify_webhook

BODY_BYTES_MAX = 64 * 1024
KEPT_S = 24 * 3600
CHAT_TIMEOUT_S = 5


class Seen:
    """Ids of the last day. A notice may come twice, also while the first is still being posted."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._lock = threading.Lock()

    def add(self, notice_id: str, now: float) -> bool:
        """False when it is known."""
        with self._lock:
            self._until = {known: until for known, until in self._until.items() if until > now}
            if notice_id in self._until:
                return False
            self._until[notice_id] = now + KEPT_S
            return True

    def forget(self, notice_id: str) -> None:
        """It was not posted after all, and will come again."""
        with self._lock:
            self._until.pop(notice_id, None)


def line_of(notice: dict[str, Any]) -> str:
    """One line for people. What others wrote is cut, and cannot ping a channel or look like a link."""
    what = notice["outcome"] or str(notice["type"]).replace("_", " ")
    parts = [f"{what}: {plain(notice['topic'] or '')} by {plain(notice['actor'] or 'nobody')}"]
    if notice["by"]:
        parts.append("decided by " + ", ".join(map(plain, notice["by"])))
    if notice["reason"]:
        parts.append(plain(notice["reason"]))
    if notice["severity"]:
        parts.append(f"severity {notice['severity']}")
    if notice["expires_at"]:
        parts.append(f"until {notice['expires_at']}")
    if notice["link"]:
        parts.append(notice["link"])
    return " · ".join(parts)


def plain(text: str) -> str:
    """Without line breaks and the characters that chats give a meaning."""
    words = " ".join(text.split())[:200]
    return words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("@", "@\u200b")


def post(chat_url: str, text: str) -> None:
    """To the chat; OSError when it does not take it."""
    body = json.dumps({"text": text}).encode()  # noqa: TID251  for a chat: neither hashed nor signed
    request = urllib.request.Request(chat_url, body, {"Content-Type": "application/json"})  # noqa: S310  the operator's
    with urllib.request.urlopen(request, timeout=CHAT_TIMEOUT_S):  # noqa: S310
        pass


def handler(secret_file: Path, chat_url: str) -> type[BaseHTTPRequestHandler]:
    """Answers 204 when the chat has the notice, 400 to what is none, 502 when it is to come again."""
    seen = Seen()

    class Notices(BaseHTTPRequestHandler):
        timeout = 10

        def do_POST(self) -> None:
            self.send_response(self._take())
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _take(self) -> int:
            length = self.headers.get("Content-Length", "")
            if not length.isdigit() or int(length) > BODY_BYTES_MAX:
                return 413
            body, now = self.rfile.read(int(length)), time.time()  # noqa: TID251  a program of its own
            try:
                # Read each time: two lines while the secret changes.
                notice = verify_webhook(dict(self.headers), body, secret_file.read_text().split(), now)
            except WebhookRefused:
                return 400
            if not seen.add(notice["id"], now):
                return 204
            try:
                post(chat_url, line_of(notice))
            except OSError:
                seen.forget(notice["id"])
                return 502
            return 204

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    return Notices


if __name__ == "__main__":
    secret, chat, *port = sys.argv[1:]
    server = ThreadingHTTPServer(("127.0.0.1", int(port[0]) if port else 8099), handler(Path(secret), chat))
    print(f"listening on http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()
