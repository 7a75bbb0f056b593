"""Scans a text that comes in chunks, with bounded memory: what is kept is a window, never the whole.

What always holds: the hits are those of the whole text, wherever the chunks begin and end, since the window moves by
whole groups of pieces and reaches further than any rule looks; offsets are offsets in the whole text.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace

from holdgate.kernel.patterns import ANCHOR_BYTES_MAX, MATCH_BYTES_MAX, NEAR_BYTES_MAX
from holdgate.scan.engine import GROUP_BYTES, PIECE_BYTES, Engine, Hit, Meter

STEP_BYTES = 4 * GROUP_BYTES
"""How far the window moves at a time; it is this long and what rules see on both sides."""
BEHIND_BYTES = GROUP_BYTES
AHEAD_BYTES = 2 * PIECE_BYTES + ANCHOR_BYTES_MAX + MATCH_BYTES_MAX + NEAR_BYTES_MAX
"""Rules look `BEFORE_BYTES_MAX` and `NEAR_BYTES_MAX` back from the piece that they fire in, and this far ahead."""


def scan_stream(engine: Engine, chunks: Iterable[bytes], meter: Meter | None = None) -> Iterator[Hit]:
    """Hits of the text that `chunks` (latin-1) make together, about in order; may repeat and overlap.

    A length is not known ahead, so `text_chars_max` does not bound it; the meter is granted each chunk as it comes, and
    its clock stands still while the source is waited for.
    """
    meter = meter or Meter(engine.budget)
    window, offset, first = b"", 0, 0
    for block in _blocks(chunks, meter):
        window += block
        last = (len(window) - AHEAD_BYTES) // GROUP_BYTES * GROUP_BYTES
        if last > first:
            yield from _moved(engine.hits_between(window, first, last, meter), offset)
            gone = max(0, last - BEHIND_BYTES)
            window, offset, first = window[gone:], offset + gone, last - gone
    yield from _moved(engine.hits_between(window, first, len(window), meter), offset)


def _blocks(chunks: Iterable[bytes], meter: Meter) -> Iterator[bytes]:
    """The same text in blocks of about `STEP_BYTES`, whatever the size of a chunk."""
    held: list[bytes] = []
    size = 0
    started = time.monotonic()
    for chunk in chunks:
        meter.waited(time.monotonic() - started)
        meter.grant(len(chunk))
        for begin in range(0, len(chunk), STEP_BYTES):
            held.append(chunk[begin : begin + STEP_BYTES])
            size += len(held[-1])
            if size >= STEP_BYTES:
                yield b"".join(held)
                held, size = [], 0
        started = time.monotonic()
    meter.waited(time.monotonic() - started)
    yield b"".join(held)


def _moved(hits: Iterator[Hit], offset: int) -> Iterator[Hit]:
    for hit in hits:
        yield replace(hit, start=hit.start + offset, end=hit.end + offset) if offset else hit
