"""Where commands take a private key and its passphrase from: never from an argument, which other processes can read."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from getpass import getpass
from hmac import compare_digest
from pathlib import Path
from typing import Annotated

import typer

from holdgate.bundles.errors import KeyPassphrase, KeyUnusable
from holdgate.bundles.keys import load_signer, load_signer_fd, read_descriptor, read_passphrase
from holdgate.bundles.passphrase import parse_passphrase
from holdgate.kernel.permits import Signer

KeyFile = Annotated[Path | None, typer.Option("--key", help="The private key file, mode 0600")]
KeyFd = Annotated[int | None, typer.Option("--key-fd", min=0, help="Read the private key file from this descriptor")]
PassphraseFile = Annotated[Path | None, typer.Option(help="File with the key's passphrase, mode 0600")]
PassphraseFd = Annotated[int | None, typer.Option(min=0, help="Read the passphrase from this descriptor")]


@dataclass(frozen=True, slots=True)
class PassphraseFrom:
    """Where a passphrase comes from; asked for on the terminal where neither is given."""

    file: Path | None = None
    fd: int | None = None

    @property
    def is_given(self) -> bool:
        """Whether nobody need be asked."""
        return self.file is not None or self.fd is not None

    def known(self) -> bytes:
        """The passphrase of a key that exists."""
        return self._read() if self.is_given else parse_passphrase(_typed("passphrase: "))

    def new(self) -> bytes:
        """A passphrase for a new key; typed twice."""
        if self.is_given:
            return self._read()
        first = parse_passphrase(_typed("new passphrase: "))
        if not compare_digest(first, parse_passphrase(_typed("again: "))):
            raise KeyPassphrase("the two are not the same")
        return first

    def _read(self) -> bytes:
        if self.file is not None and self.fd is not None:
            raise KeyPassphrase("the passphrase comes from a file or from a descriptor, not from both")
        if self.file is not None:
            return read_passphrase(self.file)
        return parse_passphrase(read_descriptor(-1 if self.fd is None else self.fd))


def require_signer(key: Path | None, key_fd: int | None, passphrase: PassphraseFrom) -> Signer:
    """The private key that the options name; KeyUnusable and kin."""
    if key is not None and key_fd is None:
        return load_signer(key, passphrase.known)
    if key_fd is not None and key is None:
        return load_signer_fd(key_fd, passphrase.known)
    raise KeyUnusable("name the private key with `--key FILE` or `--key-fd N`, one of them")


def _typed(prompt: str) -> bytes:
    if not sys.stdin.isatty():
        raise KeyPassphrase(
            "the key has a passphrase and there is no terminal to ask on; give `--passphrase-fd N` or "
            "`--passphrase-file FILE`"
        )
    try:
        return getpass(prompt, stream=sys.stderr).encode()
    except (EOFError, KeyboardInterrupt) as error:
        raise KeyPassphrase("no passphrase was typed") from error
