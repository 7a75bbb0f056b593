"""`holdgate users`: who may log in to NATS and Redis, in the directory of `holdgate up` or `holdgate provision`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from holdgate.bundles.cli.refusal import refusals
from holdgate.kernel.clock import SystemClock
from holdgate.scheduler.cli.people.connection import AsJson
from holdgate.scheduler.cli.people.output import Out, note
from holdgate.scheduler.up import credentials
from holdgate.scheduler.up.access import worker_user
from holdgate.scheduler.up.home import Home
from holdgate.scheduler.up.reload import apply, existing

app = typer.Typer(name="users", help="Users of NATS and Redis.", no_args_is_help=True, add_completion=False)
Directory = Annotated[Path, typer.Option("--dir", help="Of `holdgate up` or `holdgate provision`")]
Public = Annotated[
    str | None,
    typer.Option(help="Public key (`U…`) of a seed that its holder made; else one is made and left in the directory"),
]


@app.command("list")
def list_users(directory: Directory = Path(".holdgate"), as_json: AsJson = False) -> None:
    """List users, and how many credentials of each hold: two while one is being exchanged."""
    out = Out(as_json)
    with refusals(as_json):
        home = existing(directory)
        for name in credentials.users(home):
            held = credentials.accepted(home, name)
            shown = held[0] if held and held[0].startswith("U") else None
            if as_json:
                out.line({"user": name, "credentials": len(held), "public_key": shown})
            else:
                print(f"{name:<20} {len(held)}  {shown or 'password'}")


@app.command("add-pool")
def add_pool(
    pool: Annotated[str, typer.Argument(help="Name of the pool")],
    directory: Directory = Path(".holdgate"),
    public_key: Public = None,
) -> None:
    """Make a user for the workers of a pool, in an account of its own."""
    _change(directory, lambda home: credentials.add_pool(home, pool, public_key), worker_user(pool))
    told = "the file above" if public_key is None else "the seed of that key"
    note(f"next: give {told} to the pool's workers as HOLDGATE_NATS_NKEY_FILE, with HOLDGATE_POOL={pool}")


@app.command("remove-pool")
def remove_pool(pool: Annotated[str, typer.Argument()], directory: Directory = Path(".holdgate")) -> None:
    """Take a pool's user away: its workers are cut off."""
    _change(directory, lambda home: credentials.remove_pool(home, pool), None)
    note(f"pool {pool} has no user any more; stop its workers, and tell agents: jobs for it wait until their deadline")


@app.command("rotate")
def rotate(
    user: Annotated[str, typer.Argument(help="As `holdgate users list` shows it")],
    directory: Directory = Path(".holdgate"),
    public_key: Public = None,
) -> None:
    """Give a user another credential; the one before it holds as well, until `retire`."""
    _change(directory, lambda home: credentials.rotate(home, user, public_key), user)


@app.command("retire")
def retire(user: Annotated[str, typer.Argument()], directory: Directory = Path(".holdgate")) -> None:
    """Let only the newest credential of a user hold; whoever has an older one is cut off."""
    _change(directory, lambda home: credentials.retire(home, user), None)


def _change(directory: Path, change: Callable[[Home], None], user: str | None) -> None:
    """`user`: whose credential may lie in the directory now."""
    with refusals():
        home = existing(directory)
        change(home)
        for left in apply(home, SystemClock()):
            print(left, file=sys.stderr)
        if user is not None:
            print(_file(home, user))


def _file(home: Home, user: str) -> str:
    """Where the credential lies, or whose it is."""
    file = home.nkey_file(user) if home.nkey_file(user).exists() else home.password_file(user)
    return str(file) if file.exists() else credentials.accepted(home, user)[0]
