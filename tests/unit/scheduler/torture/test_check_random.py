"""However a torture goes, as long as it goes as it should: nothing is found."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from holdgate.scheduler.state.transitions import State
from holdgate.scheduler.torture.check import check
from support.tale import TENANTS, Tale, Told

Life = Callable[[Tale, Told], None]


def _retried(tale: Tale, job: Told) -> None:
    tale.move(job, State.ACCEPTED, State.QUEUED)
    tale.start(job)
    tale.look(job)
    tale.move(job, State.RUNNING, State.QUEUED)
    tale.look(job)
    tale.start(job)
    tale.end(job)


def _dead_and_retried(tale: Tale, job: Told) -> None:
    tale.move(job, State.ACCEPTED, State.QUEUED)
    tale.start(job)
    tale.move(job, State.RUNNING, State.FAILED)
    tale.look(job)
    tale.look(job, op="result")
    tale.move(job, State.FAILED, State.QUEUED)
    tale.start(job)
    tale.end(job)


def _cancelled(tale: Tale, job: Told) -> None:
    call = tale.ask(job.tenant, job.owner, "cancel", job_id=job.job_id)
    tale.move(job, State.ACCEPTED, State.CANCELLED)
    tale.answer(call, 200, job_id=job.job_id, state="cancelled")


def _released_from_quarantine(tale: Tale, job: Told) -> None:
    tale.run(job, State.QUARANTINED)
    tale.look(job)
    tale.move(job, State.QUARANTINED, State.SUCCEEDED)
    tale.look(job, op="result")


LIVES: tuple[Life, ...] = (
    lambda tale, job: tale.run(job),
    lambda tale, job: tale.run(job, State.FAILED),
    lambda tale, job: tale.run(job, State.QUARANTINED),
    _retried,
    _dead_and_retried,
    _cancelled,
    _released_from_quarantine,
)


def _held(tale: Tale, tenant: str, *, asked_again: bool, released: bool) -> None:
    prefix = "other-" if tenant == "other" else ""
    job = tale.submit(tenant, f"{prefix}agent", state=State.HELD)
    tale.vote(job, f"{prefix}approver", releases=False)
    if asked_again:
        tale.event(job, "approval.stale", State.HELD, State.HELD)
        tale.event(job, "approval.requested", State.HELD, State.HELD)
        tale.vote(job, f"{prefix}approver", releases=False)
    tale.look(job)
    if released:
        tale.vote(job, f"{prefix}approver2", releases=True)
        tale.start(job, verdict="require_approval")
        tale.end(job)
        tale.look(job, op="result")


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(TENANTS), st.sampled_from(LIVES)),
        st.tuples(st.sampled_from(TENANTS), st.booleans(), st.booleans()),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS, overlaps=st.booleans())
def test_nothing_is_found_in_what_went_as_it_should(steps: list[tuple[object, ...]], overlaps: bool) -> None:
    tale = Tale()
    open_looks: list[tuple[int, Told]] = []
    for tenant, *how in steps:
        assert isinstance(tenant, str)
        if callable(how[0]):
            job = tale.submit(tenant, "other-agent" if tenant == "other" else "agent")
            if overlaps:
                # Asked before everything, answered at the end: any state in between may have been seen.
                open_looks.append((tale.ask(job.tenant, job.owner, "get", job_id=job.job_id), job))
            how[0](tale, job)
            tale.look(job)
        else:
            _held(tale, tenant, asked_again=bool(how[0]), released=bool(how[1]))
    for call, job in open_looks:
        tale.answer(call, 200, job_id=job.job_id, state="accepted")
    assert check(tale.evidence()) == []
