"""How the kernel writes what becomes of a request: errors, counts, spans.

What always holds: what goes wrong with one item is its own "no"; no text of an error quotes a job.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog

from holdgate.kernel import calls, metrics, tracing
from holdgate.kernel.custody import PermitReply
from holdgate.kernel.errors import HoldgateError, InvalidInput
from holdgate.kernel.records import Decision, Job, Phase

log = structlog.get_logger("holdgate.kernel")

LIVE = frozenset({Phase.SUBMIT, Phase.DISPATCH})
"""Phases in which something comes of a decision."""


class ItemRefused(InvalidInput):
    """one item of a request is not answered"""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def guarded(answer: Callable[[bytes], dict[str, Any]], data: bytes, what: str = "item") -> dict[str, Any]:
    """The answer for one item, or `what` else; whatever goes wrong with it is its own "no" and not that of others."""
    try:
        return answer(data)
    except HoldgateError as error:
        metrics.KERNEL_ERRORS.labels(error.code).inc()
        return error_reply(error.code, str(error))
    except Exception as error:  # noqa: BLE001  a gate: what nobody thought of is a "no"
        metrics.KERNEL_ERRORS.labels(calls.INTERNAL).inc()
        log.error("an answer failed", action="kernel.answer", what=what, error=where(error))  # noqa: TRY400  see `where`
        return error_reply(calls.INTERNAL, f"the kernel failed on this {what}")


def trace_decision(name: str, job: Job, decision: Decision, started_ns: int, refusal: str | None = None) -> None:
    """A span of what the kernel said of `job`."""
    if not started_ns or decision.phase not in LIVE:
        return
    told = {"holdgate.job_id": job.job_id, "holdgate.phase": str(decision.phase)}
    told |= {"holdgate.tenant": job.tenant, "holdgate.verdict": str(decision.verdict)}
    above = tracing.root_of(job.trace_id, job.job_id)
    tracing.record(name, above, started_ns, kind=tracing.Kind.SERVER, attributes=told, code=refusal)


def where(error: BaseException) -> str:
    """What went wrong and where. Not the message and not a traceback: both could quote a job."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "" if trace is None else f" at {trace.tb_frame.f_code.co_name}:{trace.tb_lineno}"
    return f"{type(error).__name__}{place}"


def result_of(reply: PermitReply) -> str:
    """How a permit that was asked for is counted."""
    if reply.refusal is None:
        return "signed"
    if reply.refusal in ("denied", calls.NO_POLICY):
        return "denied"
    return "forged" if reply.refusal.startswith("forged_") else "refused"


def error_reply(code: str, message: str) -> dict[str, Any]:
    """An error in the form of an answer."""
    return {"error": code, "message": message}
