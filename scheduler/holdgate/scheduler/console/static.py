"""The files beside the pages: scripts, styles, the icon. A closed list, read once, each under the hash of its content.

What always holds: only what was found in the folder at start is served, by name and never by path; a file asked for by
its hash never changes, so browsers may keep it.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import Response

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
PREFIX = "/static/"
_FOREVER = "public, max-age=31536000, immutable"
_HEADERS = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "vary": "Accept-Encoding",
}


@dataclass(frozen=True, slots=True)
class File:
    """One file, as sent and as sent compressed."""

    name: str
    type: str
    body: bytes
    packed: bytes
    hash: str


class StaticFiles:
    """The files of `static/`."""

    def __init__(self) -> None:
        self.files: Mapping[str, File] = {file.name: file for file in _read("", _folder())}

    def url(self, name: str) -> str:
        """Where `name` is; KeyError when there is no such file."""
        return f"{PREFIX}{name}?v={self.files[name].hash}"

    def reply(self, request: Request) -> Response | None:
        """The file that `request` is for; None when there is none."""
        file = self.files.get(request.url.path.removeprefix(PREFIX))
        if file is None:
            return None
        etag = f'"{file.hash}"'
        caching = _FOREVER if request.query_params.get("v") == file.hash else "no-cache"
        headers = {**_HEADERS, "etag": etag, "cache-control": caching}
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["content-encoding"] = "gzip"
            return Response(file.packed, media_type=file.type, headers=headers)
        return Response(file.body, media_type=file.type, headers=headers)


def _folder() -> Traversable:
    return resources.files("holdgate.scheduler.console") / "static"


def _read(prefix: str, folder: Traversable) -> list[File]:
    found: list[File] = []
    for item in sorted(folder.iterdir(), key=lambda entry: entry.name):
        name = prefix + item.name
        if item.is_dir():
            found += _read(f"{name}/", item)
        elif (kind := TYPES.get("." + item.name.rpartition(".")[2])) is not None:
            body = item.read_bytes()
            found.append(File(name, kind, body, gzip.compress(body, mtime=0), hashlib.sha256(body).hexdigest()[:20]))
    return found
