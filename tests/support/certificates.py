"""Certificates made at run time: an authority, a server on loopback, a client; and others that nobody believes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme

from holdgate.kernel.tls import TlsFiles
from holdgate.scheduler.up.accounts import ServerTls

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Certificates:
    """PEM files in `folder`."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Certificates:
        """New ones."""
        ours, others = trustme.CA(), trustme.CA()
        ours.cert_pem.write_to_path(str(folder / "ca.pem"))
        others.cert_pem.write_to_path(str(folder / "other-ca.pem"))
        for name, leaf in {
            "server": ours.issue_cert(HOST),
            "elsewhere": ours.issue_cert("nats.example"),
            "client": ours.issue_cert("client@holdgate.example"),
            "stranger": others.issue_cert("client@holdgate.example"),
        }.items():
            leaf.cert_chain_pems[0].write_to_path(str(folder / f"{name}.pem"))
            key = folder / f"{name}.key"
            key.touch(mode=0o600)
            leaf.private_key_pem.write_to_path(str(key))
        return cls(folder)

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def other_ca(self) -> Path:
        return self.folder / "other-ca.pem"

    def server(self, name: str = "server", *, clients: bool = False) -> ServerTls:
        """For a server's configuration."""
        return ServerTls(self.folder / f"{name}.pem", self.folder / f"{name}.key", self.ca, clients)

    def client(self, name: str = "client") -> TlsFiles:
        """For a client that shows a certificate."""
        return TlsFiles(self.ca, self.folder / f"{name}.pem", self.folder / f"{name}.key")
