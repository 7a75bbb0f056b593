"""The newest stamp that a kernel saw, and what it makes of its store by it.

What always holds: a stamp that does not verify, or is older than one seen, changes nothing but the last problem.
"""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from holdgate.bundles.stamp import Delivered, Stamp, StoreState, judge_store, verify_stamp
from holdgate.bundles.stampstore import StampStore
from holdgate.kernel.clock import rfc3339
from holdgate.kernel.errors import HoldgateError
from holdgate.kernel.permits import Keyring

log = structlog.get_logger("holdgate.bundles")


class StampWatch:
    """`read` before the bundles are read, `judge` after: what was published in between is then no difference."""

    def __init__(self, stamps: StampStore | None) -> None:
        self._stamps = stamps
        self._stamp: Stamp | None = None
        self._problem: str | None = None
        self.seen_ms = 0
        self.state = StoreState.UNSTAMPED

    async def read(self, api: Keyring, now_ms: int) -> None:
        """Look for a newer stamp. Never raises for what it finds: an old one says enough by its age."""
        if self._stamps is None:
            return
        try:
            data = await self._stamps.get()
            stamp = None if data is None else verify_stamp(data, api, now_ms)
        except HoldgateError as error:
            if self._problem != error.code:
                log.warning("no stamp of the bundle store", action="policy.stamp", code=error.code, error=str(error))
            self._problem = error.code
            return
        self._problem = None
        if stamp is not None and stamp.time_ms >= self.seen_ms:
            self._stamp, self.seen_ms = stamp, stamp.time_ms

    def judge(self, delivered: Mapping[str, Delivered], now_ms: int, *, is_whole: bool) -> StoreState:
        """What to make of a store that delivered this; see `stamp.judge_store`."""
        before = self.state
        self.state = judge_store(self._stamp, self.seen_ms, delivered, now_ms, is_whole=is_whole)
        if self.state is not before and self.state in (StoreState.FROZEN, StoreState.WITHHELD):
            log.warning("the bundle store is not as its stamp says", action="policy.stamp", state=str(self.state))
        return self.state

    def as_dict(self) -> dict[str, object]:
        """For status."""
        at = None if self.seen_ms == 0 else rfc3339(self.seen_ms)
        return {"state": str(self.state), "at": at, "problem": self._problem}
