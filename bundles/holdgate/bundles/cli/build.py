"""`holdgate bundle build`, `sign`, `merge`, `verify`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from holdgate.bundles.cli.apps import bundle_app
from holdgate.bundles.cli.common import (
    BuiltFile,
    Json,
    PinsOption,
    RootOption,
    describe,
    load_trust,
    read_file,
    show,
    write_file,
)
from holdgate.bundles.cli.refusal import refusals
from holdgate.bundles.cli.signing import (
    KeyFd,
    KeyFile,
    PassphraseFd,
    PassphraseFile,
    PassphraseFrom,
    require_signer,
)
from holdgate.bundles.errors import BundleRefused
from holdgate.bundles.format import BundleFile, build_bundle, join_signatures, parse_bundle, sign_bundle
from holdgate.bundles.publish import check_publishable
from holdgate.bundles.root import Root
from holdgate.bundles.trusted import parse_bundle_rules, verify_reach
from holdgate.kernel.clock import SystemClock
from holdgate.kernel.permits import fingerprint

SUFFIX = ".bundle.json"


@bundle_app.command("build")
def build(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Holds bundle.yaml and its rules files")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where to [DIR.bundle.json]")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a signed file of other content")] = False,
    as_json: Json = False,
) -> None:
    """Make one file of a bundle directory. The same directory gives the same bytes.

    A file that is there already keeps its signatures where its content is the same; where it is not, --force is needed.
    """
    with refusals(as_json):
        built = build_bundle(directory)
        file = parse_bundle(built)
        verify_reach(parse_bundle_rules(file), file.manifest.scope)
        place = output or directory.with_name(directory.resolve().name + SUFFIX)
        file = join_signatures(file, _signed_before(place, file, force=force))
        write_file(place, file.to_bytes())
        show({"file": str(place), **describe(file, as_json), **_next(as_json, f"sign {place} --key …")}, as_json)


@bundle_app.command("sign")
def sign(
    file: BuiltFile,
    key: KeyFile = None,
    key_fd: KeyFd = None,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    as_json: Json = False,
) -> None:
    """Add an author's signature to a built bundle, in place."""
    with refusals(as_json):
        signer = require_signer(key, key_fd, PassphraseFrom(passphrase_file, passphrase_fd))
        signed = sign_bundle(read_file(file), signer)
        write_file(file, signed)
        shown = describe(parse_bundle(signed), as_json)
        show({"file": str(file), **shown, **_next(as_json, f"check {file}")}, as_json)


@bundle_app.command("merge")
def merge(
    file: BuiltFile,
    others: Annotated[list[Path], typer.Argument(metavar="OTHER…", help="The same bundle, signed by others")],
    as_json: Json = False,
) -> None:
    """Add to a built bundle, in place, the signatures that others made on copies of it."""
    with refusals(as_json):
        joined = join_signatures(parse_bundle(read_file(file)), [parse_bundle(read_file(other)) for other in others])
        data = joined.to_bytes()
        shown = describe(parse_bundle(data), as_json)
        write_file(file, data)
        show({"file": str(file), **shown, **_next(as_json, f"check {file}")}, as_json)


@bundle_app.command("verify")
def verify(file: BuiltFile, root: RootOption, pins: PinsOption, as_json: Json = False) -> None:
    """Check a bundle as a kernel would, and say which keys signed what."""
    with refusals(as_json):
        clock = SystemClock()
        trust = load_trust(root, pins, clock)
        trusted = check_publishable(read_file(file), trust, {}, clock.now_ms())
        signers = {signed.key: _signer_words(signed.key, trust, trusted.signers) for signed in trusted.file.signatures}
        counted = {"counted": list(trusted.signers), "must": trust.threshold, "signers": signers}
        show({"file": str(file), **describe(trusted.file, as_json), **counted}, as_json)


def _signed_before(place: Path, built: BundleFile, *, force: bool) -> list[BundleFile]:
    """The same bundle where it lies at `place` already, for its signatures.

    BundleRefused where signatures of other content would be lost and `force` does not say that this is meant.
    """
    if not place.is_file():
        return []
    try:
        there = parse_bundle(read_file(place))
    except BundleRefused:
        return []  # no bundle, and so no signatures
    if there.digest == built.digest:
        return [there]
    if there.signatures and not force:
        keys = ", ".join(signed.key for signed in there.signatures)
        raise BundleRefused(
            f"`{place}` is signed by {keys}, and its content is another; write elsewhere with `-o`, or add `--force`"
        )
    return []


def _next(as_json: bool, command: str) -> dict[str, str]:
    """What to run next, for people."""
    return {} if as_json else {"next": f"holdgate bundle {command}"}


def _signer_words(name: str, root: Root, counted: Sequence[str]) -> str:
    """Whose key it is, and whether its signature counts for the threshold."""
    author = next((author for author in root.authors if fingerprint(bytes.fromhex(author.public_key)) == name), None)
    if author is None:
        return "no author of the root; does not count"
    return author.name if name in counted else f"{author.name}; may not sign for this scope, does not count"
