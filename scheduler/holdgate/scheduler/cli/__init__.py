"""The command `holdgate`. Its parts are imported when they are called, so that `holdgate version` is quick."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["main"]

PROCESSES = ("kernel", "api", "dispatcher", "output-gate", "auditor")
GROUPS = {
    "jobs": ("holdgate.scheduler.cli.people.jobs:app", "Submit and follow jobs."),
    "approvals": ("holdgate.scheduler.cli.people.approvals:app", "Release or reject jobs that are held."),
    "quarantine": ("holdgate.scheduler.cli.people.quarantine:app", "Release or destroy outputs that are sealed."),
    "scan": ("holdgate.scheduler.cli.scan.commands:app", "Find secrets and personal data in files."),
    "bundle": ("holdgate.scheduler.cli.bundles:bundle_app", "Make, sign and publish bundles of rules."),
    "keys": ("holdgate.scheduler.cli.keys:app", "Signing keys and API keys."),
    "users": ("holdgate.scheduler.cli.users:app", "Users of NATS and Redis."),
    "root": ("holdgate.bundles.cli.root:root_app", "The trust root: who may sign what."),
    "policy": ("holdgate.scheduler.cli.policy:app", "Try rules, offline or on what was and is decided."),
    "audit": ("holdgate.scheduler.audit.cli:app", "The archive of the audit log."),
    "webhooks": ("holdgate.scheduler.cli.webhooks:app", "Where notices go."),
    "pools": ("holdgate.scheduler.cli.pauses:pools_app", "Keep a pool from getting work, and let it again."),
    "workers": ("holdgate.scheduler.cli.pauses:workers_app", "Let a worker run empty."),
    "worker": ("holdgate.workers.cli:app", "Run job handlers."),
}
"""Commands with commands of their own: where they are, imported only when called."""
COMPLETE = "--complete"
"""What the scripts of `holdgate completion` call: the words of a command line so far, the last one unfinished."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; always ends in SystemExit."""
    import sys

    arguments = list(sys.argv[1:] if argv is None else argv)
    if len(arguments) == 1 and arguments[0] in PROCESSES:
        # A process has settings instead of options: no need for the library that parses those.
        from holdgate.scheduler.cli.processes import run_process

        raise SystemExit(run_process(arguments[0]))
    from holdgate.scheduler.cli.output import guarded_output

    with guarded_output():
        _run(arguments)


def load_group(name: str) -> Any:
    """The Typer of one of GROUPS."""
    from importlib import import_module

    module, _, attribute = GROUPS[name][0].partition(":")
    return getattr(import_module(module), attribute)


def _run(arguments: list[str]) -> None:
    if arguments[:1] == [COMPLETE]:
        from holdgate.scheduler.cli.completion import candidates

        for candidate in candidates(arguments[1:]):
            print(candidate)
        return
    if arguments and arguments[0] in GROUPS:
        load_group(arguments[0])(arguments[1:], prog_name=f"holdgate {arguments[0]}")
        return
    from holdgate.scheduler.cli.root import app

    app(arguments, prog_name="holdgate")
