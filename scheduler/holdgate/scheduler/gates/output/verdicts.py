"""From a run's outcome and the verdict on its output to the change of state. Pure.

outcome              verdict allow | redact                       verdict quarantine
succeeded            succeeded                                    quarantined (sealed)
oversize             (its finding `oversize` is always quarantined) quarantined (sealed)
failed, refused      queued while attempts are left, else failed  the same, its texts withheld
timed_out            queued while attempts are left, else timed_out  the same
cancelled            cancelled where somebody asked for it, else as failed
"""

from __future__ import annotations

from dataclasses import replace

from holdgate.scan.output import FindingKind, Inspection, Output
from holdgate.scheduler.gates.output.message import ResultMessage, RunOutcome
from holdgate.scheduler.state.results import RunningFacts
from holdgate.scheduler.state.transitions import State

OVERSIZE: FindingKind = ("oversize", "oversize", "high")
WITHHELD = {"type": "Withheld", "message": "the error text is quarantined", "trace": ""}
LOG_CHARS_MAX = 64 * 1024
"""Log text kept with a result, from its end; scanned whole before it is cut."""


def kinds_to_decide(message: ResultMessage, facts: RunningFacts, inspection: Inspection) -> tuple[FindingKind, ...]:
    """What the policy is asked about: what was found, and that there is too much of it."""
    return (*inspection.kinds, OVERSIZE) if is_oversize(message, facts) else inspection.kinds


def is_oversize(message: ResultMessage, facts: RunningFacts) -> bool:
    """Whether the output is larger than the job's constraint allows, or the worker says that it was."""
    limit, output = facts.max_output_bytes, message.output
    files = sum(len(each.data) for each in output.artifacts)
    return message.outcome is RunOutcome.OVERSIZE or (limit is not None and len(output.value or b"") + files > limit)


def next_state(message: ResultMessage, facts: RunningFacts, *, quarantined: bool) -> State:
    """Where the job goes. From `finishing` an attempt is not tried again (design: job states)."""
    if message.outcome in (RunOutcome.SUCCEEDED, RunOutcome.OVERSIZE):
        return State.QUARANTINED if quarantined else State.SUCCEEDED
    if facts.state is State.FINISHING:
        return State.FAILED
    if facts.cancel_requested:
        return State.CANCELLED
    retryable = message.retryable or message.outcome is RunOutcome.CANCELLED
    if retryable and message.attempt < facts.attempts_max:
        return State.QUEUED
    return State.TIMED_OUT if message.outcome is RunOutcome.TIMED_OUT else State.FAILED


def withheld(output: Output) -> Output:
    """What may be read of a quarantined output: that there was an error, never its text."""
    return Output(error=None if output.error is None else WITHHELD)


def cut(output: Output) -> Output:
    """With no more log text than is kept; says so in its first line."""
    left = LOG_CHARS_MAX
    kept: list[str] = []
    for line in reversed(output.logs):
        left -= len(line) + 1
        if left < 0:
            break
        kept.append(line)
    if len(kept) == len(output.logs):
        return output
    note = f"[{len(output.logs) - len(kept)} earlier lines were not kept]"
    return replace(output, logs=(note, *reversed(kept)))
