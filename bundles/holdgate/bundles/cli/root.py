"""`holdgate root init`, `build`, `sign`, `verify`, `show`, `pins`, `diff`: the ceremony of a trust root."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Column, Table
from rich.text import Text

from holdgate.bundles.chain import CHAIN_MAX, RootChain, Tally, parse_chain, unsigned, verify_chain
from holdgate.bundles.cli.apps import root_app
from holdgate.bundles.cli.common import Json, PinsOption, console, show
from holdgate.bundles.cli.refusal import REFUSED, as_dict, refusals, tell
from holdgate.bundles.cli.signing import (
    KeyFd,
    KeyFile,
    PassphraseFd,
    PassphraseFile,
    PassphraseFrom,
    require_signer,
)
from holdgate.bundles.errors import BundleMalformed, BundleRefused, RootRefused
from holdgate.bundles.keys import load_public
from holdgate.bundles.root import KEY_HEX, Pins, Root
from holdgate.bundles.rootdiff import compare_roots, scope_words, weaknesses
from holdgate.bundles.rootdraft import DRAFT_BYTES_MAX, PROCESSES, Draft, NamedKey, parse_draft
from holdgate.bundles.rootfile import read_root_file
from holdgate.kernel.canonical import canonical_bytes
from holdgate.kernel.clock import SystemClock, rfc3339
from holdgate.kernel.permits import fingerprint

DAY_MS = 86_400_000
RootArgument = Annotated[Path, typer.Argument(metavar="ROOT", help="A root file, such as root.json")]
After = Annotated[Path | None, typer.Option("--after", help="The root file that this one follows")]
KeyList = list[str] | None


@root_app.command("init")
def init(  # noqa: PLR0913  the options of a command
    output: Annotated[Path, typer.Argument(help="A new file")] = Path("root.yaml"),
    root_key: Annotated[KeyList, typer.Option(help="Public key of who signs roots; may be repeated")] = None,
    root_threshold: Annotated[int | None, typer.Option(min=1, help="How many must [more than half]")] = None,
    author: Annotated[KeyList, typer.Option(help="NAME=KEY of who signs bundles; may be repeated")] = None,
    threshold: Annotated[int | None, typer.Option(min=1, help="How many authors must sign a bundle [1]")] = None,
    approver: Annotated[KeyList, typer.Option(help="ACTOR=KEY of who votes with a key; may be repeated")] = None,
    api_key: Annotated[KeyList, typer.Option(help="Public key of the api; may be repeated")] = None,
    kernel_key: Annotated[KeyList, typer.Option(help="… of the kernel")] = None,
    dispatcher_key: Annotated[KeyList, typer.Option(help="… of the dispatcher")] = None,
    auditor_key: Annotated[KeyList, typer.Option(help="… of the auditor")] = None,
    quarantine_key: Annotated[str | None, typer.Option(help="64 hex digits; opens quarantined output")] = None,
    expires: Annotated[str | None, typer.Option(help="RFC 3339 [a year from now]")] = None,
    after: After = None,
) -> None:
    """Write a commented root.yaml, from public keys or from the root before it.

    KEY is a public key file, its 64 hex digits, or the fingerprint of a key that stands in the root of --after.
    """
    with refusals():
        known = None if after is None else _load(after).root
        draft = Draft() if known is None else Draft.after(known)
        soon = rfc3339((SystemClock().now_ms() // DAY_MS + 365) * DAY_MS)
        draft = draft.having(expires=expires or soon, threshold=threshold, quarantine_key=quarantine_key)
        draft = draft.with_root([_key(text, known) for text in root_key or ()], root_threshold)
        draft = draft.with_authors([_named(text, known) for text in author or ()])
        draft = draft.with_approvers([_named(text, known) for text in approver or ()])
        for process, texts in zip(PROCESSES, (api_key, kernel_key, dispatcher_key, auditor_key), strict=True):
            draft = draft.with_process(process, [_key(text, known) for text in texts or ()])
        _write(output, draft.to_yaml().encode(), new=True)
        typer.echo(f"{output}: look through it, then `holdgate root build {output}`", err=True)


@root_app.command("build")
def build(
    source: Annotated[Path, typer.Argument(metavar="ROOT_YAML", help="As `holdgate root init` writes it")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to")] = Path("root.json"),
    after: After = None,
    keep: Annotated[int, typer.Option(min=1, max=CHAIN_MAX - 1, help="How many older roots to carry")] = CHAIN_MAX - 1,
    as_json: Json = False,
) -> None:
    """Make a root file of a root.yaml, signed by nobody yet. The same file gives the same bytes."""
    with refusals(as_json):
        before = None if after is None else _load(after)
        root = parse_draft(source.name, _read(source), after=None if before is None else before.root)
        chain = RootChain((unsigned(root),)) if before is None else before.followed_by(root, keep=keep)
        if output.exists() and any(output.samefile(path) for path in (source, after) if path is not None):
            raise RootRefused(f"`{output}` is what it is made of; write it elsewhere with `--output`")
        _write(output, chain.to_bytes())
        _show_chain(output, chain, None, as_json=as_json)


@root_app.command("sign")
def sign(
    file: RootArgument,
    key: KeyFile = None,
    key_fd: KeyFd = None,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    as_json: Json = False,
) -> None:
    """Add a signature to a root, in place; several people, one after another. Compare its digest with theirs first."""
    with refusals(as_json):
        chain = _load(file)
        signer = require_signer(key, key_fd, PassphraseFrom(passphrase_file, passphrase_fd))
        if not any(signer.name in tally.keys for tally in chain.tallies()):
            raise RootRefused(
                f"{signer.name} is no root key of this root, nor of the one before it", code="root_signer"
            )
        signed = chain.signed_by(signer)
        _write(file, signed.to_bytes())
        _show_chain(file, signed, None, as_json=as_json)


@root_app.command("verify")
def verify(file: RootArgument, pins: PinsOption, after: After = None, as_json: Json = False) -> None:
    """Check a root as every process would, and say which keys signed it and how many are missing; exit code 1 if any.

    With --after also that it follows from that root, as a kernel that has seen it demands.
    """
    with refusals(as_json):
        data, parsed = read_root_file(file), Pins.parse(pins)
        chain = parse_chain(data)
        problem: BundleRefused | None = None
        try:
            verify_chain(data, parsed, SystemClock().now_ms())
            if after is not None:
                seen = _load(after).root
                chain.verify_holds(seen.version, seen.digest)
        except BundleRefused as refused:
            problem = refused
        if problem is not None and as_json:
            typer.echo(canonical_bytes({**_counted_chain(file, chain, parsed), **as_dict(problem)}).decode())
            tell(problem)
            raise typer.Exit(REFUSED) from problem
        _show_chain(file, chain, parsed, as_json=as_json)
        if problem is not None:
            raise problem


@root_app.command("show")
def show_root(file: RootArgument, as_json: Json = False) -> None:
    """Say what a root says, and what in it is weak. Nothing is verified."""
    with refusals(as_json):
        root = _load(file).root
        if as_json:
            typer.echo(canonical_bytes({**root.model_dump(mode="json"), "digest": root.digest}).decode())
            return
        show({"file": str(file), "digest": root.digest, **_described(root)}, as_json=False)
        _warn(weaknesses(root))


@root_app.command("pins")
def pins_of(file: RootArgument) -> None:
    """Print the pins that processes are given for a root: its root keys, and how many of them. Nothing is verified."""
    with refusals():
        typer.echo(str(_pins(_load(file).root)))


@root_app.command("diff")
def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="A root file")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="Another one")],
    as_json: Json = False,
) -> None:
    """Say in words what changes from one root to another, with a warning for what weakens. Nothing is verified."""
    with refusals(as_json):
        changes = compare_roots(_load(old).root, _load(new).root)
        if as_json:
            found = [change.as_dict() for change in changes]
            typer.echo(canonical_bytes({"changes": found, "weakens": any(c.weakens for c in changes)}).decode())
            return
        for change in changes:
            typer.echo(f"  {change.what}")
        if not changes:
            typer.echo("nothing differs")
        _warn([change.what for change in changes if change.weakens])


def _warn(weak: list[str]) -> None:
    for what in weak:
        typer.echo(f"warning: {what}", err=True)


def _show_chain(file: Path, chain: RootChain, pins: Pins | None, *, as_json: bool) -> None:
    """Who signed the newest root, and how many still must."""
    if as_json:
        typer.echo(canonical_bytes(_counted_chain(file, chain, pins)).decode())
        return
    older = ", ".join(map(str, _older(chain)))
    show({**_said_of(file, chain), "carries": older or "no older root"}, as_json=False)
    table = Table("keys", "signed", "must", "missing", Column("who signed", overflow="fold"), box=None)
    for tally in _tallies(chain, pins):
        counts = (f"{len(tally.signed)} of {len(tally.keys)}", str(tally.threshold), str(tally.missing))
        table.add_row(*map(Text, (tally.whose, *counts, "\n".join(tally.signed) or "nobody")))
    console().print(table)


def _counted_chain(file: Path, chain: RootChain, pins: Pins | None) -> dict[str, Any]:
    counted = [_counted(tally) for tally in _tallies(chain, pins)]
    return {**_said_of(file, chain), "carries": _older(chain), "signatures": counted}


def _said_of(file: Path, chain: RootChain) -> dict[str, Any]:
    root = chain.root
    return {"file": str(file), "version": root.version, "digest": root.digest, "expires": root.expires}


def _older(chain: RootChain) -> list[int]:
    return [link.root.version for link in chain.links[:-1]]


def _tallies(chain: RootChain, pins: Pins | None) -> list[Tally]:
    return [*chain.tallies(), *([] if pins is None else [chain.anchor(pins)])]


def _counted(tally: Tally) -> dict[str, Any]:
    return {
        "keys": tally.whose,
        "of": list(tally.keys),
        "signed": list(tally.signed),
        "threshold": tally.threshold,
        "missing": tally.missing,
    }


def _described(root: Root) -> dict[str, Any]:
    def names(keys: list[str]) -> list[str]:
        return [fingerprint(bytes.fromhex(key)) for key in keys]

    return {
        "version": root.version,
        "expires": root.expires,
        "next_root": [f"{root.root.threshold} of these must sign it", *names(root.root.keys)],
        "bundles": [
            f"{root.threshold} of these authors must sign one",
            *(f"{a.name}  {names([a.public_key])[0]}  {scope_words(a.scope)}" for a in root.authors),
        ],
        **{f"{process}_keys": names(getattr(root, f"{process}_keys")) for process in PROCESSES},
        "approvers": [f"{a.actor}  {names([a.public_key])[0]}  {', '.join(a.roles)}" for a in root.approvers],
        "approver_roles": [
            f"{role.name}  {scope_words(role.scope)}  of {role.quorum_min} at least" for role in root.approver_roles
        ],
        "quarantine_key": root.quarantine_key or "none: quarantined output is dropped",
        "no_rule": root.default_decision,
        "no_kernel": f"submit {root.fail_modes.submit}, dispatch {root.fail_modes.dispatch}",
        "pins": str(_pins(root)),
    }


def _pins(root: Root) -> Pins:
    return Pins(frozenset(fingerprint(bytes.fromhex(key)) for key in root.root.keys), root.root.threshold)


def _named(text: str, known: Root | None) -> NamedKey:
    name, is_given, key = text.partition("=")
    if not is_given or not name:
        raise RootRefused(f"`{text}` is not `NAME=KEY`")
    return NamedKey(name, _key(key, known))


def _key(text: str, known: Root | None) -> str:
    """The hex of a public key that is named by its file, its hex or its fingerprint."""
    if KEY_HEX.match(text) is not None:
        return text
    if text.startswith("ed25519:"):
        found = () if known is None else (key for key in known.all_keys if fingerprint(bytes.fromhex(key)) == text)
        for key in found:
            return key
        raise RootRefused(f"no key of the root of `--after` is called `{text}`; name its public key file")
    return load_public(Path(text)).raw.hex()


def _load(path: Path) -> RootChain:
    return parse_chain(read_root_file(path))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(DRAFT_BYTES_MAX + 1)
    except OSError as error:
        raise BundleMalformed(f"cannot read `{path}`: {error.strerror}") from error


def _write(path: Path, data: bytes, *, new: bool = False) -> None:
    """Whole or not at all, since a process may be reading it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        if new and path.exists():
            raise BundleMalformed(f"`{path}` exists; name another file")
        temporary.write_bytes(data)
        if path.exists():
            temporary.chmod(stat.S_IMODE(path.stat().st_mode))
        temporary.replace(path)
    except OSError as error:
        raise BundleMalformed(f"cannot write `{path}`: {error.strerror}") from error
