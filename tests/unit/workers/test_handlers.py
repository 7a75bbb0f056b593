"""Registering handlers: which functions may serve, and which of them serves a topic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel

from holdgate.workers import BadHandler, Job, Worker
from holdgate.workers.handlers import Executor, describe
from support.process_handlers import double


class Payload(BaseModel):
    n: int


@dataclass
class Loose:
    n: int


async def only_job(job: Job) -> None: ...
async def with_model(job: Job, payload: Payload) -> None: ...
async def with_dataclass(job: Job, payload: Loose) -> None: ...
async def with_list(job: Job, payload: list[int]) -> None: ...
async def untyped_job(job) -> None: ...  # type: ignore[no-untyped-def]
def plain(job: Job) -> None: ...
async def nothing() -> None: ...
async def three(job: Job, payload: Payload, more: int) -> None: ...
async def untyped_payload(job: Job, payload) -> None: ...  # type: ignore[no-untyped-def]
async def swapped(payload: Payload, job: Job) -> None: ...
async def keyword(job: Job, *, payload: Payload) -> None: ...
async def unknown_type(job: Job, payload: "Missing") -> None: ...  # type: ignore[name-defined]  # noqa: F821, UP037


@pytest.mark.parametrize("function", [only_job, with_model, with_dataclass, with_list, untyped_job, plain])
def test_a_function_that_takes_the_job_and_perhaps_a_typed_payload_may_serve(function: Callable[..., Any]) -> None:
    describe("job.test.x", function)


@pytest.mark.parametrize("function", [nothing, three, untyped_payload, swapped, keyword, unknown_type])
def test_any_other_signature_is_refused_when_it_is_registered(function: Callable[..., Any]) -> None:
    with pytest.raises(BadHandler, match=function.__name__):
        describe("job.test.x", function)


@pytest.mark.parametrize(
    "pattern", ["", "job..a", "job.a b", "job.>.a", "job.*a", ".", "job.a.", "a" * 300, "job/../x"]
)
def test_a_malformed_topic_is_refused(pattern: str) -> None:
    with pytest.raises(BadHandler):
        describe(pattern, only_job)


@pytest.mark.parametrize(
    ("function", "wanted", "chosen"),
    [
        (only_job, "auto", Executor.ASYNC),
        (plain, "auto", Executor.THREAD),
        (only_job, "async", Executor.ASYNC),
        (plain, "thread", Executor.THREAD),
        (double, "process", Executor.PROCESS),
    ],
)
def test_the_executor_follows_the_function(function: Callable[..., Any], wanted: str, chosen: Executor) -> None:
    assert describe("job.x", function, executor=wanted).executor is chosen


@pytest.mark.parametrize(
    ("function", "wanted"), [(only_job, "thread"), (only_job, "process"), (plain, "async"), (plain, "gpu")]
)
def test_an_executor_that_cannot_run_the_function_is_refused(function: Callable[..., Any], wanted: str) -> None:
    with pytest.raises(BadHandler):
        describe("job.x", function, executor=wanted)


def test_a_function_that_a_process_could_not_import_is_refused() -> None:
    def local(job: Job) -> None: ...

    with pytest.raises(BadHandler, match="import"):
        describe("job.x", local, executor="process")


def test_the_most_specific_pattern_serves() -> None:
    worker = Worker()
    for pattern in ("job.>", "job.*.read", "job.demo.*", "job.demo.read", "job.demo.>"):
        worker.job(pattern)(only_job)
    served = {
        topic: handler.pattern if (handler := worker.handlers.get_for(topic)) else None
        for topic in ("job.demo.read", "job.other.read", "job.demo.write", "job.demo.a.b", "job.x", "other", "job")
    }
    assert served == {
        "job.demo.read": "job.demo.read",
        "job.other.read": "job.*.read",
        "job.demo.write": "job.demo.*",
        "job.demo.a.b": "job.demo.>",
        "job.x": "job.>",
        "other": None,
        "job": None,
    }


def test_a_pattern_has_one_handler() -> None:
    worker = Worker()
    worker.job("job.x")(only_job)
    with pytest.raises(BadHandler, match="already"):
        worker.job("job.x")(only_job)


def test_registering_leaves_the_function_as_it_is() -> None:
    assert Worker().job("job.x")(plain) is plain


def test_capabilities_of_all_handlers_are_offered() -> None:
    worker = Worker()
    worker.job("job.a", capabilities=["b", "a"])(only_job)
    worker.job("job.b", capabilities=["c"])(plain)
    assert (worker.handlers.capabilities, worker.handlers.patterns) == (["a", "b", "c"], ["job.a", "job.b"])
