"""The operator's file of webhooks: what it may say, and how anything else is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from holdgate.kernel.canonical import canonical_bytes
from holdgate.scheduler.errors import Misconfigured
from holdgate.scheduler.notify import Webhooks, read_webhooks
from holdgate.scheduler.state.notices import NoticeKind
from support.notifying import SECRET, write_owned


def read(folder: Path, document: Any, secret: bytes = SECRET.encode()) -> Webhooks:
    """What is made of `document`."""
    write_owned(folder / "secret", secret)
    data = document if isinstance(document, bytes) else canonical_bytes(document)
    return read_webhooks(write_owned(folder / "webhooks.json", data))


def one(**changes: Any) -> dict[str, Any]:
    """A document with one webhook."""
    return {"webhooks": [{"name": "chat", "url": "https://chat.example/hook", "secret_file": "secret", **changes}]}


def test_a_webhook_gets_every_kind_of_every_tenant_unless_it_says_otherwise(tmp_path: Path) -> None:
    """And its secret lies beside the file."""
    [webhook] = read(tmp_path, one()).items
    assert webhook.kinds == frozenset(NoticeKind)
    assert webhook.tenants is None
    assert webhook.secrets() == (b"k" * 32,)
    [narrow] = read(tmp_path, one(events=["held"], tenants=["acme"])).items
    assert (narrow.kinds, narrow.tenants) == ({NoticeKind.HELD}, {"acme"})


@pytest.mark.parametrize(
    "url",
    [
        "http://chat.example/hook",
        "http://127.0.0.1.example.com/",
        "http://localhost.example.com/",
        "http://169.254.169.254/latest",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "https:///nowhere",
        "https://user:word@chat.example/",
        "https://chat.example/#part",
        "https://chat.example/a b",
        "https://chat.example/\u00e9",
        "https://[::1",
        "chat.example",
        "",
    ],
)
def test_an_address_that_is_not_https_or_this_machine_is_refused(tmp_path: Path, url: str) -> None:
    """Nor one with a password in it."""
    with pytest.raises(Misconfigured, match="an address"):
        read(tmp_path, one(url=url))


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080/x", "http://[::1]/", "http://localhost/", "https://chat.example"]
)
def test_addresses_that_are_taken(tmp_path: Path, url: str) -> None:
    """Plain http stays on this machine."""
    assert read(tmp_path, one(url=url)).items[0].url == url


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b"{", "not JSON"),
        (b'{"webhooks": [], "webhooks": []}', "twice|duplicate"),
        ({"webhooks": [], "more": 1}, "more"),
        (one(more=1), "more"),
        (one(name="No"), "a webhook's name"),
        (one(name=1), "name"),
        (one(events=["born"]), "no such event: `born`"),
        (one(tenants=[]), "tenants"),
        ({"webhooks": one()["webhooks"] * 2}, "two webhooks have one name"),
        ({**one(), "console_url": "http://console.example"}, "an address"),
        ({"webhooks": [{**one()["webhooks"][0], "name": f"w{n}"} for n in range(33)]}, "webhooks"),
    ],
)
def test_anything_else_is_refused_by_name(tmp_path: Path, document: Any, said: str) -> None:
    """At start, whole."""
    with pytest.raises(Misconfigured, match=said):
        read(tmp_path, document)


@pytest.mark.parametrize("secret", [b"hunter2", b"whsec_!!!", b"whsec_c2hvcnQ=", b"whsec_" + b"QUFB" * 30])
def test_a_secret_that_is_none_is_refused_and_not_shown(tmp_path: Path, secret: bytes) -> None:
    """Too short, too long, or typed by hand."""
    with pytest.raises(Misconfigured) as refused:
        read(tmp_path, one(), secret)
    assert secret.decode() not in str(refused.value)


def test_files_that_others_may_read_are_refused(tmp_path: Path) -> None:
    """An address can be a secret itself."""
    read(tmp_path, one())
    for name in ("secret", "webhooks.json"):
        (tmp_path / name).chmod(0o640)
        with pytest.raises(Misconfigured, match="others may read"):
            read_webhooks(tmp_path / "webhooks.json")
        (tmp_path / name).chmod(0o600)


def test_a_dispatcher_without_webhooks_loads_nothing_of_them() -> None:
    """It costs no memory where nobody uses it."""
    program = (
        "import sys, holdgate.scheduler.dispatch.service, holdgate.scheduler.cli.processes\n"
        "print([name for name in sys.modules if name == 'httpx' or name.startswith('holdgate.scheduler.notify')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
