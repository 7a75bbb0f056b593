"""Which API is asked, where there are several: the one that answered last, until it does not."""

from __future__ import annotations


class Addresses:
    """Base URLs in turn. Safe to share between threads: a turn that two of them ask for at once is taken once."""

    def __init__(self, urls: str) -> None:
        self._urls = tuple(url.strip().rstrip("/") for url in urls.split(","))
        self._now = 0

    @property
    def now(self) -> str:
        """The one to ask."""
        return self._urls[self._now]

    def leave(self, url: str) -> None:
        """Ask the next one from now on; nothing changes where another caller has left `url` already."""
        if url == self.now:
            self._now = (self._now + 1) % len(self._urls)
