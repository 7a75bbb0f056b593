"""`holdgate bundle rollback`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from holdgate.bundles.cli.apps import bundle_app
from holdgate.bundles.cli.common import Json, read_file, show, write_file
from holdgate.bundles.cli.log import BundleName
from holdgate.bundles.cli.publish import AcceptWidening, told
from holdgate.bundles.cli.signing import KeyFd, KeyFile, PassphraseFd, PassphraseFile, PassphraseFrom, require_signer
from holdgate.bundles.cli.stores import Published, at_store
from holdgate.bundles.errors import BundleNotFound, BundleUnsigned
from holdgate.bundles.format import BundleFile, parse_bundle, sign_bundle
from holdgate.bundles.publish import Accept
from holdgate.bundles.rollback import expiry_ms, next_version, parse_expires, require_version, roll_back, verify_origin
from holdgate.kernel.clock import SystemClock, parse_rfc3339, rfc3339
from holdgate.kernel.errors import HoldgateError


@bundle_app.command("rollback")
@at_store
def rollback_command(  # noqa: PLR0913  options of a command
    bundles: Published,
    name: BundleName,
    to: Annotated[int, typer.Option("--to", min=1, help="The version whose rules are to come back")],
    key: KeyFile = None,
    key_fd: KeyFd = None,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    source: Annotated[Path | None, typer.Option("--from", help="That version's file [the published one]")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where to [NAME-VERSION.bundle]")] = None,
    expires: Annotated[str | None, typer.Option(help="Until when it holds [as long as the old one did]")] = None,
    version: Annotated[int | None, typer.Option(min=2, help="Its version [one above the highest seen]")] = None,
    accept_widening: AcceptWidening = False,
    as_json: Json = False,
) -> None:
    """Bring the rules and tests of an older version back as a new one: write it, sign it, publish it."""
    now_ms, log = SystemClock().now_ms(), _log(bundles, name)
    old = parse_bundle(bundles.file(name, to) if source is None else read_file(source))
    require_version(old, name, to)
    number = version or next_version(
        max([bundles.version_seen(name), *(row["version"] for row in log if _counts(row))]), to
    )
    until = _expires(old, log, now_ms) if expires is None else parse_expires(expires, now_ms)
    data = roll_back(old, version=number, expires=until)
    place = output or Path(f"{name}-{number}.bundle")
    if key is not None or key_fd is not None:
        signer = require_signer(key, key_fd, PassphraseFrom(passphrase_file, passphrase_fd))
        if source is None:
            verify_origin(old, signer, bundles.root)
        data = sign_bundle(data, signer)
    write_file(place, data)
    done = _publish(bundles, name, data, place, Accept.WIDENING if accept_widening else Accept.NOTHING)
    show({"published": True, "file": str(place), **(done if as_json else told(done))}, as_json)


def _publish(bundles: Published, name: str, data: bytes, place: Path, accept: Accept) -> dict[str, Any]:
    try:
        return bundles.publish(name, data, accept)
    except HoldgateError as error:
        if error.code != BundleUnsigned.code:
            raise
        raise BundleUnsigned(
            f"{error}; it is in `{place}`, not published: let the next author run "
            f"`holdgate bundle sign {place} --key …`, then `holdgate bundle publish {place}`"
        ) from error


def _log(bundles: Published, name: str) -> list[dict[str, Any]]:
    try:
        return bundles.log(name)
    except HoldgateError as error:
        if error.code != BundleNotFound.code:
            raise
        return []


def _counts(row: dict[str, Any]) -> bool:
    return row["version"] is not None and row["problem"] is None


def _expires(old: BundleFile, log: list[dict[str, Any]], now_ms: int) -> str:
    published = [
        row["published_at"] for row in log if row["version"] == old.manifest.version and row["digest"] == old.digest
    ]
    return rfc3339(expiry_ms(old.manifest, parse_rfc3339(published[0]) if published else None, now_ms))
