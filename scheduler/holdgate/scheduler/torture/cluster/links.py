"""What lies between two members: a connection that can be cut, delayed, or made to lose what it carries."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Tell = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]

UNFELT_MS = 0.001


@dataclass(frozen=True, slots=True)
class Link:
    """All connections between `ends`, whoever opened them. Each call lasts until `heal`."""

    ends: frozenset[str]
    tell: Tell

    async def cut(self, *, silently: bool = False) -> None:
        """Nothing passes any more. Silently: connections stay open and swallow what is sent."""
        await self._set({"cut": "silent" if silently else "reset"})

    async def delay(self, delay_ms: float, jitter_ms: float = 0.0) -> None:
        """Everything arrives that much later."""
        await self._set({"delay_ms": delay_ms, "jitter_ms": jitter_ms})

    async def lose(self, rate: float) -> None:
        """This part of what is sent gets lost: as TCP does, it comes late, or the connection breaks off in it."""
        await self._set({"loss": rate})

    async def is_used(self) -> bool:
        """Whether any connection is open now."""
        await self.delay(UNFELT_MS)
        return await self.heal() > 0

    async def heal(self) -> int:
        """As it was; how many connections met what was before."""
        return await self._set({})

    async def _set(self, weather: Mapping[str, Any]) -> int:
        answer = await self.tell({"ends": sorted(self.ends), "weather": dict(weather)})
        return int(answer.get("met", 0))


@dataclass
class Links(Mapping[tuple[str, str], Link]):
    """Every pair of which at least one is a server or an API; both orders are the same link."""

    tell: Tell
    pairs: tuple[tuple[str, str], ...] = ()
    _known: frozenset[frozenset[str]] = field(init=False)

    def __post_init__(self) -> None:
        self._known = frozenset(frozenset(pair) for pair in self.pairs)

    def __getitem__(self, pair: tuple[str, str]) -> Link:
        ends = frozenset(pair)
        if ends not in self._known:
            raise KeyError(pair)
        return Link(ends, self.tell)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)
