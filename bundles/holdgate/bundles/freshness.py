"""How long a bundle or the root still holds, by the clock of whoever asks. No IO.

What always holds: this warns and decides nothing; what has ended is dropped by `TrustedSet.without_ended`, and until
then denied by `ActivePolicy.expires_ms`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum

from holdgate.kernel.trust import BundleInfo

SOON_MS_MAX = 14 * 86_400_000
"""A bundle expires soon in its last two weeks, or in the last tenth of a life shorter than twenty weeks."""
SOON_PART = 10


class Freshness(StrEnum):
    """The ages of a bundle, in their order."""

    FRESH = "fresh"
    EXPIRES_SOON = "expires_soon"
    GRACE = "grace"
    EXPIRED = "expired"


def freshness_of(info: BundleInfo, now_ms: int) -> Freshness:
    """The age of one bundle. The life of one that does not say from when it is valid counts as a long one."""
    if now_ms >= info.ends_ms:
        return Freshness.EXPIRED
    if now_ms >= info.expires_ms:
        return Freshness.GRACE
    life_ms = info.expires_ms - info.valid_from_ms
    is_soon = now_ms >= info.expires_ms - min(SOON_MS_MAX, life_ms // SOON_PART)
    return Freshness.EXPIRES_SOON if is_soon else Freshness.FRESH


def root_freshness(expires_ms: int, now_ms: int) -> Freshness:
    """The age of a root, which has no grace and does not say since when it is valid."""
    if now_ms >= expires_ms:
        return Freshness.EXPIRED
    return Freshness.EXPIRES_SOON if now_ms >= expires_ms - SOON_MS_MAX else Freshness.FRESH


def count_by_freshness(infos: Iterable[BundleInfo], root_expires_ms: int, now_ms: int) -> Mapping[Freshness, int]:
    """How many of these bundles, and of their root, are of each age."""
    ages = Counter(freshness_of(info, now_ms) for info in infos)
    ages[root_freshness(root_expires_ms, now_ms)] += 1
    return {age: ages[age] for age in Freshness}
