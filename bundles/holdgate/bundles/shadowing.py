"""Finds the candidates that a kernel is to shadow, in a store of their own, and keeps them apart from what is in force.

What always holds: a candidate is verified as a bundle that is published is (`TrustedSet.accept`, on top of the set in
force), and the outcome goes to the comparison and nowhere else: not into the set in force, not onto the shelf, not into
the versions seen. When the set in force changes every candidate is verified anew; one that is in force by then, has
expired or does not hold is compared with nothing, and status says why.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from holdgate.bundles.errors import BundleRefused
from holdgate.bundles.shadow import Candidate, LiveComparison, ShadowLimits
from holdgate.bundles.store import BundleStore, end_hints
from holdgate.bundles.trusted import TrustedSet
from holdgate.kernel.clock import Clock
from holdgate.kernel.errors import HoldgateError
from holdgate.kernel.ids import Digest
from holdgate.kernel.records import Decision, Job
from holdgate.kernel.tasks import TaskSet

log = structlog.get_logger("holdgate.bundles")

LOOK_S = 5.0
AGAIN_S = 60
"""After so long a candidate that was refused is verified again: its time may have come, and clocks are set right."""
TOO_SLOW = "it takes too long for a decision, and would as well if it were published; use fewer or simpler conditions"
SHADOWS_AT_ONCE = 8
"""Candidates compared with at a time: each costs an evaluation of every decision."""
SHADOWS_PER_AUTHOR = 2
"""Of those that one key signed, so that nobody takes all places."""


class SetInForce(Protocol):
    """Where the set in force is to be had."""

    @property
    def trusted(self) -> TrustedSet | None:
        """The set; None before the first."""
        ...

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call `callback` after every change of it."""
        ...


@dataclass(frozen=True, slots=True)
class Judged:
    """A candidate as it lies in the store and what was made of it: to be compared with, or the code of why not."""

    name: str
    data: bytes
    base: TrustedSet
    at_ms: int
    candidate: Candidate | None = None
    code: str = ""
    message: str = ""

    def holds_for(self, data: bytes, base: TrustedSet, now_ms: int) -> bool:
        """Whether there is no reason to look at it again."""
        if self.data != data or self.base is not base:
            return False
        return now_ms - self.at_ms < AGAIN_S * 1000 if self.candidate is None else now_ms < self.candidate.expires_ms


class BundleShadow:
    """The kernel's shadow (`kernel.shadow.Shadow`), of the candidates in `store` (`store.shadow_store`)."""

    def __init__(
        self, store: BundleStore, source: SetInForce, clock: Clock, *, limits: ShadowLimits | None = None
    ) -> None:
        self._store = store
        self._source = source
        self._clock = clock
        self._comparison = LiveComparison(limits)
        self._judged: dict[str, Judged] = {}
        self._hint = asyncio.Event()
        self._looking = asyncio.Lock()
        self._tasks = TaskSet(self._failed)
        self._subscription: Subscription | None = None
        self._is_listening = False

    async def start(self) -> None:
        """Look for candidates, and go on looking and comparing; idempotent."""
        if len(self._tasks):
            return
        if not self._is_listening:
            self._source.on_change(self._hint.set)
            self._is_listening = True
        self._tasks.start(self._look_always(), "shadow-look")
        self._tasks.start(self._comparison.run(), "shadow-compare")

    async def stop(self) -> None:
        """Compare no more; idempotent."""
        subscription, self._subscription = self._subscription, None
        await self._tasks.close()
        if subscription is not None:
            await end_hints(subscription)

    @property
    def waiting(self) -> int:
        """How many decisions wait to be compared."""
        return self._comparison.waiting

    def offer(self, job: Job, decision: Decision) -> None:
        """Take note of a live decision."""
        self._comparison.offer(job, decision)

    def status(self) -> list[dict[str, object]]:
        """Every candidate: what was found, or why it is not compared with."""
        return [self._shown(judged) for _, judged in sorted(self._judged.items())]

    async def refresh(self) -> None:
        """Look at the store now. Where it does not answer, what is compared stays."""
        async with self._looking:
            base = self._source.trusted
            if base is None:
                return
            try:
                found = await self._found()
            except HoldgateError as error:
                log.debug("the bundle store is away", action="shadow.store", error=str(error))
                found = {name: judged.data for name, judged in self._judged.items()}
            judged = {name: await self._judge(name, data, base) for name, data in found.items()}
            self._use(base, judged)

    async def _found(self) -> dict[str, bytes]:
        stored = [(name, await self._store.get(name)) for name in await self._store.names()]
        return {name: bundle.data for name, bundle in stored if bundle is not None}

    async def _judge(self, name: str, data: bytes, base: TrustedSet) -> Judged:
        known, now_ms = self._judged.get(name), self._clock.now_ms()
        if known is not None and known.holds_for(data, base, now_ms):
            return known
        judged = await asyncio.to_thread(judge, name, data, base, now_ms)
        if judged.candidate is None and (known is None or known.code != judged.code):
            log.warning("a candidate is not shadowed", action="shadow.refused", bundle=name, code=judged.code)
        return judged

    def _use(self, base: TrustedSet, judged: dict[str, Judged]) -> None:
        if self._source.trusted is not base:
            return  # it changed meanwhile: the hint that says so leads here again
        self._judged = dict(_at_most(judged.values()))
        candidates = {name: item.candidate for name, item in self._judged.items() if item.candidate is not None}
        snapshot: Digest | None = None if base.policy is None else base.policy.snapshot
        self._comparison.use(snapshot, candidates)

    def _shown(self, judged: Judged) -> dict[str, object]:
        if judged.candidate is None:
            return {"name": judged.name, "state": "refused", "code": judged.code, "message": judged.message}
        found = self._comparison.status(judged.name)
        if self._comparison.is_too_slow(judged.name):
            return {"state": "refused", "code": "slow", "message": TOO_SLOW, **found}
        return {"state": "shadowed", **found}

    async def _look_always(self) -> None:
        while True:
            self._hint.clear()
            if self._subscription is None:
                try:
                    self._subscription = await self._store.on_write(self._hint.set)
                except NatsError as error:
                    log.warning("no hints from the bundle store", action="shadow.store", error=type(error).__name__)
            try:
                await self.refresh()
            except Exception as error:  # noqa: BLE001  a kernel goes on looking, whatever a candidate is
                log.error("looking for candidates failed", action="shadow.look", error=type(error).__name__)  # noqa: TRY400  its text may quote a bundle
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._hint.wait()
            except TimeoutError:
                log.debug("looking without a hint", action="shadow.look")

    def _failed(self, name: str, error: BaseException) -> None:
        log.error("a task of the shadow ended", action="shadow.task", task=name, error=type(error).__name__)


def judge(name: str, data: bytes, base: TrustedSet, now_ms: int) -> Judged:
    """What to make of the file `data`, stored as the candidate `name`, on top of the set `base`. Pure."""
    try:
        after = base.accept(data, now_ms)
        changed = [key for key, bundle in after.bundles.items() if base.bundles.get(key) is not bundle]
        if changed != [name]:
            raise BundleRefused(f"stored as `{name}`, named otherwise", code="bundle_name")
    except HoldgateError as error:
        return Judged(name, data, base, now_ms, code=error.code, message=str(error)[:1000])
    bundle, held = after.bundles[name], base.bundles.get(name)
    if after.policy is None or (held is not None and held.digest == bundle.digest):
        return Judged(name, data, base, now_ms, code="published", message="this very version is in force")
    manifest = bundle.file.manifest
    candidate = Candidate(name, manifest.version, bundle.digest, bundle.signers, after.policy, manifest.expires_ms)
    return Judged(name, data, base, now_ms, candidate)


def _at_most(judged: Iterable[Judged]) -> Iterable[tuple[str, Judged]]:
    """Only so many candidates in all and of each author, by name; the others say why not."""
    taken: Counter[str] = Counter()
    places = SHADOWS_AT_ONCE
    for item in sorted(judged, key=lambda item: item.name):
        signers = () if item.candidate is None else item.candidate.signers
        why = why_no_place(signers, taken, places) if item.candidate is not None else None
        if why is not None:
            yield item.name, Judged(item.name, item.data, item.base, item.at_ms, code="too_many", message=why)
            continue
        if item.candidate is not None:
            taken.update(signers)
            places -= 1
        yield item.name, item


def why_no_place(signers: Iterable[str], taken: Mapping[str, int], places: int) -> str | None:
    """Why a candidate of these signers is not shadowed beside those of others; None where it is.

    `taken` are the places that each key has, `places` those that nobody has.
    """
    if places <= 0:
        return f"{SHADOWS_AT_ONCE} candidates are shadowed already; stop one of them"
    if any(taken.get(signer, 0) >= SHADOWS_PER_AUTHOR for signer in signers):
        return f"{SHADOWS_PER_AUTHOR} candidates of one author are shadowed already; stop one of them"
    return None
