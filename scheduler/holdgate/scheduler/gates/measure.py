"""What a job carries: secrets, personal data, credentials of the platform itself. Measured on what was sent, never
taken from a label.

What always holds: a text that could not be scanned to its end counts as one with secrets and personal data; a live
credential of the platform is found however much else there is, and its value is compared in constant time and kept
nowhere. Long texts are scanned in a thread, one at a time, so that one large job does not hold up the small ones.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from itertools import islice

from holdgate.kernel.jobform import JobForm
from holdgate.kernel.records import Job
from holdgate.scan import Category, Present, ScanError, Scanner
from holdgate.scan.known import KnownSecrets
from holdgate.scheduler.gates.metrics import PLATFORM_SECRETS_REFUSED

INLINE_CHARS_MAX = 8 * 1024
"""Well under a millisecond of scanning; longer texts leave the event loop."""
KEYS_LOOKED_UP_MAX = 1_000
"""Texts of the form of an API key in one job. One with more is not a job that somebody wrote."""
_API_KEY = re.compile(rb"hgk_[A-Za-z0-9_-]{43}")
_Texts = tuple[str | bytes | None, ...]


class Measure:
    """Scans what is sent at the submit gate. One per process.

    `scanner` looks for the secrets in `known` too. `is_live`: whether a text is an API key that somebody may use now.
    """

    def __init__(self, scanner: Scanner, known: tuple[bytes, ...], is_live: Callable[[bytes], bool]) -> None:
        self._scanner = scanner
        self._known = KnownSecrets(known)
        self._is_live = is_live
        self._turn = asyncio.Lock()

    async def present(self, *texts: str | bytes | None) -> Present:
        """What is in any of `texts`; all that there may be in one that could not be searched."""
        if sum(len(text) for text in texts if text is not None) <= INLINE_CHARS_MAX:
            found, keys = self._searched(texts)
        else:
            async with self._turn:
                found, keys = await asyncio.to_thread(self._searched, texts)
        if found.platform or len(keys) > KEYS_LOOKED_UP_MAX or any(map(self._is_live, keys)):
            PLATFORM_SECRETS_REFUSED.inc()
            return Present(secrets=True, pii=found.pii, platform=True)
        return found

    def _searched(self, texts: _Texts) -> tuple[Present, list[bytes]]:
        """What the scanner finds, and what has the form of an API key."""
        found = self._scanner.present(*texts)
        platform = found.platform and self._is_platform(texts)
        keys = list(dict.fromkeys(islice(_keys_in(texts), KEYS_LOOKED_UP_MAX + 1)))
        return Present(found.secrets, found.pii, platform), keys

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
            return self._in_plain_sight(texts)

    def _in_plain_sight(self, texts: _Texts) -> bool:
        try:
            return any(next(iter(self._known.spans(*_forms(text))), None) for text in texts if text is not None)
        except ScanError:
            return True


def texts_of(form: JobForm | Job) -> _Texts:
    """All that a submitter writes into a job: prompt and payload, and the short texts around them, a line each."""
    around = [
        form.topic,
        *(f"{name}: {value}" for name, value in form.labels.items()),
        *form.risk_tags,
        *form.requires,
        form.capability or "",
        form.concurrency_key or "",
    ]
    return form.prompt, form.payload, "\n".join(around)


def _keys_in(texts: _Texts) -> Iterator[bytes]:
    for text in texts:
        if text is not None:
            yield from (match.group() for match in _API_KEY.finditer(_forms(text)[0]))


def _forms(text: str | bytes) -> tuple[bytes, str | None]:
    return (text, None) if isinstance(text, bytes) else (text.encode("latin-1", "replace"), text)
