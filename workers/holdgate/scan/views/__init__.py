"""The forms in which a text is looked at, and the ways back."""

from __future__ import annotations

from holdgate.scan.findings import View
from holdgate.scan.views import runs
from holdgate.scan.views.document import escape, keys_below, leaves_at, scalar_text, unescape
from holdgate.scan.views.escapes import undo
from holdgate.scan.views.layer import RUNS
from holdgate.scan.views.noise import quiet

__all__ = ["decode_step", "escape", "keys_below", "leaves_at", "scalar_text", "unescape"]


def decode_step(view: str, data: bytes) -> bytes:
    """What `data`, a span that was seen through `view`, stands for. ValueError when it stands for nothing."""
    if view == View.JOINED:
        return data
    if view == View.NOISE:
        return quiet(data)
    return runs.decode(view, data) if view in RUNS else undo(data)
