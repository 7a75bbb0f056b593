"""The scanner: known secrets first, then the rules, over each view of a text."""

from __future__ import annotations

from collections.abc import Iterable

from holdgate.scan.findings import Finding


class Scanner:
    """Finds secrets and personal data. Thread-compatible, holds no text between calls."""

    def __init__(self, known_secrets: Iterable[bytes] = ()) -> None:
        raise NotImplementedError

    def scan(self, text: str | bytes) -> list[Finding]:
        """Findings in `text`, sorted by place. ScanError when it could not be scanned to its end."""
        raise NotImplementedError

    def scan_json(self, value: bytes) -> list[Finding]:
        """Findings in the values and keys of a JSON document, unescaped. Unscannable when it is not JSON."""
        raise NotImplementedError

    def has_secrets(self, *texts: str | bytes | None) -> bool:
        """Whether any of `texts` holds a secret of any category but personal data. Made for the submit path."""
        raise NotImplementedError
