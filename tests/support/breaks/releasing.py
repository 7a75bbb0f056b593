"""Approvals that released twice, nothing that was shown, or one's own job."""

from __future__ import annotations

from dataclasses import replace

from holdgate.scheduler.state.transitions import State
from support.breaks.breaking import Break, change
from support.tale import HASH, SNAPSHOT, Tale, Told


def run_what_only_one_released(tale: Tale, _ran: Told, held: Told, _foreign: Told) -> None:
    tale.runs = [
        replace(run, topic="job.torture.held-for-two") if run.job_id == held.job_id else run for run in tale.runs
    ]


def release_twice(tale: Tale, _ran: Told, held: Told, _foreign: Told) -> None:
    events = tale.audit["default"]
    at = next(i for i, event in enumerate(events) if event["type"] == "approval.released")
    events.insert(at + 1, dict(events[at]))
    tale.audit["default"] = [{**event, "seq": seq} for seq, event in enumerate(events, start=1)]


def tell_two_that_they_released_it(tale: Tale, _ran: Told, held: Told, _foreign: Told) -> None:
    vote = next(event for event in tale.history if event.data.get("status") == "released")
    asked = next(event for event in tale.history if event.data["call"] == vote.data["call"])
    call = tale.ask("default", "approver", "vote", **{k: asked.data[k] for k in ("job_id", "job_hash", "snapshot")})
    tale.answer(call, 200, **{k: v for k, v in vote.data.items() if k not in ("call", "http")})


def use_an_approval_twice(tale: Tale, _ran: Told, held: Told, _foreign: Told) -> None:
    tale.event(held, "approval.consumed", State.QUEUED, State.RUNNING, permit_id="permit_2")


def start_unreleased(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    tale.audit["default"] = [event for event in tale.audit["default"] if event["type"] != "approval.consumed"]


def release_ones_own(tale: Tale, _ran: Told, held: Told, _foreign: Told) -> None:
    for event in tale.audit["default"]:
        if event["type"] == "approval.vote":
            event["approver"] = "AGENT2"


def vote_on_something_else(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    change(tale, "vote", job_hash=HASH.replace("1", "3"))


def vote_under_another_policy(tale: Tale, _ran: Told, _held: Told, _foreign: Told) -> None:
    change(tale, "vote", snapshot=SNAPSHOT.replace("2", "3"))


BROKEN: tuple[Break, ...] = (
    (run_what_only_one_released, "ran_unreleased"),
    (release_twice, "released_twice"),
    (tell_two_that_they_released_it, "released_twice"),
    (use_an_approval_twice, "consumed_twice"),
    (start_unreleased, "ran_unreleased"),
    (release_ones_own, "self_approval"),
    (vote_on_something_else, "approved_other"),
    (vote_under_another_policy, "approved_other"),
)
