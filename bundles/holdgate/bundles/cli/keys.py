"""`holdgate keys generate`, `show`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from holdgate.bundles.cli.apps import keys_app
from holdgate.bundles.cli.common import Json, show
from holdgate.bundles.cli.refusal import refusals
from holdgate.bundles.cli.signing import PassphraseFd, PassphraseFile, PassphraseFrom
from holdgate.bundles.errors import KeyPassphrase
from holdgate.bundles.keys import generate, generate_quarantine, load_public

__all__ = ["keys_app"]


@keys_app.command("generate")
def generate_key(
    path: Annotated[Path, typer.Argument(help="A new file; its public half is written beside it as .pub")],
    kind: Annotated[str, typer.Option(help="What it is for: author, root, approver, …")] = "author",
    passphrase: Annotated[bool, typer.Option("--passphrase", help="Seal it with a passphrase; asks twice")] = False,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    as_json: Json = False,
) -> None:
    """Make an Ed25519 key (X25519 for quarantine), readable by you only."""
    with refusals(as_json):
        source = PassphraseFrom(passphrase_file, passphrase_fd)
        sealed = passphrase or source.is_given
        if kind == "quarantine":
            if sealed:
                raise KeyPassphrase("a quarantine key has no passphrase: the output gate opens it by itself")
            show({"file": str(path), "kind": kind, "public_key": generate_quarantine(path).hex()}, as_json)
            return
        signer = generate(path, kind, passphrase=source.new() if sealed else None)
        _show(path, kind, signer.public_key.hex(), signer.name, sealed=sealed, as_json=as_json)


@keys_app.command("show")
def show_key(
    path: Annotated[Path, typer.Argument(help="A private or public key file")],
    only_fingerprint: Annotated[bool, typer.Option("--fingerprint", help="Print nothing else")] = False,
    as_json: Json = False,
) -> None:
    """Show the public half of a key, and the fingerprint that names it."""
    with refusals(as_json):
        key = load_public(path)
        if only_fingerprint:
            typer.echo(key.fingerprint)
            return
        _show(path, key.kind, key.raw.hex(), key.fingerprint, sealed=key.sealed, as_json=as_json)


def _show(path: Path, kind: str, public_key: str, fingerprint: str, *, sealed: bool, as_json: bool) -> None:
    shown = {"file": str(path), "kind": kind, "fingerprint": fingerprint, "public_key": public_key}
    show({**shown, "sealed": sealed}, as_json)
