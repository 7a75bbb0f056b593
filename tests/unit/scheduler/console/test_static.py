"""Static files: a closed list, under the hash of what they hold; those of others are what others published."""

from __future__ import annotations

import gzip
import hashlib
import re

import pytest
from starlette.requests import Request

from holdgate.scheduler.console.static import StaticFiles
from support.blocks import ROOT

CONSOLE = ROOT / "scheduler" / "holdgate" / "scheduler" / "console"
VENDOR = CONSOLE / "static" / "vendor"
ELSEWHERE = re.compile(r"""(?:src|href|action|hx-get|hx-post|sse-connect)\s*=\s*["']?\s*(?:https?:)?//""")
INLINE = re.compile(r"<script(?![^>]*\bsrc=)|<style|\sstyle\s*=|\son[a-z]+\s*=|javascript:|hx-on", re.IGNORECASE)


def asked(path: str, **headers: str) -> Request:
    """A GET of `path`, which may have a query."""
    name, _, query = path.partition("?")
    raw = [(key.replace("_", "-").encode(), value.encode()) for key, value in headers.items()]
    return Request({"type": "http", "method": "GET", "path": name, "query_string": query.encode(), "headers": raw})


def test_vendored_files_are_as_published() -> None:
    """Each stands in the README with its sha256, and none is there that does not."""
    told = dict(re.findall(r"^\| `([^`]+)` .*`([0-9a-f]{64})` \|$", (VENDOR / "README.md").read_text(), re.MULTILINE))
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VENDOR.glob("*.js")}
    assert found == told
    assert found


def test_a_file_asked_for_by_its_hash_may_be_kept_for_ever_and_otherwise_is_asked_for_again() -> None:
    """So that a new release shows at once."""
    files = StaticFiles()
    kept = files.reply(asked(files.url("base.css")))
    assert kept is not None
    assert "immutable" in kept.headers["cache-control"]
    again = files.reply(asked("/static/base.css?v=old"))
    assert again is not None
    assert again.headers["cache-control"] == "no-cache"
    same = files.reply(asked("/static/base.css", if_none_match=kept.headers["etag"]))
    assert same is not None
    assert (same.status_code, same.body) == (304, b"")


def test_compressed_is_the_same() -> None:
    """Where the browser takes it."""
    files = StaticFiles()
    plain, packed = (
        files.reply(asked("/static/base.css")),
        files.reply(asked("/static/base.css", accept_encoding="gzip")),
    )
    assert plain is not None
    assert packed is not None
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(bytes(packed.body)) == plain.body


@pytest.mark.parametrize(
    "path",
    ["../app.py", "..%2fapp.py", "vendor/README.md", "vendor", "", "/etc/passwd", "vendor/../base.css", "base.css/"],
)
def test_nothing_else_is_served(path: str) -> None:
    """Files are found by name in a list, never by path."""
    assert StaticFiles().reply(asked(f"/static/{path}")) is None


def test_no_page_names_another_address_or_holds_a_script_or_a_style() -> None:
    """What the content security policy would stop is not there to begin with."""
    for path in sorted((CONSOLE / "templates").rglob("*.html")):
        text = re.sub(r"\{#.*?#\}", "", path.read_text("utf-8"), flags=re.DOTALL)
        assert not ELSEWHERE.search(text), path
        assert not INLINE.search(text), f"{path}: {INLINE.search(text)}"
    for path in [*(CONSOLE / "static").glob("*.js"), *(CONSOLE / "static").glob("*.css")]:
        text = path.read_text("utf-8")
        assert "https://" not in text, path
        assert not re.search(
            r"\beval\(|new Function|\.(inner|outer)HTML\s*=|insertAdjacentHTML|document\.write|@import", text
        ), path
