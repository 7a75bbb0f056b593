"""Which API is asked, where there are several: the one that answered last, until it does not.

What always holds: the caller's key crosses no network in clear, unless `plaintext` allows that for all of them.
"""

from __future__ import annotations

from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.tls import Plaintext, is_secure, verify_private


class Addresses:
    """Base URLs in turn. Safe to share between threads: a turn that two of them ask for at once is taken once."""

    def __init__(self, urls: str, plaintext: Plaintext = "loopback") -> None:
        """InvalidInput where whoever holds up one address would have the key sent to another one in clear."""
        self._urls = tuple(url.strip().rstrip("/") for url in urls.split(","))
        if len(set(map(is_secure, self._urls))) > 1:
            raise InvalidInput("some addresses of the API are `https://` and some are not: give all of one kind")
        verify_private(self._urls, plaintext)
        self._now = 0

    @property
    def now(self) -> str:
        """The one to ask."""
        return self._urls[self._now]

    def leave(self, url: str) -> None:
        """Ask the next one from now on; nothing changes where another caller has left `url` already."""
        if url == self.now:
            self._now = (self._now + 1) % len(self._urls)
