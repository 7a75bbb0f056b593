"""Whether a job carries secrets: measured on what was sent, never taken from a label.

What always holds: a text that could not be scanned to its end counts as one with secrets. Long texts are scanned in a
thread, one at a time, so that one large job does not hold up the small ones.
"""

from __future__ import annotations

import asyncio

from holdgate.scan import ScanError, Scanner

INLINE_CHARS_MAX = 16 * 1024
"""About a quarter of a millisecond of scanning; longer texts leave the event loop."""


class SecretsMeasure:
    """Scans prompts and payloads at the submit gate. One per process."""

    def __init__(self) -> None:
        self._quick = Scanner()
        self._slow = Scanner()
        self._turn = asyncio.Lock()

    async def present(self, *texts: str | bytes | None) -> bool:
        """Whether any of `texts` holds a secret, or could not be searched."""
        if sum(len(text) for text in texts if text is not None) <= INLINE_CHARS_MAX:
            return _has_secrets(self._quick, texts)
        async with self._turn:
            return await asyncio.to_thread(_has_secrets, self._slow, texts)


def _has_secrets(scanner: Scanner, texts: tuple[str | bytes | None, ...]) -> bool:
    try:
        return scanner.has_secrets(*texts)
    except ScanError:
        return True
