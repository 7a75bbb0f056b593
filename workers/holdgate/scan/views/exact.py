"""What is matched exactly: the shape of known secrets and of stores of digests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from holdgate.scan.engine import Hit


class Exact(Protocol):
    """Secrets that are known. Does not print them."""

    def hits(self, data: bytes) -> Iterator[Hit]:
        """Each occurrence in `data`."""

    def plain(self) -> Iterable[bytes]:
        """What each of them is, or begins with, as it is written plainly."""
