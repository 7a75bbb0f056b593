"""Where Redis is and how to come in: one server, a primary that Sentinel names, or a cluster.

What always holds: an address is checked when it is read, and shows no password when it is printed.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import SecretStr

from holdgate.scheduler.errors import Misconfigured

PORT = 6379
SENTINEL_PORT = 26379


class Kind(StrEnum):
    """How Redis is set up; the word in the address after `redis+`."""

    SINGLE = "single"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


class Endpoint(NamedTuple):
    """One server."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """`loopback_only`: whether a server that sentinels or a cluster name, too, is spoken to without TLS on this machine
    only. `endpoints`: the server; or the sentinels; or some nodes of the cluster.

    `user` None is Redis's own `default`. `tls` None is plain TCP; the same context is used towards sentinels.
    `replicas`: how many must have a change before anybody is told of it.
    """

    kind: Kind
    endpoints: tuple[Endpoint, ...]
    service: str = ""
    """The name that Sentinel knows the primary by."""
    db: int = 0
    user: str | None = None
    password: SecretStr | None = None
    sentinel_password: SecretStr | None = None
    tls: ssl.SSLContext | None = None
    replicas: int = 0
    loopback_only: bool = False

    @classmethod
    def parse(cls, url: str) -> RedisAddress:
        """`redis://host:port/db`, `redis+sentinel://host:port,host:port/service/db`, `redis+cluster://host:port,…`;
        `rediss…` for TLS, with the authorities that this machine trusts. Misconfigured when it is none of them."""
        parts = urlsplit(url)
        secure, _, kind_name = parts.scheme.partition("+")
        try:
            kind = Kind(kind_name or Kind.SINGLE)
        except ValueError as error:
            raise _misconfigured("its scheme is not known") from error
        if secure not in ("redis", "rediss") or kind_name == Kind.SINGLE:
            raise _misconfigured("its scheme is not known")
        service, db = _path(kind, parts.path)
        user, password = _userinfo(parts)
        return cls(
            kind=kind,
            endpoints=_endpoints(kind, parts.netloc.rpartition("@")[2]),
            service=service,
            db=db,
            user=user,
            password=password,
            tls=ssl.create_default_context() if secure == "rediss" else None,
        )

    def of_sentinels(self) -> RedisAddress:
        """How to come in at a sentinel: it has users and passwords of its own, and no databases."""
        return replace(self, db=0, user=None, password=self.sentinel_password)


def _endpoints(kind: Kind, hosts: str) -> tuple[Endpoint, ...]:
    port = SENTINEL_PORT if kind is Kind.SENTINEL else PORT
    found = []
    for text in hosts.split(","):
        try:
            parts = urlsplit(f"//{text.strip()}")
            endpoint = Endpoint(parts.hostname or "", port if parts.port is None else parts.port)
        except ValueError as error:
            raise _misconfigured("a port in it is none") from error
        if not endpoint.host:
            raise _misconfigured("a host is missing in it")
        found.append(endpoint)
    if kind is Kind.SINGLE and len(found) > 1:
        raise _misconfigured("it has several hosts; say `redis+sentinel:` or `redis+cluster:`")
    return tuple(found)


def _path(kind: Kind, path: str) -> tuple[str, int]:
    """Service and database."""
    words = [unquote(word) for word in path.split("/") if word]
    service = words.pop(0) if kind is Kind.SENTINEL and words else ""
    if kind is Kind.SENTINEL and not service:
        raise _misconfigured("the name of the service is missing: `redis+sentinel://host:port/service/0`")
    number = words.pop(0) if words else "0"
    if words or not number.isascii() or not number.isdigit():
        raise _misconfigured("its database is no number")
    if kind is Kind.CLUSTER and int(number) != 0:
        raise _misconfigured("a cluster has no databases but 0")
    return service, int(number)


def _userinfo(parts: SplitResult) -> tuple[str | None, SecretStr | None]:
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    return unquote(user) or None, SecretStr(unquote(password)) if password else None


def _misconfigured(why: str) -> Misconfigured:
    return Misconfigured(f"the address of Redis cannot be used: {why}")
