"""Private connections: what a client checks of a server, and which connections may do without.

What always holds: a server shows a certificate of an authority that is named, for the very host that was asked for;
there is no way to leave that out. A connection without TLS goes to this machine only, unless the operator said
otherwise for all of them.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from holdgate.kernel.errors import InvalidInput

Plaintext = Literal["loopback", "allow"]
"""Where connections without TLS may go: to this machine, or anywhere."""
SECURE_SCHEMES = frozenset({"tls", "https", "rediss", "rediss+sentinel", "rediss+cluster"})


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files. Without `ca` the authorities that this machine trusts; `cert` and `key` where servers ask for them."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Read now; InvalidInput when a file cannot be used, or one of the pair is missing."""
        if (self.cert is None) != (self.key is None):
            raise InvalidInput("a client certificate is a pair: name its file and that of its key")
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.cert is not None:
                context.load_cert_chain(self.cert, self.key)
        except (OSError, ssl.SSLError) as error:
            named = ", ".join(f"`{file}`" for file in (self.ca, self.cert, self.key) if file is not None)
            raise InvalidInput(f"cannot use {named} for TLS: {error.strerror or type(error).__name__}") from error
        return context


def is_secure(url: str) -> bool:
    """Whether `url` asks for TLS."""
    return url.partition("://")[0].lower() in SECURE_SCHEMES


def open_hosts(urls: Iterable[str]) -> tuple[str, ...]:
    """Hosts beyond this machine to which `urls` lead without TLS."""
    found = []
    for url in urls:
        scheme, separator, rest = url.strip().partition("://")
        if is_secure(url):
            continue
        authority = (rest if separator else scheme).partition("/")[0].rpartition("@")[2]
        found += [host for host in map(_host, authority.split(",")) if host and not _is_this_machine(host)]
    return tuple(dict.fromkeys(found))


def verify_private(urls: Iterable[str], plaintext: Plaintext) -> tuple[str, ...]:
    """`open_hosts`, where `plaintext` allows some; InvalidInput where it does not."""
    found = open_hosts(urls)
    if found and plaintext != "allow":
        raise InvalidInput(
            f"a connection to `{found[0]}` would be readable on its way: use `tls://`, `rediss://` or `https://`, or, "
            "where nobody else is on that network, set `HOLDGATE_PLAINTEXT=allow`"
        )
    return found


def _host(address: str) -> str:
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.rpartition(":")[0] or address if address.count(":") <= 1 else address


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
