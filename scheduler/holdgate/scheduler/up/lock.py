"""Whether a `holdgate up` runs in a directory: it holds a lock there, which the system takes from whoever is killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

from holdgate.scheduler.errors import Misconfigured
from holdgate.scheduler.up.home import Home


@contextlib.contextmanager
def locked(home: Home) -> Iterator[None]:
    """One system a directory; Misconfigured where another one runs."""
    descriptor = os.open(home.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Misconfigured(f"another `holdgate up` runs in `{home.path}`") from error
        yield
    finally:
        os.close(descriptor)


def is_running(home: Home) -> bool:
    """What one that was killed wrote of itself is not believed: its processes' ids may be those of others by now."""
    try:
        descriptor = os.open(home.lock_file, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
