"""How commands of whoever runs the servers fail: in the form of every refusal, also where the machine says no."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from holdgate.bundles.cli.refusal import REFUSED, refusals
from holdgate.kernel.errors import HoldgateError


class MachineRefused(HoldgateError):
    """the machine did not let a file be read or written, or a program be started"""

    code = "machine_refused"


@contextmanager
def failures(as_json: bool = False, *, exit_code: int = REFUSED) -> Iterator[None]:
    """`refusals`, and errors of the operating system in the same form."""
    with refusals(as_json, exit_code=exit_code):
        try:
            yield
        except OSError as error:
            named = f"`{error.filename}`: " if error.filename else ""
            raise MachineRefused(f"{named}{error.strerror or type(error).__name__}") from error
