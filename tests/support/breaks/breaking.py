"""A true tale to be broken, and how its parts are changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from holdgate.scheduler.state.transitions import State
from support.tale import Tale, Told

Break = tuple[Callable[[Tale, Told, Told, Told], None], str]
"""What breaks a true tale and its three jobs, and the rule that finds it."""


def true_tale() -> tuple[Tale, Told, Told, Told]:
    """Jobs of two tenants that ran, were held and released, cancelled, read: the tale, one that ran, one that was
    released and ran, and one of the other tenant that was cancelled."""
    tale = Tale()
    ran, held = tale.submit(), tale.submit(who="agent2", state=State.HELD)
    foreign = tale.submit("other", "other-agent")
    tale.look(ran)
    tale.run(ran)
    tale.look(ran)
    tale.look(ran, op="result")
    tale.vote(held, "approver", releases=True)
    tale.start(held, verdict="require_approval")
    tale.end(held, State.QUARANTINED)
    call = tale.ask("other", "other-agent", "cancel", job_id=foreign.job_id)
    tale.move(foreign, State.ACCEPTED, State.CANCELLED)
    tale.answer(call, 200, job_id=foreign.job_id, state="cancelled")
    call = tale.ask("default", "operator", "get", job_id=foreign.job_id, foreign=True)
    tale.answer(call, 404, code="job_not_found", ids=[foreign.job_id])
    tale.submit(state=State.SCHEDULED)
    tale.submit(state=State.HELD)
    return tale, ran, held, foreign


def change(tale: Tale, op: str, **facts: str) -> None:
    """What was asked, otherwise."""
    at = next(i for i, event in enumerate(tale.history) if event.data.get("op") == op)
    tale.history[at] = replace(tale.history[at], data={**tale.history[at].data, **facts})


def forget(tale: Tale, kind: str, tenant: str = "default") -> None:
    """An event, with the numbers closed behind it."""
    kept = [event for event in tale.audit[tenant] if event["type"] != kind]
    tale.audit[tenant] = [{**event, "seq": seq} for seq, event in enumerate(kept, start=1)]
