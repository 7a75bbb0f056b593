"""Decisions about written-down jobs, offline: one job a line in, one decision a line out.

The same parser of the form and the same `evaluate` as at the gates; only the identity, which a gate takes from the API
key, is part of the line. What always holds: no line is skipped; one that is not a job gives an error line, and the
whole fails. Nothing is counted against a rate limit. No IO.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from holdgate.bundles.documents import load_rules_file
from holdgate.bundles.format import BundleFile
from holdgate.bundles.trusted import parse_bundle_rules
from holdgate.kernel import limits
from holdgate.kernel.canonical import digest_bytes, parse_json
from holdgate.kernel.errors import FormInvalid, InvalidInput
from holdgate.kernel.evaluate import evaluate
from holdgate.kernel.ids import ActorId, JobId, Tenant
from holdgate.kernel.jobform import Facts, Identity, parse_form, split_facts, texts_of
from holdgate.kernel.policy import Policy, compile_policy, snapshot_of
from holdgate.kernel.records import Decision, Job, Phase

TENANT = Tenant("default")
ACTOR = ActorId("simulated")
ACTOR_TYPE = "agent"
BARE_ROOT_VERSION = 0
"""Stands for the version of the trust root where rules are simulated without one."""


class Present(Protocol):
    """What a scan found in prompt and payload."""

    @property
    def secrets(self) -> bool:
        """A secret."""
        ...

    @property
    def pii(self) -> bool:
        """Personal data."""
        ...


Measure: TypeAlias = Callable[[bytes | None, str], Present]
"""Scans what a submitter writes: `jobform.texts_of`."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was said of a job that nothing scanned."""

    secrets: bool = False
    pii: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """What came of one line of facts: a decision, or why there is none. `number` counts from 1."""

    number: int
    job_id: str | None = None
    decision: Decision | None = None
    error: InvalidInput | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as the CLI prints them."""
        if self.decision is not None:
            return {"job_id": self.job_id, **self.decision.as_dict()}
        error = self.error or InvalidInput()
        shown: dict[str, Any] = {"line": self.number, "error": error.code, "detail": str(error)}
        if isinstance(error, FormInvalid):
            shown["errors"] = [{"field": field, "reason": why} for field, why in error.problems]
        return shown


def load_policy(files: Sequence[tuple[str, bytes]], bundles: Sequence[BundleFile] = ()) -> Policy:
    """The policy of bare rules files, given as `(name, bytes)`, each a bundle of its own, and of `bundles`.

    PolicyInvalid or BundleRefused. The snapshot is over the digests of the raw bytes, as a bundle's is. Signatures are
    not looked at.
    """
    digests = [*(digest_bytes(data) for _, data in files), *(file.digest for file in bundles)]
    rules = [*(load_rules_file(name, data, name) for name, data in files), *map(parse_bundle_rules, bundles)]
    return compile_policy(rules, snapshot=snapshot_of(digests, BARE_ROOT_VERSION))


def simulate(
    policy: Policy,
    facts: bytes,
    *,
    now_ms: int,
    measure: Measure,
    explain: bool = False,
) -> Iterator[Line]:
    """What `policy` decides about each line of `facts` (JSON lines), at `now_ms` where the line does not say when.

    `measure` says what a scan finds in all that a submitter writes, as the api does. A line is the form of
    `POST /jobs`, with `job_id`, `tenant`, `actor`, `actor_type`, `principals` and `now` if wanted, flat or with `meta`.
    """
    for number, line in enumerate(_lines(facts), start=1):
        try:
            job, at_ms = job_of_facts(_parse_line(line), number, now_ms, measure)
        except InvalidInput as error:
            yield Line(number, error=error)
            continue
        phase = Phase.EXPLAIN if explain else Phase.SIMULATE
        yield Line(number, job.job_id, evaluate(policy, job, now_ms=at_ms, phase=phase, trace=explain))


def _parse_line(line: bytes) -> dict[str, Any]:
    if len(line) > limits.BODY_BYTES_DEFAULT:
        raise InvalidInput(f"longer than {limits.BODY_BYTES_DEFAULT} bytes")
    value = parse_json(line)
    if not isinstance(value, dict):
        raise InvalidInput("an object is expected")
    return value


def _lines(facts: bytes) -> Iterable[bytes]:
    lines = facts.split(b"\n")
    if not lines[-1].strip():
        lines.pop()
    return lines


def job_of_facts(value: Mapping[str, Any], number: int, now_ms: int, measure: Measure) -> tuple[Job, int]:
    """The job of one line, and when it is decided about; InvalidInput. `number` names a job without an id."""
    facts = split_facts(value)
    at_ms = now_ms if facts.now_ms is None else facts.now_ms
    form = parse_form(facts.form, now_ms=at_ms)
    measured = measure(*texts_of(form))
    job = form.job(
        identity=_identity(facts),
        job_id=JobId(facts.job_id or f"line-{number}"),
        now_ms=at_ms,
        trace_id="",
        secrets_present=measured.secrets,
        pii_present=measured.pii,
    )
    return job, at_ms


def _identity(facts: Facts) -> Identity:
    return Identity(
        tenant=facts.tenant or TENANT,
        actor=facts.actor or ACTOR,
        actor_type=facts.actor_type or ACTOR_TYPE,
        principals=facts.principals or (),
    )
