"""`holdgate bundle …` and `holdgate keys …`: thin commands over `format`, `trusted`, `publish` and `keys`.

Exit code 0 when done, 1 when refused; the reason goes to standard error. `--json` prints one JSON document.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import nats
import typer
from nats.errors import Error as NatsError
from rich.console import Console
from rich.table import Table

from holdgate.bundles.errors import BundleMalformed, BundleOutdated, StoreUnavailable
from holdgate.bundles.format import BUNDLE_BYTES_MAX, BundleFile, build_bundle, parse_bundle, sign_bundle
from holdgate.bundles.keys import generate, load_public, load_signer
from holdgate.bundles.publish import check_publishable, publish
from holdgate.bundles.root import Pins, Root
from holdgate.bundles.rootfile import load_root
from holdgate.bundles.store import BundleStore
from holdgate.bundles.trusted import TrustedBundle, parse_bundle_rules, verify_reach
from holdgate.kernel.canonical import canonical_bytes
from holdgate.kernel.clock import Clock, SystemClock
from holdgate.kernel.errors import HoldgateError
from holdgate.kernel.subjects import inbox

bundle_app = typer.Typer(help="Build, sign, verify and publish policy bundles.", no_args_is_help=True)
keys_app = typer.Typer(help="Signing keys: make one, show its fingerprint.", no_args_is_help=True)

CONNECT_TIMEOUT_S = 5
SUFFIX = ".bundle.json"
Json = Annotated[bool, typer.Option("--json", help="Print JSON")]
BuiltFile = Annotated[Path, typer.Argument(metavar="FILE", help="A built bundle")]
RootOption = Annotated[Path, typer.Option("--root", envvar="HOLDGATE_ROOT_FILE", help="The signed trust root")]
PinsOption = Annotated[
    str, typer.Option("--pins", envvar="HOLDGATE_ROOT_PINS", help="Root keys that must have signed it: `1/ed25519:…`")
]


@bundle_app.command("build")
def build(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Holds bundle.yaml and its rules files")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where to [DIR.bundle.json]")] = None,
    as_json: Json = False,
) -> None:
    """Make one file of a bundle directory. The same directory gives the same bytes."""
    with _refusals():
        built = build_bundle(directory)
        file = parse_bundle(built)
        verify_reach(parse_bundle_rules(file), file.manifest.scope)
        place = output or directory.with_name(directory.resolve().name + SUFFIX)
        _write(place, built)
        _show({"file": str(place), **_shown(file)}, as_json)


@bundle_app.command("sign")
def sign(
    file: BuiltFile,
    key: Annotated[Path, typer.Option("--key", help="The author's private key file, mode 0600")],
    as_json: Json = False,
) -> None:
    """Add a signature to a built bundle, in place."""
    with _refusals():
        signed = sign_bundle(_read(file), load_signer(key))
        _write(file, signed)
        _show({"file": str(file), **_shown(parse_bundle(signed))}, as_json)


@bundle_app.command("verify")
def verify(file: BuiltFile, root: RootOption, pins: PinsOption, as_json: Json = False) -> None:
    """Check a bundle as a kernel would, and say which keys signed what."""
    with _refusals():
        clock = SystemClock()
        trusted = check_publishable(_read(file), _root(root, pins, clock), {}, clock.now_ms())
        _show({"file": str(file), **_shown(trusted.file), "counted": list(trusted.signers)}, as_json)


@bundle_app.command("publish")
def publish_command(
    file: BuiltFile,
    root: RootOption,
    pins: PinsOption,
    url: Annotated[str, typer.Option("--nats", envvar="HOLDGATE_NATS_URL", help="Where NATS is")],
    user: Annotated[str | None, typer.Option("--nats-user", envvar="HOLDGATE_NATS_USER")] = None,
    password_file: Annotated[
        Path | None, typer.Option("--nats-password-file", envvar="HOLDGATE_NATS_PASSWORD_FILE")
    ] = None,
    if_newer: Annotated[bool, typer.Option("--if-newer", help="Done, too, when this version is published")] = False,
    as_json: Json = False,
) -> None:
    """Check a bundle against what is published, and publish it. Kernels verify it again."""
    with _refusals():
        clock = SystemClock()
        data, trust = _read(file), _root(root, pins, clock)
        password = None if password_file is None else password_file.read_text().strip()
        try:
            trusted = asyncio.run(_publish(data, trust, clock, url, _credentials(user, password)))
        except BundleOutdated as error:
            if not if_newer:
                raise
            _show({"published": False, "reason": str(error)}, as_json)
            return
        _show({"published": True, **_shown(trusted.file), "counted": list(trusted.signers)}, as_json)


@keys_app.command("generate")
def generate_key(
    path: Annotated[Path, typer.Argument(help="A new file; its public half is written beside it as .pub")],
    kind: Annotated[str, typer.Option(help="What it is for: author, root, approver, …")] = "author",
    as_json: Json = False,
) -> None:
    """Make an Ed25519 key, readable by you only."""
    with _refusals():
        signer = generate(path, kind)
        _show(
            {"file": str(path), "kind": kind, "fingerprint": signer.name, "public_key": signer.public_key.hex()},
            as_json,
        )


@keys_app.command("show")
def show_key(path: Annotated[Path, typer.Argument(help="A private or public key file")], as_json: Json = False) -> None:
    """Show the public half of a key."""
    with _refusals():
        key = load_public(path)
        shown = {"file": str(path), "kind": key.kind, "fingerprint": key.fingerprint, "public_key": key.raw.hex()}
        _show(shown, as_json)


async def _publish(data: bytes, root: Root, clock: Clock, url: str, options: dict[str, Any]) -> TrustedBundle:
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            connection = await nats.connect(
                servers=url.split(","), max_reconnect_attempts=1, reconnect_time_wait=0.1, **options
            )
    except (NatsError, OSError, TimeoutError) as error:
        raise StoreUnavailable(f"cannot reach NATS: {type(error).__name__}") from error
    try:
        return await publish(BundleStore(connection), data, root, clock.now_ms())
    finally:
        await connection.close()


def _credentials(user: str | None, password: str | None) -> dict[str, Any]:
    """Options of a connection; a user's replies come to an inbox that nobody else may read."""
    options: dict[str, Any] = {} if user is None else {"user": user, "inbox_prefix": inbox(user)}
    return options if password is None else {**options, "password": password}


def _root(path: Path, pins: str, clock: Clock) -> Root:
    return load_root(path, Pins.parse(pins), clock.now_ms())


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(BUNDLE_BYTES_MAX + 1)
    except OSError as error:
        raise BundleMalformed(f"cannot read `{path}`: {error.strerror}") from error


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise BundleMalformed(f"cannot write `{path}`: {error.strerror}") from error


def _shown(file: BundleFile) -> dict[str, Any]:
    manifest = file.manifest
    return {
        "name": manifest.name,
        "version": manifest.version,
        "digest": file.digest,
        "expires": manifest.expires,
        "scope": manifest.scope.model_dump(mode="json"),
        "files": {entry.path: entry.sha256 for entry in manifest.files},
        "signatures": [signed.key for signed in file.signatures],
    }


def _show(values: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(canonical_bytes(values).decode())
        return
    table = Table(show_header=False, box=None)
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in values.items():
        items = [f"{key}  {item}" for key, item in value.items()] if isinstance(value, dict) else value
        table.add_row(name.replace("_", " "), "\n".join(map(str, items)) if isinstance(items, list) else str(items))
    Console().print(table)


@contextmanager
def _refusals() -> Iterator[None]:
    """Errors of ours as a line and exit code 1."""
    try:
        yield
    except HoldgateError as error:
        typer.echo(f"{error.code}: {error}", err=True)
        raise typer.Exit(1) from error
