"""A secret on the first line of a file: an API key, a password."""

from __future__ import annotations

from pathlib import Path

from holdgate.kernel.errors import InvalidInput

SECRET_BYTES_MAX = 512


def first_line(path: Path) -> str:
    """What stands there; InvalidInput where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(SECRET_BYTES_MAX).decode("ascii").strip()
    except OSError as error:
        raise InvalidInput(f"cannot read `{path}`: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"`{path}` holds no key or password") from error
