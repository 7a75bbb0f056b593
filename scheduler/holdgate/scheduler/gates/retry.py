"""When a failed attempt is tried again: exponential backoff with full jitter.

Full jitter (a uniform draw from zero to the ceiling) spreads the retries of jobs that failed together over the whole
window (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015). Pure: chance is an argument.
"""

from __future__ import annotations

from holdgate.kernel.ids import Entropy

BASE_MS = 1_000
CEILING_MS = 5 * 60_000


def ceiling_ms(attempt: int, *, base_ms: int = BASE_MS, cap_ms: int = CEILING_MS) -> int:
    """The longest delay after `attempt` (1 is the first) failed."""
    doublings = min(max(attempt, 1) - 1, 40)  # beyond, the cap holds anyway and the number only grows
    return min(cap_ms, base_ms << doublings)


def delay_ms(attempt: int, entropy: Entropy, *, base_ms: int = BASE_MS, cap_ms: int = CEILING_MS) -> int:
    """Milliseconds until the attempt after `attempt`, uniform from 0 to `ceiling_ms(attempt)`."""
    span = ceiling_ms(attempt, base_ms=base_ms, cap_ms=cap_ms) + 1
    return int.from_bytes(entropy(8), "big") % span  # 2^64 against at most 2^19: the bias is below 2^-44
