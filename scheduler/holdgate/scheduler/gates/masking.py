"""A held job as a person looks at it first: secrets in it replaced by tags that say what was there.

What always holds: a value that could not be scanned to its end is not shown at all; personal data stays, since who
decides must see whom it is about. Tags have a key that is made at start and kept nowhere: the same secret has the same
tag for as long as the process lives. Large values, and those that may be packed, are scanned in a thread, one at a
time, in turn by tenants.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from holdgate.kernel.canonical import Json, canonical_bytes, parse_json
from holdgate.kernel.errors import MalformedJson
from holdgate.kernel.ids import Entropy, Tenant
from holdgate.kernel.records import Job
from holdgate.scan import SECRETS, Redactor, ScanError, Scanner
from holdgate.scheduler.gates.measure import may_be_packed
from holdgate.scheduler.gates.turns import FairTurns

INLINE_BYTES_MAX = 4 * 1024
MASKED_BYTES_MAX = 512 * 1024
"""Of a payload: searching one of 8 MiB takes 20 seconds and holds up everything else for four of them."""
KEY_BYTES = 32
_NOBODY = Tenant("")


@dataclass(frozen=True, slots=True)
class Masked:
    """Canonical JSON with `count` secrets replaced; None where it could not be scanned, or there was nothing."""

    data: bytes | None
    count: int = 0
    scanned: bool = True


class Masking:
    """Masks what submitters send. One per process."""

    def __init__(self, scanner: Scanner, entropy: Entropy) -> None:
        self._scanner = scanner
        self._redactor = Redactor(entropy(KEY_BYTES))
        self._turns = FairTurns(1)

    async def mask(
        self,
        payload: bytes | None,
        prompt: str | None,
        labels: Mapping[str, str],
        around: Mapping[str, Json] | None = None,
        *,
        tenant: Tenant = _NOBODY,
    ) -> Masked:
        """`{"labels", "payload", "prompt"}` and `around` as one value: a tag means the same secret wherever it is."""
        texts = (payload, prompt, *labels.values())
        if sum(len(text) for text in texts if text) <= INLINE_BYTES_MAX and not may_be_packed(texts):
            return self.mask_now(payload, prompt, labels, around)
        async with self._turns.turn(tenant):
            return await asyncio.to_thread(self.mask_now, payload, prompt, labels, around)

    def mask_now(
        self,
        payload: bytes | None,
        prompt: str | None,
        labels: Mapping[str, str],
        around: Mapping[str, Json] | None = None,
    ) -> Masked:
        """The same in this thread, however large it is."""
        try:
            parsed: Json = None if payload is None else parse_json(payload)
            value: dict[str, Json] = {**(around or {}), "labels": dict(labels), "payload": parsed, "prompt": prompt}
            # Without our own names: they would be read with what stands beside them, and masked as a part of it.
            texts: Json = list(value.values())
            found = [item for item in self._scanner.scan_value(texts) if item.category in SECRETS]
            shown = self._redactor.redact_value(texts, found)
            if not isinstance(shown, list):
                return Masked(None, scanned=False)
            return Masked(canonical_bytes(dict(zip(value, shown, strict=True))), len(found))
        except (ScanError, MalformedJson):
            return Masked(None, scanned=False)


def around_of(job: Job) -> dict[str, Json]:
    """The short texts of a job that are its submitter's words, too, by the names under which they are shown."""
    return {
        "topic": job.topic,
        "capability": job.capability,
        "risk_tags": list(job.risk_tags),
        "requires": list(job.requires),
        "secrets": list(job.secrets),
        "concurrency_key": job.concurrency_key,
    }
