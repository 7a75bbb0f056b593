"""The page of all commands, made from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from holdgate.scheduler.cli import GROUPS, tree
from holdgate.scheduler.cli.people.exits import MEANINGS
from holdgate.scheduler.cli.tree import Command, Parameter

HEAD = """# Commands

`holdgate COMMAND --help` says the same. `holdgate completion bash|zsh|fish` prints a script that completes commands and
options: `source <(holdgate completion bash)` in `~/.bashrc`. This page is made by `make docs`.

- A key is never an argument: others see what is on a command line. It comes from a file or the environment.
- Tables are for a terminal. In a pipe a row is one line without colour, its columns at least two blanks apart and never
  empty. `--json` prints the API's object as one document, of a list or a stream an object a line.
- What others wrote is shown with its control characters, and those that turn text around or cannot be seen, as escapes
  such as `\\x1b`.
- Errors go to standard error: a line that begins with their code, and what to do next. With `--json` the API's problem
  is on standard output, too.

## Exit codes

Of `holdgate jobs`, `holdgate approvals` and `holdgate quarantine`; others end with 0, 1 for a refusal and 2 for a wrong
command line, or say in their help what else.

| code | means |
| --- | --- |
"""
SHARED = (
    "`holdgate jobs`, `holdgate approvals` and `holdgate quarantine` take these. A key that is given goes to no other "
    "address than one that is given, or `http://127.0.0.1:8081`."
)
SHARED_FLAGS = {"--api", "--api-key-file", "--dir", "--as", "--json"}


def markdown() -> str:
    """The page."""
    lines = [f"{HEAD}" + "\n".join(f"| {int(code)} | {meaning} |" for code, meaning in MEANINGS.items())]
    lines += ["", "## Where the API is", "", SHARED]
    lines += _rows([item for item in tree.group("jobs").below("list").parameters if _is_shared(item)])
    root = tree.root()
    for name in sorted(root.commands):
        command = tree.group(name) if name in GROUPS else root.below(name)
        lines += ["", f"## holdgate {name}", "", _text(command.help or GROUPS.get(name, ("", ""))[1])]
        lines += _below(f"holdgate {name}", command) if command.commands else _table(command)
    return "\n".join(lines) + "\n"


def _below(path: str, command: Command) -> Iterator[str]:
    for name in command.commands:
        below = command.below(name)
        if below.commands:
            yield from _below(f"{path} {name}", below)
            continue
        arguments = " ".join(_argument(item) for item in below.parameters if not item.flags)
        yield from ("", f"### {path} {name}", "", f"`{path} {name} {arguments}".rstrip() + "`", "", _text(below.help))
        yield from _table(below)


def _table(command: Command) -> Iterator[str]:
    """Its own; those that all commands for people have are told once."""
    is_for_people = any("--as" in item.flags for item in command.parameters)
    return _rows([item for item in command.parameters if not (is_for_people and _is_shared(item))])


def _is_shared(item: Parameter) -> bool:
    return bool(SHARED_FLAGS & set(item.flags))


def _rows(parameters: Sequence[Parameter]) -> Iterator[str]:
    if not parameters:
        return
    yield from ("", "| option | what it is |", "| --- | --- |")
    for item in parameters:
        name = ", ".join(f"`{flag}`" for flag in item.flags) or f"`{_argument(item)}`"
        yield f"| {name} | {_what(item)} |"


def _what(item: Parameter) -> str:
    said = [item.help] if item.help else []
    said += [f"one of {', '.join(f'`{word}`' for word in item.choices)}"] if item.choices else []
    said += ["needed"] if item.is_required and item.flags else []
    said += ["may be repeated"] if item.is_repeated and "repeated" not in item.help else []
    said += [f"from `{item.envvar}`"] if item.envvar else []
    if item.takes_value and isinstance(item.default, str | int | float) and not isinstance(item.default, bool):
        said += [f"`{getattr(item.default, 'value', item.default)}` where nothing is said"]
    return "; ".join(said).replace("|", "\\|")


def _argument(item: Parameter) -> str:
    name = item.name.upper() + ("…" if item.is_repeated else "")
    return name if item.is_required else f"[{name}]"


def _text(text: str) -> str:
    return " ".join(text.split())
