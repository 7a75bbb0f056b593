"""The commands as a tree, for shell completion and for the page of the reference; groups are loaded when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import typer.main

from holdgate.scheduler.cli import GROUPS, load_group


@dataclass(frozen=True, slots=True)
class Parameter:
    """An option or an argument. `flags` is empty for an argument; `choices` where only some words are allowed."""

    name: str
    flags: tuple[str, ...]
    takes_value: bool
    is_required: bool
    is_repeated: bool
    help: str
    envvar: str | None
    choices: tuple[str, ...]
    default: object


@dataclass(frozen=True, slots=True)
class Command:
    """A command, and those below it by name."""

    name: str
    help: str
    parameters: tuple[Parameter, ...]
    commands: Mapping[str, Any]

    def below(self, name: str) -> Command:
        """The command `name` of this group."""
        return _command(name, self.commands[name])


def root() -> Command:
    """`holdgate` itself; its groups are empty, see `group`."""
    from holdgate.scheduler.cli.root import app

    return _command("holdgate", typer.main.get_command(app))


def group(name: str) -> Command:
    """One of the groups that are loaded when they are called."""
    return _command(name, typer.main.get_command(load_group(name)))


def is_group(name: str) -> bool:
    """Whether `name` is one of those."""
    return name in GROUPS


def _command(name: str, made: Any) -> Command:
    below = {key: item for key, item in getattr(made, "commands", {}).items() if not item.hidden}
    shown = tuple(_parameter(item) for item in made.params if not getattr(item, "hidden", False))
    return Command(name, (made.help or "").strip(), shown, below)


def _parameter(made: Any) -> Parameter:
    is_option = made.param_type_name == "option"
    return Parameter(
        name=made.name if made.metavar is None else made.metavar,
        flags=(*made.opts, *made.secondary_opts) if is_option else (),
        takes_value=not getattr(made, "is_flag", False),
        is_required=made.required,
        is_repeated=made.nargs == -1 or bool(getattr(made, "multiple", False)),
        help=(getattr(made, "help", None) or "").strip(),
        envvar=made.envvar if isinstance(made.envvar, str) else None,
        choices=_choices(made),
        default=made.default,
    )


def _choices(made: Any) -> tuple[str, ...]:
    """Typer keeps them in one of two places, by its version."""
    kind = getattr(getattr(made, "type_descriptor", None), "annotation", None)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return tuple(str(item.value) for item in kind)
    found = getattr(getattr(made, "type", None), "choices", ())
    return tuple(str(getattr(item, "value", item)) for item in found)
