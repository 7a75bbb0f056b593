"""What is counted for the overview, by the minute: the names of the counters and what they add up to. Pure.

A minute of a tenant is a hash. Scripts count in the same write as the event; levels (how many wait, how many run) are
looked at now and then and kept as the highest of the minute.

    decision:<verdict>   submits decided          output:<verdict>   outputs judged
    started              hand-offs                ended:<state>      jobs that came to an end
    wait:<bucket>        approvals that ended by a release, a rejection or their expiry, by how long they were open
    wait_ms              the same, added up
    level:<name>         highest number in the minute

A minute of the whole system is another hash: `samples`, and of these `down`, `no_policy`, `disagreed`, `breaker`; and
`replicas`, those that answered last.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

WAIT_BUCKETS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 28800, 86400)
"""Upper bounds of the buckets of how long approvals were open; what was open longer is in `inf`."""
MINUTE_MS = 60_000
LEVELS = ("queued", "running", "held", "scheduled")


def lua_buckets() -> str:
    """The bounds as a Lua chunk, for the scripts."""
    return f"local WAIT_BUCKETS_S={{{','.join(map(str, WAIT_BUCKETS_S))}}}\n"


@dataclass(slots=True)
class Tally:
    """Counters of one step of time, of one or more minutes."""

    counts: dict[str, int] = field(default_factory=dict)

    def of(self, name: str) -> int:
        """The counter; 0 where nothing was counted."""
        return self.counts.get(name, 0)

    def quantile_s(self, share: float) -> float | None:
        """How long the given share of approvals was open at most, in seconds; None where none ended.

        In a bucket the waits are taken to be spread evenly; what was open longer than a day counts as a day.
        """
        return wait_quantile_s([self], share)


def wait_quantile_s(tallies: Iterable[Tally], share: float) -> float | None:
    """The same over several steps."""
    held = list(tallies)
    bounds = [*WAIT_BUCKETS_S, WAIT_BUCKETS_S[-1]]
    names = [*map(str, WAIT_BUCKETS_S), "inf"]
    found = [sum(tally.of(f"wait:{name}") for tally in held) for name in names]
    total = sum(found)
    if total == 0:
        return None
    wanted, below, lower = share * total, 0, 0
    for bound, number in zip(bounds, found, strict=True):
        if number and below + number >= wanted:
            return round(lower + (bound - lower) * max(0.0, wanted - below) / number, 3)
        below, lower = below + number, bound
    return float(bounds[-1])
