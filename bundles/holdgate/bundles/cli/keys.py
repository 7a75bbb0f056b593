"""`holdgate keys generate`, `show`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from holdgate.bundles.cli.apps import keys_app
from holdgate.bundles.cli.common import Json, refusals, show
from holdgate.bundles.keys import generate, load_public


@keys_app.command("generate")
def generate_key(
    path: Annotated[Path, typer.Argument(help="A new file; its public half is written beside it as .pub")],
    kind: Annotated[str, typer.Option(help="What it is for: author, root, approver, …")] = "author",
    as_json: Json = False,
) -> None:
    """Make an Ed25519 key, readable by you only."""
    with refusals():
        signer = generate(path, kind)
        show(
            {"file": str(path), "kind": kind, "fingerprint": signer.name, "public_key": signer.public_key.hex()},
            as_json,
        )


@keys_app.command("show")
def show_key(path: Annotated[Path, typer.Argument(help="A private or public key file")], as_json: Json = False) -> None:
    """Show the public half of a key."""
    with refusals():
        key = load_public(path)
        shown = {"file": str(path), "kind": key.kind, "fingerprint": key.fingerprint, "public_key": key.raw.hex()}
        show(shown, as_json)
