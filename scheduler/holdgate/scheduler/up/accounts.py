"""Users and accounts of NATS as its configuration file writes them.

What always holds: a user is a public key or a password, and may use what is listed and no more; a subject crosses from
one account to another only where both say so.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from holdgate.scheduler.errors import ServerUnusable


@dataclass(frozen=True, slots=True)
class NatsUser:
    """A name, how it logs in, and the subjects it may use; None: every subject of its account.

    `nkeys`: public keys, each of which is this user; without any, the password is asked for.
    """

    name: str
    password: str = ""
    publish: tuple[str, ...] | None = None
    subscribe: tuple[str, ...] | None = None
    nkeys: tuple[str, ...] = ()

    def entries(self) -> list[str]:
        """One for each way to log in."""
        permissions = []
        if self.publish is not None:
            permissions.append(f"publish: {{allow: [{_listed(self.publish)}]}}")
        if self.subscribe is not None:
            permissions.append(f"subscribe: {{allow: [{_listed(self.subscribe)}]}}")
        end = [f"permissions: {{{', '.join(permissions)}}}"] if permissions else []
        ways = [[f"nkey: {quoted(key)}"] for key in self.nkeys]
        ways = ways or [[f"user: {quoted(self.name)}", f"password: {quoted(self.password)}"]]
        return ["{" + ", ".join([*way, *end]) + "}" for way in ways]


@dataclass(frozen=True, slots=True)
class Shared:
    """A subject of one account that is another's too. A `stream` is heard there; a `service` is asked from there, and
    the answer comes back to whoever asked, in their own account, whatever subject they named for it."""

    kind: Literal["stream", "service"]
    subject: str
    account: str
    """The other one."""
    answer_s: int | None = None
    """How long an answer to a service is waited for; None: the server's two minutes."""

    def exported(self) -> str:
        """In the account whose subject it is."""
        end = "" if self.answer_s is None else f', response_threshold: "{self.answer_s}s"'
        return f"{{{self.kind}: {quoted(self.subject)}, accounts: [{quoted(self.account)}]{end}}}"

    def imported(self) -> str:
        """In the account that uses it."""
        return f"{{{self.kind}: {{account: {quoted(self.account)}, subject: {quoted(self.subject)}}}}}"


@dataclass(frozen=True, slots=True)
class NatsAccount:
    """Subjects of its own, and nobody else's but what it imports."""

    users: tuple[NatsUser, ...]
    jetstream: bool = True
    exports: tuple[Shared, ...] = ()
    imports: tuple[Shared, ...] = ()
    connections_max: int | None = None
    subscriptions_max: int | None = None

    def lines(self, name: str) -> list[str]:
        """Its part of the configuration file."""
        limits = {"max_connections": self.connections_max, "max_subscriptions": self.subscriptions_max}
        listed = [f"{limit}: {value}" for limit, value in limits.items() if value is not None]
        entries = [entry for user in self.users for entry in user.entries()]
        return [
            f"  {quoted(name)} {{",
            *(["    jetstream: enabled"] if self.jetstream else []),
            *([f"    limits: {{{', '.join(listed)}}}"] if listed else []),
            *_block("users", entries),
            *_block("exports", [each.exported() for each in self.exports]),
            *_block("imports", [each.imported() for each in self.imports]),
            "  }",
        ]


@dataclass(frozen=True, slots=True)
class ServerTls:
    """PEM files of a server. `clients`: whoever connects has to show a certificate of `ca` as well."""

    cert: Path
    key: Path
    ca: Path
    clients: bool = False

    def nats(self, *, clients: bool) -> str:
        """A block for NATS."""
        files = {"cert_file": self.cert, "key_file": self.key, "ca_file": self.ca}
        listed = ", ".join(f"{name}: {quoted(str(file))}" for name, file in files.items())
        return f"{{{listed}, verify: {str(clients).lower()}, timeout: 5}}"

    def redis(self, port: int) -> list[str]:
        """Lines for Redis, which then listens for TLS and nothing else."""
        return [
            "port 0",
            f"tls-port {port}",
            f"tls-cert-file {quoted(str(self.cert))}",
            f"tls-key-file {quoted(str(self.key))}",
            f"tls-ca-cert-file {quoted(str(self.ca))}",
            f"tls-auth-clients {'yes' if self.clients else 'no'}",
            'tls-protocols "TLSv1.2 TLSv1.3"',
            "tls-replication yes",
            "tls-cluster yes",
        ]


def quoted(text: str) -> str:
    """`text` as a string of the file; ServerUnusable when it would end its quotes."""
    if '"' in text or "\\" in text or "\n" in text:
        raise ServerUnusable("a name or folder may not hold quotes, backslashes or line ends")
    return f'"{text}"'


def _listed(subjects: tuple[str, ...]) -> str:
    return ", ".join(map(quoted, subjects))


def _block(name: str, entries: list[str]) -> list[str]:
    return [f"    {name}: [", *(f"      {entry}" for entry in entries), "    ]"] if entries else []
