"""What a job carries: secrets, personal data, credentials of the platform itself. Measured on what was sent, never
taken from a label.

What always holds: a text that could not be scanned to its end counts as one with secrets and personal data; a live
credential of the platform that stands in it plainly is found all the same, and its value is kept nowhere. Long texts
are scanned in a thread, one at a time, short and packed ones beside them, in turn by tenants: one tenant's large jobs
cost another's next one the end of one scan.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import TypeAlias

from holdgate.kernel.ids import Tenant
from holdgate.scan import Category, Present, ScanError, Scanner
from holdgate.scan.engine import all_within
from holdgate.scan.known import KnownDigests, KnownSecrets
from holdgate.scheduler.gates.metrics import PLATFORM_SECRETS_REFUSED
from holdgate.scheduler.gates.turns import FairTurns

INLINE_CHARS_MAX = 8 * 1024
"""Well under a millisecond of scanning; longer texts leave the event loop."""
_PACKED = r"[A-Za-z0-9+/=_%&#;\\-]{256}"
"""A run that may be something packed, and a thousand times its size: it leaves the event loop, however short."""
_PACKED_TEXT, _PACKED_BYTES = re.compile(_PACKED, re.ASCII), re.compile(_PACKED.encode("ascii"))
PACKED_CHARS_MAX = 64 * 1024
"""Of texts that do not wait for the longer ones."""
SECONDS = 2.0
"""For all that one caller sends; a text that takes longer has whatever it may have."""
NOBODY = Tenant("")
Credentials: TypeAlias = KnownSecrets | KnownDigests
_Texts: TypeAlias = tuple[str | bytes | None, ...]


class Measure:
    """Scans what is sent at the submit gate. One per process. `scanner` looks for `credentials`, too."""

    def __init__(self, scanner: Scanner, credentials: Sequence[Credentials] = ()) -> None:
        self._scanner = scanner
        self._credentials = tuple(credentials)
        self._packed, self._long = FairTurns(1), FairTurns(1)

    async def present(self, *texts: str | bytes | None, tenant: Tenant = NOBODY) -> Present:
        """What is in any of `texts`, which `tenant` sent; all that there may be in one that could not be searched."""
        size = sum(len(text) for text in texts if text is not None)
        if size <= INLINE_CHARS_MAX and not may_be_packed(texts):
            found = self._searched(texts)
        else:
            turns = self._packed if size <= PACKED_CHARS_MAX else self._long
            async with turns.turn(tenant):
                found = await asyncio.to_thread(self._searched, texts)
        if found.platform:
            PLATFORM_SECRETS_REFUSED.inc()
        return found

    def _searched(self, texts: _Texts) -> Present:
        with all_within(SECONDS):
            found = self._scanner.present(*texts)
            return Present(found.secrets, found.pii, found.platform and self._is_platform(texts))

    def _is_platform(self, texts: _Texts) -> bool:
        """Whether there is one indeed: `present` says so, too, of a text that it could not search."""
        try:
            return any(
                finding.category is Category.PLATFORM_SECRET
                for text in texts
                if text is not None
                for finding in self._scanner.scan(text)
            )
        except ScanError:
            return any(self._is_in_plain_sight(text) for text in texts if text is not None)

    def _is_in_plain_sight(self, text: str | bytes) -> bool:
        data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
        try:
            return any(next(iter(each.hits(data)), None) is not None for each in self._credentials)
        except ScanError:
            return True


def may_be_packed(texts: _Texts) -> bool:
    """Whether any of `texts` may unpack to much more than it is."""
    return any(
        _PACKED_BYTES.search(text) if isinstance(text, bytes) else _PACKED_TEXT.search(text)
        for text in texts
        if text is not None
    )
