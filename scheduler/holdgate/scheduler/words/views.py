"""How a finding was seen, in words: through which views of the text."""

from __future__ import annotations

PLAIN = frozenset({"raw", "value", "key", "file"})
"""Views that change nothing of the text."""


def seen_through(via: str) -> str:
    """Behind the place of a finding: ` (in the name)`, ` (in base64, gzip)`; nothing where it stands there plainly."""
    views = via.split(">")
    told = ["the name"] if "key" in views else []
    told += [view for view in views if view and view not in PLAIN]
    return f" (in {', '.join(told)})" if told else ""
