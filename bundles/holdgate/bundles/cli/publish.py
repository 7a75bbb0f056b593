"""`holdgate bundle check`, `publish`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from holdgate.bundles.cli.apps import bundle_app
from holdgate.bundles.cli.common import BuiltFile, Json, read_file, show
from holdgate.bundles.cli.stores import Published, at_store
from holdgate.bundles.format import parse_bundle
from holdgate.bundles.publish import Accept
from holdgate.kernel.canonical import canonical_bytes
from holdgate.kernel.errors import HoldgateError

PUBLISHED_ALREADY = ("bundle_version", "bundle_version_reused")
AcceptWidening = Annotated[
    bool, typer.Option("--accept-widening", help="That it allows what was not allowed is meant; see `check`")
]


@bundle_app.command("check")
@at_store
def check_command(bundles: Published, file: BuiltFile, as_json: Json = False) -> None:
    """Tell what publishing a bundle would be told: signatures, tests, lint, what it allows. Publishes nothing."""
    data = read_file(file)
    checked = bundles.check(parse_bundle(data).manifest.name, data)
    show(checked if as_json else {**_summary(checked), **_next(checked, file)}, as_json)
    if not checked["publishable"]:
        raise typer.Exit(1)


@bundle_app.command("publish")
@at_store
def publish_command(
    bundles: Published,
    file: BuiltFile,
    accept_widening: AcceptWidening = False,
    accept_first: Annotated[
        bool, typer.Option("--accept-first", help="The same, only where nothing is published yet")
    ] = False,
    if_newer: Annotated[bool, typer.Option("--if-newer", help="Done, too, when this version is published")] = False,
    as_json: Json = False,
) -> None:
    """Review a bundle against what is published, and publish it. Kernels verify it again."""
    accept = Accept.WIDENING if accept_widening else Accept.FIRST if accept_first else Accept.NOTHING
    data = read_file(file)
    try:
        done = bundles.publish(parse_bundle(data).manifest.name, data, accept)
    except HoldgateError as error:
        if not if_newer or error.code not in PUBLISHED_ALREADY:
            raise
        show({"published": False, "reason": str(error)}, as_json)
        return
    show({"published": True, **(done if as_json else told(done))}, as_json)


def told(done: dict[str, Any]) -> dict[str, Any]:
    """What was published, in lines for people."""
    kept = {name: value for name, value in done.items() if name not in ("signers", "findings") and value is not None}
    return _filled({**kept, "signed by": signed_by(done["signers"]), "findings": _findings(done["findings"])})


def signed_by(signers: list[dict[str, str]]) -> list[str]:
    """Authors and their keys."""
    return [f"{signer['author']}  {signer['key']}" for signer in signers]


def _summary(checked: dict[str, Any]) -> dict[str, Any]:
    tests, changes = checked["tests"], checked["diff"]["changes"]
    shown = {
        "name": checked["name"],
        "version": checked["version"],
        "digest": checked["digest"],
        "signed by": signed_by(checked["signers"]),
        "tests": f"{tests['cases']}, of which {tests['failed']} fail",
        "changes": [_change(item) for item in changes],
        "findings": _findings(checked["findings"]),
        "left out": [f"{name}: {code}" for name, code in checked["left_out"].items()],
        "publishable": _verdict(checked),
        "because": [
            f"{item['code']}: {item['detail']}" for item in checked["objections"] if not checked["publishable"]
        ],
    }
    return _filled(shown)


def _filled(shown: dict[str, Any]) -> dict[str, Any]:
    """Without lines that have nothing to say."""
    return {name: value for name, value in shown.items() if value != []}


def _change(change: dict[str, Any]) -> str:
    line = f"{change['direction']}: {_place(change['bundle'], change['rule'])}  {change['what']}"
    facts = change.get("example", {}).get("facts")
    return line if facts is None else f"{line}, such as {canonical_bytes(facts).decode()}"


def _place(bundle: str, rule: str) -> str:
    """Which rule of which bundle; ids of rules often begin with the name of theirs."""
    return rule if rule.startswith(f"{bundle}.") else f"{bundle}: {rule}" if rule else bundle


def _next(checked: dict[str, Any], file: Path) -> dict[str, str]:
    """What to run next, where it is published as it is."""
    option = " --accept-widening" if checked["widens"] else ""
    return {"next": f"holdgate bundle publish {file}{option}"} if checked["publishable"] else {}


def _verdict(checked: dict[str, Any]) -> str:
    if not checked["publishable"]:
        return "no"
    return "with --accept-widening" if checked["widens"] else "yes"


def _findings(findings: list[dict[str, Any]]) -> list[str]:
    return [f"{item['severity']}: {item['code']} {item['rule']}  {item['message']}" for item in findings]
