"""Keys and sign-ins that are tried in vain: limited, counted, and told to the audit trail.

What always holds: a failure is answered otherwise once there were too many, and nothing else ever is. A key that holds,
and a sign-in that this browser began, are served whatever failed before: both are 256 random bits, so that nothing is
gained by guessing and nobody is shut out by somebody else's failures, at the same address or another. What is kept is
bounded, and so is what is written: however many fail, the audit trail gets an event in ten seconds, with their count.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import ipaddress
from collections import OrderedDict
from dataclasses import dataclass, field

from holdgate.kernel.clock import Clock
from holdgate.kernel.ids import SYSTEM, Entropy
from holdgate.scheduler.errors import StateUnavailable, TooManyAttempts
from holdgate.scheduler.identity.metrics import SIGN_INS
from holdgate.scheduler.state.audit import AuditTrail

BURST = 10
REFILL_MS = 6_000
"""An address may fail ten times at once, and then once in six seconds."""
TOTAL_BURST = 500
TOTAL_REFILL_MS = 100
ADDRESSES_MAX = 10_000
TOLD_EVERY_MS = 10_000


@dataclass(slots=True)
class Bucket:
    """A token bucket: `tokens` as of `at_ms`."""

    burst: int
    refill_ms: int
    tokens: float
    at_ms: int

    def take(self, now_ms: int) -> int:
        """0 when one was there and is taken; else in how many milliseconds there is one."""
        self._fill(now_ms)
        if self.tokens >= 1:
            self.tokens -= 1
            return 0
        return self._wait_ms()

    def _fill(self, now_ms: int) -> None:
        passed = max(0, now_ms - self.at_ms)
        self.tokens = min(self.burst, self.tokens + passed / self.refill_ms)
        self.at_ms = now_ms

    def _wait_ms(self) -> int:
        return max(1, int((1 - self.tokens) * self.refill_ms))


@dataclass(slots=True)
class _Told:
    """What of one kind is not in the audit trail yet."""

    count: int = 0
    at_ms: int | None = None


@dataclass(slots=True)
class Attempts:
    """The failures of this process."""

    audit: AuditTrail
    clock: Clock
    entropy: Entropy
    _by_address: OrderedDict[str, Bucket] = field(default_factory=OrderedDict)
    _total: Bucket = field(default_factory=lambda: Bucket(TOTAL_BURST, TOTAL_REFILL_MS, TOTAL_BURST, 0))
    _untold: dict[str, _Told] = field(default_factory=dict)
    _salt: bytes = b""

    async def failed(self, kind: str, address: str, reason: str = "") -> None:
        """Count a failure; TooManyAttempts when the address, or all together, failed too often."""
        now_ms, network = self.clock.now_ms(), network_of(address)
        wait_ms = max(self._bucket(network, now_ms).take(now_ms), self._total.take(now_ms))
        SIGN_INS.labels(kind, "limited" if wait_ms else "refused").inc()
        await self._tell(kind, network, reason, now_ms)
        if wait_ms:
            raise TooManyAttempts(retry_after_ms=wait_ms)

    def accepted(self, kind: str) -> None:
        """Count a success."""
        SIGN_INS.labels(kind, "accepted").inc()

    def _bucket(self, network: str, now_ms: int) -> Bucket:
        bucket = self._by_address.get(network)
        if bucket is None:
            while len(self._by_address) >= ADDRESSES_MAX:
                self._by_address.popitem(last=False)
            bucket = self._by_address[network] = Bucket(BURST, REFILL_MS, BURST, now_ms)
        self._by_address.move_to_end(network)
        return bucket

    async def _tell(self, kind: str, network: str, reason: str, now_ms: int) -> None:
        told = self._untold.setdefault(kind, _Told())
        told.count += 1
        if told.at_ms is not None and now_ms - told.at_ms < TOLD_EVERY_MS:
            return
        count, told.count, told.at_ms = told.count, 0, now_ms
        details = {"kind": kind, "count": count, "address": self._digest(network), "reason": reason or None}
        with contextlib.suppress(StateUnavailable):  # the caller is refused all the same
            await self.audit.append(SYSTEM, "signin.refused", details, now_ms)

    def _digest(self, network: str) -> str:
        """Tells addresses apart while this process runs, and names none."""
        if not self._salt:
            self._salt = self.entropy(32)
        return hmac.new(self._salt, network.encode(), hashlib.sha256).hexdigest()[:16]


def network_of(address: str) -> str:
    """What is one client: an IPv4 address, or the /64 of an IPv6 address, of which a client has as many as it likes."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
