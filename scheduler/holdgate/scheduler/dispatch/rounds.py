"""Work on what tenants have much of, a batch of each in turn: nobody who has more keeps the others waiting."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from holdgate.kernel.ids import Tenant


async def in_rounds(
    tenants: Sequence[Tenant], batch: Callable[[Tenant], Awaitable[int]], *, size: int, rounds_max: int
) -> int:
    """The sum of what `batch` did; who had fewer than `size` of it is done, the others come again."""
    left, total = list(tenants), 0
    for _ in range(rounds_max):
        done = [(tenant, await batch(tenant)) for tenant in left]
        total += sum(count for _, count in done)
        left = [tenant for tenant, count in done if count >= size]
        if not left:
            break
    return total
