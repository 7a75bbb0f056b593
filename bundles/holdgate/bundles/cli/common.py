"""What the commands share: options, reading and writing files, output for people and for programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from holdgate.bundles.cli.plain import plain, plain_lines
from holdgate.bundles.errors import BundleMalformed
from holdgate.bundles.root import Pins, Root
from holdgate.bundles.rootfile import load_root
from holdgate.kernel.canonical import canonical_bytes
from holdgate.kernel.clock import Clock

if TYPE_CHECKING:
    from holdgate.bundles.format import BundleFile

Json = Annotated[bool, typer.Option("--json", help="Print JSON")]
BuiltFile = Annotated[Path, typer.Argument(metavar="FILE", help="A built bundle")]
RootOption = Annotated[Path, typer.Option("--root", envvar="HOLDGATE_ROOT_FILE", help="The signed trust root")]
PinsOption = Annotated[
    str, typer.Option("--pins", envvar="HOLDGATE_ROOT_PINS", help="Root keys that must have signed it: `1/ed25519:…`")
]
PIPE_WIDTH = 1000


def load_trust(path: Path, pins: str, clock: Clock) -> Root:
    return load_root(path, Pins.parse(pins), clock.now_ms())


def read_file(path: Path) -> bytes:
    from holdgate.bundles.format import BUNDLE_BYTES_MAX  # loads the form of rules, which keys do without

    try:
        with path.open("rb") as file:
            return file.read(BUNDLE_BYTES_MAX + 1)
    except OSError as error:
        raise BundleMalformed(f"cannot read `{path}`: {error.strerror}") from error


def write_file(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise BundleMalformed(f"cannot write `{path}`: {error.strerror}") from error


def describe(file: BundleFile, as_json: bool = True) -> dict[str, Any]:
    """What a bundle file is; for people its scope in words, and `nobody` where nobody has signed."""
    from holdgate.bundles.rootdiff import scope_words

    manifest = file.manifest
    signed_by = [signed.key for signed in file.signatures]
    return {
        "name": manifest.name,
        "version": manifest.version,
        "digest": file.digest,
        "expires": manifest.expires,
        "scope": manifest.scope.model_dump(mode="json") if as_json else scope_words(manifest.scope),
        "files": {entry.path: entry.sha256 for entry in manifest.files},
        "signatures": signed_by if as_json or signed_by else "nobody has signed it",
    }


def show(values: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(canonical_bytes(values).decode())
        return
    table = Table(show_header=False, box=None)
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in values.items():
        items = [f"{key}  {item}" for key, item in value.items()] if isinstance(value, dict) else value
        text = "\n".join(map(str, items)) if isinstance(items, list) else str(items)
        # Text, since a string would be read as Rich's markup.
        table.add_row(Text(plain(name.replace("_", " "))), Text(plain_lines(text)))
    console().print(table)


def console() -> Console:
    """Standard output. In a file or a pipe nothing is folded: people copy fingerprints, and programs cut lines."""
    found = Console()
    return found if found.is_terminal else Console(width=PIPE_WIDTH)
