"""Libraries without what no process of ours has of them."""

from __future__ import annotations

import sys
from importlib import import_module


def import_structlog() -> None:
    """Before anything else imports it, and it `rich`, for tracebacks in colour: megabytes in each process."""
    if "rich" in sys.modules or "structlog" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment] # the way to say that there is no such module
    try:
        import_module("structlog")
    finally:
        del sys.modules["rich"]
