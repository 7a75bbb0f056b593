"""The states of a job and the one table of what may follow what. Scripts check against a copy generated from it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from holdgate.scheduler.errors import WrongState


class State(StrEnum):
    """Where a job is."""

    DENIED = "denied"
    ACCEPTED = "accepted"
    HELD = "held"
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    FINISHING = "finishing"
    SUCCEEDED = "succeeded"
    QUARANTINED = "quarantined"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


INITIAL = frozenset({State.DENIED, State.ACCEPTED, State.HELD, State.SCHEDULED})
"""How a job may enter."""

TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.DENIED: frozenset(),
    State.ACCEPTED: frozenset({State.QUEUED, State.SCHEDULED, State.CANCELLED, State.EXPIRED}),
    State.HELD: frozenset(
        {State.QUEUED, State.DENIED, State.CANCELLED, State.EXPIRED, State.FAILED}  # its payload was lost
    ),
    State.SCHEDULED: frozenset({State.QUEUED, State.CANCELLED, State.EXPIRED}),
    State.QUEUED: frozenset(
        {State.RUNNING, State.HELD, State.DENIED, State.CANCELLED, State.EXPIRED, State.FAILED}  # its payload was lost
    ),
    State.RUNNING: frozenset({State.FINISHING, State.QUEUED, State.FAILED, State.CANCELLED, State.TIMED_OUT}),
    State.FINISHING: frozenset({State.SUCCEEDED, State.QUARANTINED, State.FAILED}),
    State.SUCCEEDED: frozenset(),
    State.QUARANTINED: frozenset({State.SUCCEEDED}),
    State.FAILED: frozenset({State.QUEUED}),
    State.TIMED_OUT: frozenset({State.QUEUED}),
    State.CANCELLED: frozenset(),
    State.EXPIRED: frozenset(),
}

TERMINAL = frozenset(
    {
        State.DENIED,
        State.SUCCEEDED,
        State.QUARANTINED,
        State.FAILED,
        State.TIMED_OUT,
        State.CANCELLED,
        State.EXPIRED,
    }
)
"""Where a job stays unless a person acts on it."""
DEAD = frozenset({State.FAILED, State.TIMED_OUT})
"""The dead-letter list."""
WAITING = frozenset({State.ACCEPTED, State.HELD, State.SCHEDULED, State.QUEUED})
"""Not handed to a worker: cancelled at once, counted against the tenant's queue limit."""


def verify_transition(before: State, after: State) -> None:
    """WrongState unless the table allows `before` → `after`."""
    if after not in TRANSITIONS[before]:
        raise WrongState(f"a job cannot go from `{before}` to `{after}`", state=str(before))


def lua_table() -> str:
    """The table as a Lua chunk that defines `ALLOWED["from>to"]`, an entry written `>state`, and `ENDED[state]`."""
    rows = [f'[">{state}"]=true' for state in State if state in INITIAL]
    rows += [f'["{before}>{after}"]=true' for before in State for after in State if after in TRANSITIONS[before]]
    ended = [f"{state}=true" for state in State if state in TERMINAL]
    return f"local ALLOWED={{{','.join(rows)}}}\nlocal ENDED={{{','.join(ended)}}}\n"


def mermaid() -> str:
    """The state diagram for the docs, as Mermaid text."""
    lines = ["stateDiagram-v2"]
    lines += [f"    [*] --> {state}" for state in State if state in INITIAL]
    lines += [f"    {before} --> {after}" for before in State for after in State if after in TRANSITIONS[before]]
    lines += [f"    {state} --> [*]" for state in State if state in TERMINAL]
    return "\n".join(lines) + "\n"
