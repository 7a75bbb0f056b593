"""The groups of commands; each module beside this one adds its own."""

from __future__ import annotations

import typer

bundle_app = typer.Typer(
    help="Make, test, sign and publish policy bundles.", no_args_is_help=True, add_completion=False
)
root_app = typer.Typer(help="The trust root: who may sign what.", no_args_is_help=True, add_completion=False)
keys_app = typer.Typer(help="Signing keys: make one, show its fingerprint.", no_args_is_help=True, add_completion=False)
