"""The decision cache of the submit gate.

What always holds: it never gives out a decision older than `limits.DECISION_CACHE_TTL_S`, never one of another snapshot
than the one in force, never one that depended on time, rates or budgets (the kernel says which: `cacheable`), and
never one made for a job that the loaded rules could tell from this one. A reply that comes late, from before a change
of the snapshot, is not stored under the new one. Staleness can at worst accept a job into the queue: dispatch never
looks here.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace

from cachetools import TTLCache

from holdgate.kernel import limits, metrics
from holdgate.kernel.clock import Clock
from holdgate.kernel.ids import Digest
from holdgate.kernel.records import JOB_FIELDS, Decision, Job


@dataclass(frozen=True, slots=True)
class Reads:
    """What is in force: the snapshot, and the fields of a job that its rules look at."""

    snapshot: Digest
    fields: frozenset[str]


class DecisionCache:
    """For one event loop. `use` says what is in force; before that nothing is found and nothing is stored."""

    def __init__(
        self,
        clock: Clock,
        *,
        entries_max: int = limits.DECISION_CACHE_ENTRIES,
        ttl_s: float = limits.DECISION_CACHE_TTL_S,
    ) -> None:
        self._clock = clock
        self._entries: TTLCache[Hashable, tuple[Decision, int]] = TTLCache(
            entries_max, ttl_s * 1000, timer=lambda: float(clock.now_ms())
        )
        self._reads: Reads | None = None

    def __len__(self) -> int:
        return len(self._entries)

    def use(self, snapshot: Digest, fields: Iterable[str]) -> bool:
        """What is in force from now on; True (and everything dropped) when that is another than before."""
        reads = Reads(snapshot, frozenset(fields))
        if reads == self._reads:
            return False
        self._reads = reads
        self._entries.clear()
        metrics.CACHE_ENTRIES.set(0)
        return True

    def get(self, job: Job) -> Decision | None:
        """The decision about a job like `job`, made out to `job`; None when there is none."""
        key = None if self._reads is None else job_key(self._reads.fields, job)
        try:
            decision, stored_ms = self._entries[key]
        except KeyError:  # also for None, which is never a key
            _MISS.inc()
            return None
        _HIT.inc()
        metrics.CACHE_AGE.observe(max(self._clock.now_ms() - stored_ms, 0) / 1000)
        return replace(decision, job_hash=job.job_hash())

    def put(self, job: Job, decision: Decision) -> None:
        """Keep `decision`, if it may be kept and was made under the snapshot in force."""
        if not decision.cacheable or self._reads is None or decision.snapshot != self._reads.snapshot:
            return
        if (key := job_key(self._reads.fields, job)) is not None:
            self._entries[key] = (decision, self._clock.now_ms())
            metrics.CACHE_ENTRIES.set(len(self._entries))


_HIT, _MISS = metrics.CACHE.labels("hit"), metrics.CACHE.labels("miss")
_DERIVED = {"payload": "payload_digest"}
"""Compared by digest: equal digests are equal payloads, and the payload may lie in the object store."""
_NEVER_EQUAL = frozenset({"job_id", "created_ms", "trace_id"})
_LABEL = "labels."


def job_key(fields: frozenset[str], job: Job) -> Hashable | None:
    """Equal for two jobs only if rules that read `fields` see the same in both; None: do not cache.

    A field is named as in the job's record, or is one label: `labels.env`.
    """
    key: list[Hashable] = []
    for name in sorted(fields):
        if name.startswith(_LABEL):
            key.append(job.labels.get(name.removeprefix(_LABEL)))
            continue
        source = _DERIVED.get(name, name)
        if source in _NEVER_EQUAL or source not in JOB_FIELDS:
            return None
        value = getattr(job, source)
        key.append(tuple(sorted(value.items())) if isinstance(value, Mapping) else value)
    return tuple(key)
