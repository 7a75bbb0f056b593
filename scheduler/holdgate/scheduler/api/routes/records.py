"""Lists for those who run and check the system: audit events, workers, pools."""

from __future__ import annotations

from holdgate.kernel.ids import SYSTEM, Tenant
from holdgate.scheduler.api.calls import Call, Reply, reply_json
from holdgate.scheduler.api.paging import SEQ, page_of, page_reply
from holdgate.scheduler.api.problems import invalid
from holdgate.scheduler.api.shapes import event_row, pool_row, worker_row

OLDEST = "oldest"
ORDERS = (OLDEST, "newest")


async def list_events(call: Call) -> Reply:
    """`GET /audit/events`: in order of `seq`, or the newest first, what the auditor has not archived yet"""
    return await _events(call, call.principal.tenant)


async def list_system_events(call: Call) -> Reply:
    """`GET /audit/system`: the same of the system's own trail, such as what kernels made of policy"""
    return await _events(call, SYSTEM)


async def _events(call: Call, tenant: Tenant) -> Reply:
    page = page_of(call.query, SEQ)
    order = call.query.get("order", OLDEST)
    if order not in ORDERS:
        raise invalid("order", f"one of {', '.join(ORDERS)} is expected")
    after = None if page.after is None else int(page.after)
    if order == OLDEST:
        events = await call.deps.audit.read(tenant, after or 0, page.limit)
    else:
        events = await call.deps.audit.read_back(tenant, after, page.limit)
    full = len(events) == page.limit
    return reply_json(
        page_reply([event_row(event.as_dict()) for event in events], str(events[-1].seq) if full else None)
    )


async def list_workers(call: Call) -> Reply:
    """`GET /workers`"""
    found = await call.deps.workers.list_workers(call.deps.clock.now_ms())
    return reply_json(page_reply([worker_row(worker) for worker in found], None))


async def list_pools(call: Call) -> Reply:
    """`GET /pools`"""
    found = await call.deps.workers.list_pools(call.deps.clock.now_ms())
    return reply_json(page_reply([pool_row(pool) for pool in found], None))
