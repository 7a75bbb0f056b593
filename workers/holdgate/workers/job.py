"""The job as a handler sees it: what was asked for, what the run is held to, and ways to report.

Only a job whose permit was verified becomes one of these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from holdgate.kernel import limits, tracing
from holdgate.kernel.records import NO_CONSTRAINTS, Constraints
from holdgate.workers.artifacts import ArtifactBox
from holdgate.workers.cancellation import Cancellation
from holdgate.workers.errors import SecretNotAsked
from holdgate.workers.secrets import Secret


def _ignore(_value: Any) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt of one job, under the permit `permit_id`.

    `payload` is the JSON value that was submitted (None when there was none); a handler that wants it typed takes it as
    its second argument. `constraints` are those of the permit: run time and output size are enforced by the worker,
    those named by `advisory` are for the handler to keep. `deadline_ms` (milliseconds since the epoch) is when the run
    is stopped.
    """

    job_id: str
    topic: str
    tenant: str
    payload: Any = None
    prompt: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    capability: str | None = None
    actor: str = ""
    principals: tuple[str, ...] = ()
    attempt: int = 1
    trace_id: str = ""
    permit_id: str = ""
    constraints: Constraints = NO_CONSTRAINTS
    deadline_ms: int | None = None
    cancelled: Cancellation = field(default_factory=Cancellation, compare=False)
    _on_progress: Callable[[float], None] = field(default=_ignore, repr=False, compare=False)
    _on_log: Callable[[str], None] = field(default=_ignore, repr=False, compare=False)
    _secrets: Mapping[str, Secret] = field(default_factory=dict, repr=False, compare=False)
    _artifacts: ArtifactBox = field(
        default_factory=lambda: ArtifactBox(limits.BODY_BYTES_DEFAULT), repr=False, compare=False
    )

    @property
    def traceparent(self) -> str:
        """W3C Trace Context of this run, for what the handler calls; empty where the job has no trace."""
        return tracing.run_of(self.trace_id, self.job_id, self.attempt).header() if self.trace_id else ""

    @property
    def advisory(self) -> tuple[str, ...]:
        """Names of the constraints that the handler itself must keep: `network`, `paths`, `env` where set."""
        return self.constraints.advisory()

    def progress(self, fraction: float) -> None:
        """Say how far the run is, from 0 to 1. Travels with the next heartbeat; a number, never a text."""
        if not 0.0 <= fraction <= 1.0:
            msg = f"progress is a fraction from 0 to 1, not {fraction}"
            raise ValueError(msg)
        self._on_progress(float(fraction))

    def log(self, message: object) -> None:
        """Add a line to the run's log, which is part of its output and goes through the output gate with it."""
        self._on_log(str(message))

    def secret(self, name: str) -> Secret:
        """A secret that the job names; SecretNotAsked for another. It does not print: `reveal()` gives its text."""
        found = self._secrets.get(name)
        if found is None:
            raise SecretNotAsked(
                f"the job does not ask for the secret `{name}`; it is submitted with `secrets: [{name}]`"
            )
        return found

    def artifact(
        self, name: str, data: bytes | bytearray | memoryview | str | Path, media_type: str | None = None
    ) -> None:
        """Leave a file beside the result: bytes, a text, or the content of a file at a path.

        It is output like any other and kept where the run succeeds. BadArtifact when its name is not 1 to 128 letters,
        digits and `._-`, or there are too many or too large ones.
        """
        self._artifacts.add(name, data, media_type)
