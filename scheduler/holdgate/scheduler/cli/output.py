"""Where the commands print to: what holds of it whatever the locale is, and whoever stops reading.

What always holds: a character that the locale cannot show is written as an escape; where output cannot be written, the
command ends with exit code 1 and a line at most, never with a traceback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper

UNWRITABLE = 1


@contextmanager
def guarded_output() -> Iterator[None]:
    """Standard output and error for the block; ends in SystemExit where something cannot be written."""
    _escape_what_the_locale_lacks()
    try:
        try:
            yield
        finally:
            _flush()
    except OSError as error:
        _drop_output()
        if not isinstance(error, BrokenPipeError):  # who closed it knows
            _tell(error)
        raise SystemExit(UNWRITABLE) from None


def _escape_what_the_locale_lacks() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _flush() -> None:
    """What waits to be written is, or the error is raised here and not when the interpreter ends."""
    if sys.stdout is not None:
        sys.stdout.flush()


def _drop_output() -> None:
    """What still waits goes nowhere: the interpreter would try to write it again when it ends."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _tell(error: OSError) -> None:
    where = "" if error.filename is None else f"`{error.filename}`: "
    with suppress(OSError):
        print(f"holdgate: {where}{(error.strerror or str(error)).lower()}", file=sys.stderr, flush=True)
