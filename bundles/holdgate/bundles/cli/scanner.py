"""The scanner that commands ask about detectors: given by whoever puts them together, since this package has none."""

from __future__ import annotations

from collections.abc import Callable

from holdgate.bundles.lint.findings import Scanner

_given: list[Callable[[], Scanner]] = []


def give_scanner(make: Callable[[], Scanner]) -> None:
    """Ask `make` for a scanner from now on; it is called when a command needs one."""
    _given[:] = [make]


def scanner() -> Scanner | None:
    """The scanner to ask, or None."""
    return _given[0]() if _given else None
