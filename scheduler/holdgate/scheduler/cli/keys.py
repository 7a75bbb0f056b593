"""`holdgate keys`: signing keys (of `holdgate.bundles`), and API keys."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from holdgate.bundles.cli.keys import keys_app as app
from holdgate.bundles.cli.refusal import refusals
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.nkeys import Nkey
from holdgate.scheduler.identity.keys import issue_key, read_keys, revoke_key

__all__ = ["app"]

KeysFile = Annotated[Path, typer.Option("--file", envvar="HOLDGATE_API_KEYS_FILE", help="The file of API keys")]


@app.command("issue")
def issue(
    file: KeysFile,
    actor: Annotated[str, typer.Option(help="Who calls with it")],
    role: Annotated[
        list[str], typer.Option(help="agent, approver, author, operator, auditor, admin, or an approver name")
    ],
    tenant: Annotated[str, typer.Option()] = "default",
    actor_type: Annotated[str, typer.Option(help="agent, human or service")] = "agent",
    principal: Annotated[
        list[str] | None, typer.Option(help="On whose behalf, outermost first; may be repeated")
    ] = None,
) -> None:
    """Issue an API key. It is shown this once; the file keeps its hash."""
    with refusals():
        key, record = issue_key(
            file, tenant=tenant, actor=actor, roles=role, actor_type=actor_type, principals=principal or ()
        )
        print(f"{record.key_id}  {record.actor}  {', '.join(record.roles)}", file=sys.stderr)
        print(key)


@app.command("nats")
def nats(path: Annotated[Path, typer.Argument(help="A new file for the seed, mode 0600")]) -> None:
    """Make the key of a user of NATS, where it is used; print its public half for `holdgate users add-pool`."""
    with refusals():
        if path.exists():
            raise InvalidInput(f"`{path}` exists; a key is never overwritten")
        key = Nkey.generate()
        path.touch(mode=0o600, exist_ok=False)
        path.write_text(key.seed + "\n")
        print(key.public)


@app.command("list")
def list_keys(file: KeysFile) -> None:
    """List API keys: who, with which roles. The keys themselves are known to nobody but their holders."""
    with refusals():
        for record in read_keys(file):
            state = "revoked" if record.disabled else "active"
            print(f"{record.key_id}  {state:<8} {record.tenant}  {record.actor}  {', '.join(record.roles)}")


@app.command("revoke")
def revoke(file: KeysFile, key_id: Annotated[str, typer.Argument(help="As `holdgate keys list` shows it")]) -> None:
    """Revoke an API key, within a second."""
    with refusals():
        record = revoke_key(file, key_id)
        print(f"revoked {record.key_id} of {record.actor}")
