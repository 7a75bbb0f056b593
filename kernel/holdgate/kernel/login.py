"""Connections to NATS: who a process is there, and that nobody listens.

What always holds: where the address says `tls:`, nothing but the server's greeting crosses in clear, whatever that
greeting says; without, no connection leaves this machine unless `plaintext` allows that, and other servers that a
greeting announces are not gone to; replies come to an inbox that no other user may read.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from nats.aio.client import Client as Nats

from holdgate.kernel.nkeys import Nkey
from holdgate.kernel.subjects import inbox
from holdgate.kernel.tls import Plaintext, is_secure, open_hosts, verify_private


@dataclass(frozen=True, slots=True)
class Login:
    """`user` names the inbox. An `nkey` goes before a password; `tls` is used where an address says `tls:`, and
    `plaintext` says where an address may lead that does not."""

    user: str = ""
    password: str | None = field(default=None, repr=False)
    nkey: Nkey | None = None
    tls: ssl.SSLContext | None = None
    plaintext: Plaintext = "loopback"

    def options(self) -> dict[str, Any]:
        """For `Nats.connect`."""
        found: dict[str, Any] = {}
        if self.user:
            found["inbox_prefix"] = inbox(self.user)
        if self.nkey is not None:
            found["signature_cb"] = self.nkey.sign
        elif self.user:
            found |= {"user": self.user} | ({} if self.password is None else {"password": self.password})
        return found if self.tls is None else {**found, "tls": self.tls}


class Connection(Nats):
    """nats-py's, but a server that should speak TLS cannot say that it does not, one that need not cannot send the
    client beyond this machine, and nkeys need no further package."""

    def __init__(self, nkey: Nkey | None, *, secure: bool, plaintext: Plaintext = "loopback") -> None:
        super().__init__()
        self._is_secure = secure
        self._plaintext = plaintext
        self._public_nkey = None if nkey is None else nkey.public

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if self._is_secure:
            # What nats-py looks at before it sends who it is. The address demands TLS; the server is not asked.
            info["tls_required"] = True
        elif self._plaintext != "allow":
            info["connect_urls"] = [url for url in info.get("connect_urls") or () if not open_hosts([url])]
        await super()._process_info(info, initial_connection)


async def connect(servers: str | Sequence[str], login: Login, **options: Any) -> Nats:
    """A connection as `login` to one of `servers` (a list, or a text with commas). Raises what nats-py does, and
    InvalidInput where a server may not be spoken to in clear."""
    urls = [url.strip() for url in (servers.split(",") if isinstance(servers, str) else servers)]
    verify_private(urls, login.plaintext)
    nc = Connection(login.nkey, secure=any(map(is_secure, urls)), plaintext=login.plaintext)
    await nc.connect(urls, **{**login.options(), **options})
    return nc
