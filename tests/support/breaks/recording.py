"""An audit log with a gap, with another event, or without one."""

from __future__ import annotations

from dataclasses import replace

from holdgate.scheduler.state.transitions import State
from support.breaks.breaking import Break, forget
from support.tale import Tale, Told


def leave_a_gap(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    del tale.audit["default"][1]


def rewrite_an_event(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    evidence = tale.evidence()
    event = evidence.dumps["default"].events[0]
    evidence.dumps["default"].events[0] = replace(event, time_ms=event.time_ms + 1)
    tale.evidence = lambda: evidence  # type: ignore[method-assign]


def break_the_archive(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    tale.findings.append("00000000000000000001.jsonl: edited: the events are not those that were sealed")


def forget_a_vote(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    forget(tale, "approval.vote")


def forget_a_cancel(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    forget(tale, "job.cancelled", "other")


def forget_a_denial(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    call = tale.ask("default", "agent", "submit", key="denied")
    tale.answer(call, 403, code="denied", job_id="job_01a2005c-ddf7-7ebc-88d0-3dfe87e43348")


def bring_back_what_was_not_lost(tale: Tale, _ran: Told, held: Told, _foreign: Told) -> None:
    tale.event(held, "job.restored", State.QUARANTINED, State.QUARANTINED)


def skip_numbers(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    """And say so: a gap that nothing explains is one, whoever declares it."""
    last = len(tale.audit["default"])
    told = {"tenant": "default", "type": "audit.resumed", "after": last + 5}
    tale.audit["default"].append({"seq": last + 6, "time_ms": tale.tick(), **told})


BROKEN: tuple[Break, ...] = (
    (leave_a_gap, "audit_gap"),
    (rewrite_an_event, "audit_rewritten"),
    (break_the_archive, "audit_broken"),
    (forget_a_vote, "vote_unrecorded"),
    (forget_a_cancel, "decision_unrecorded"),
    (forget_a_denial, "decision_unrecorded"),
    (bring_back_what_was_not_lost, "loss_undeclared"),
    (skip_numbers, "loss_undeclared"),
)
