"""Replaces findings by tags that say what was there and never what it was."""

from __future__ import annotations

from collections.abc import Sequence

from holdgate.scan.findings import Finding


class Redactor:
    """Writes `[redacted:<category>:<fingerprint>]`; the fingerprint is keyed with `key` (16 to 64 bytes)."""

    def __init__(self, key: bytes) -> None:
        raise NotImplementedError

    def redact_text(self, text: str, findings: Sequence[Finding]) -> str:
        """`text` with every finding replaced."""
        raise NotImplementedError

    def redact_json(self, value: bytes, findings: Sequence[Finding]) -> bytes:
        """Canonical JSON of `value` with every finding replaced, in values and in keys."""
        raise NotImplementedError
