"""How a command for people ends: one table, for the commands, their help and the page of the reference."""

from __future__ import annotations

from enum import IntEnum

from holdgate.client.errors import ApiError, Denied, JobNotSucceeded, OutputQuarantined, Throttled, Unavailable
from holdgate.client.errors import WaitTimeout as StillRunning
from holdgate.kernel.errors import InvalidInput, MalformedJson


class Exit(IntEnum):
    """Exit codes."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    DENIED = 3
    HELD = 4
    NOT_ENDED = 5
    UNAVAILABLE = 6
    FAILED = 7
    QUARANTINED = 8
    INTERRUPTED = 130


MEANINGS: dict[Exit, str] = {
    Exit.DONE: "done; a job that was submitted is accepted, one that was waited for has succeeded",
    Exit.REFUSED: "the API refused, somebody at the terminal said no, or output could not be written",
    Exit.USAGE: "the command line is wrong",
    Exit.DENIED: "the job is denied, by a rule or by a person",
    Exit.HELD: "the job is held: people must release it",
    Exit.NOT_ENDED: "the job has not ended in the time given, or has no result yet",
    Exit.UNAVAILABLE: "the API cannot be reached, a part of the system is away, or a limit is reached: try again",
    Exit.FAILED: "the job ended `failed`, `timed_out`, `cancelled` or `expired`",
    Exit.QUARANTINED: "the job's output is sealed",
    Exit.INTERRUPTED: "interrupted by Ctrl-C; a job goes on",
}
_STATES: dict[str, Exit] = {
    "succeeded": Exit.DONE,
    "denied": Exit.DENIED,
    "held": Exit.HELD,
    "quarantined": Exit.QUARANTINED,
    **dict.fromkeys(("failed", "timed_out", "cancelled", "expired"), Exit.FAILED),
}
_ERRORS: tuple[tuple[type[ApiError], Exit], ...] = (
    (Denied, Exit.DENIED),
    (OutputQuarantined, Exit.QUARANTINED),
    (Unavailable, Exit.UNAVAILABLE),
    (Throttled, Exit.UNAVAILABLE),
)
_CODES = {"result_not_ready": Exit.NOT_ENDED}


def exit_of_state(state: str) -> Exit:
    """How a command ends that waited for a job, or looked at one, in `state`."""
    return _STATES.get(state, Exit.NOT_ENDED)


def exit_of_verdict(verdict: str) -> Exit:
    """How a dry run ends."""
    return {"deny": Exit.DENIED, "require_approval": Exit.HELD}.get(verdict, Exit.DONE)


def exit_of_error(error: Exception) -> Exit:
    """How a command ends that met `error`."""
    if isinstance(error, StillRunning | JobNotSucceeded):
        return exit_of_state(error.job.state)
    if isinstance(error, ApiError):
        if error.code in _CODES:
            return _CODES[error.code]
        return next((code for kind, code in _ERRORS if isinstance(error, kind)), Exit.REFUSED)
    return Exit.USAGE if isinstance(error, InvalidInput | MalformedJson) else Exit.REFUSED


def help_text() -> str:
    """The table, for the end of `--help`."""
    return "Exit codes: " + "; ".join(f"{code.value} {meaning}" for code, meaning in MEANINGS.items()) + "."
