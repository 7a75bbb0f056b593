"""Which webhooks there are: one JSON file that only its owner can read, checked whole at start.

What always holds: an address is the operator's and nobody else's; it is https, or http to this machine; no secret
stands in the file, only where it lies.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from holdgate.kernel.canonical import parse_json
from holdgate.kernel.errors import MalformedJson
from holdgate.kernel.ids import NAME, Tenant
from holdgate.scheduler.errors import Misconfigured
from holdgate.scheduler.settings import read_secrets
from holdgate.scheduler.state.notices import NoticeKind

WEBHOOKS_MAX = 32
SECRETS_MAX = 2
"""The new one and the one before it, while receivers change over."""
SECRET_PREFIX = b"whsec_"
SECRET_BYTES_MIN, SECRET_BYTES_MAX = 24, 64


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where to send which notices. `tenants` None: of all."""

    name: str
    url: str
    secret_file: Path
    kinds: frozenset[NoticeKind]
    tenants: frozenset[Tenant] | None = None

    def wants(self, tenant: Tenant) -> bool:
        """Whether notices of `tenant` go there."""
        return self.tenants is None or tenant in self.tenants

    def secrets(self) -> tuple[bytes, ...]:
        """The keys that sign what is sent, read now, so that they can be changed while this runs; Misconfigured."""
        return tuple(_key(self, line) for line in read_secrets(self.secret_file)[:SECRETS_MAX])


@dataclass(frozen=True, slots=True)
class Webhooks:
    """All of them, and where people open what a notice is about; None: notices carry no link."""

    items: tuple[Webhook, ...]
    console_url: str | None = None


class _Item(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: str
    url: str
    secret_file: str = Field(min_length=1)
    events: list[str] | None = None
    tenants: list[str] | None = Field(None, min_length=1)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    webhooks: list[_Item] = Field(max_length=WEBHOOKS_MAX)
    console_url: str | None = None


def read_webhooks(file: Path) -> Webhooks:
    """What `file` says; Misconfigured when it is not readable by its owner alone, or anything in it is wrong."""
    try:
        form = _File.model_validate(parse_json(b"\n".join(read_secrets(file))))
    except MalformedJson as error:
        raise Misconfigured(f"`{file}`: {error}") from error
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise Misconfigured(f"`{file}`: `{where}`: {first['msg'].lower()}") from error
    items = tuple(_webhook(item, file) for item in form.webhooks)
    if len({item.name for item in items}) != len(items):
        raise Misconfigured(f"`{file}`: two webhooks have one name")
    for item in items:
        item.secrets()
    console = None if form.console_url is None else _checked(form.console_url, file).rstrip("/")
    return Webhooks(items, console)


def _webhook(item: _Item, file: Path) -> Webhook:
    if NAME.match(item.name) is None:
        raise Misconfigured(f"`{file}`: a webhook's name is lower-case letters, digits, `-` and `_`")
    kinds = frozenset(NoticeKind) if item.events is None else frozenset(_kind(name, file) for name in item.events)
    tenants = None if item.tenants is None else frozenset(map(Tenant, item.tenants))
    return Webhook(item.name, _checked(item.url, file), file.parent / item.secret_file, kinds, tenants)


def _kind(name: str, file: Path) -> NoticeKind:
    try:
        return NoticeKind(name)
    except ValueError as error:
        known = ", ".join(f"`{kind}`" for kind in NoticeKind)
        raise Misconfigured(f"`{file}`: no such event: `{name[:64]}`; there are {known}") from error


def _checked(url: str, file: Path) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise Misconfigured(f"`{file}`: an address cannot be read") from error
    if not host or not url.isascii() or not url.isprintable() or " " in url:
        raise Misconfigured(f"`{file}`: an address has no host, or characters that none has")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise Misconfigured(f"`{file}`: an address must hold neither user nor password nor fragment")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise Misconfigured(f"`{file}`: an address must be https, or http to this machine")
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _key(webhook: Webhook, line: bytes) -> bytes:
    try:
        found = base64.b64decode(line.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if not line.startswith(SECRET_PREFIX) or not SECRET_BYTES_MIN <= len(found) <= SECRET_BYTES_MAX:
        raise Misconfigured(
            f"`{webhook.secret_file}`: a secret is `whsec_` and the base64 of {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} "
            "random bytes"
        )
    return found
