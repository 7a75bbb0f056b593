"""What a store, an API or a bundle said, fit for a terminal: nothing in it moves a cursor or turns text around."""

from __future__ import annotations

import typer

_DIRECTIONS = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_LINES = (0x2028, 0x2029)
_CONTROL = dict.fromkeys([*range(32), *range(127, 160), *_LINES, *_DIRECTIONS])


def plain(text: object) -> str:
    """One line of `text`, without what a terminal would do instead of showing it."""
    return str(text).translate(_CONTROL)


def plain_lines(text: object) -> str:
    """The same, where lines are meant."""
    return "\n".join(map(plain, str(text).split("\n")))


def say(text: object, *, err: bool = False) -> None:
    """Print one line of `text`, to standard error where `err`."""
    typer.echo(plain(text), err=err)
