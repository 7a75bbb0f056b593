"""Logs: JSON lines with an action, and nothing in them that must not be written."""

from __future__ import annotations

import json
import logging

import pytest
import structlog

from holdgate.scheduler import logs


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_record_is_one_json_object_with_action_and_process(capsys: pytest.CaptureFixture[str]) -> None:
    """Machines count actions, people read events."""
    logs.configure("api", form="json")
    structlog.contextvars.bind_contextvars(trace_id="t1")
    structlog.get_logger("x").info("a job was accepted", action="accepted", job_id="job_1")
    structlog.contextvars.clear_contextvars()
    (record,) = lines(capsys)
    assert record | {"timestamp": ""} == {
        "event": "a job was accepted",
        "action": "accepted",
        "job_id": "job_1",
        "trace_id": "t1",
        "process": "api",
        "level": "info",
        "timestamp": "",
    }


@pytest.mark.parametrize("name", sorted(logs.NEVER_LOGGED))
def test_what_must_not_be_written_is_not_at_any_depth(capsys: pytest.CaptureFixture[str], name: str) -> None:
    """A careless call site cannot leak a payload, a prompt, a result or a secret."""
    logs.configure("api", form="json")
    structlog.get_logger("x").warning("careless", **{name: "hunter2"}, inner=[{name.upper(): {"deep": "hunter2"}}])
    written = capsys.readouterr().err
    assert "hunter2" not in written
    assert logs.REDACTED in written


def test_a_traceback_has_no_local_variables(capsys: pytest.CaptureFixture[str]) -> None:
    """They hold payloads."""
    logs.configure("api", form="json")

    def fails() -> None:
        hidden = "hunter" + "2"
        raise RuntimeError(len(hidden))

    try:
        fails()
    except RuntimeError:
        structlog.get_logger("x").exception("failed", action="failed")
    written = capsys.readouterr().err
    assert "RuntimeError" in written
    assert "hunter2" not in written


def test_other_libraries_write_in_the_same_form_and_less(capsys: pytest.CaptureFixture[str]) -> None:
    """Their warnings matter, their inner life does not."""
    logs.configure("api", form="json")
    logging.getLogger("uvicorn.error").info("started")
    logging.getLogger("uvicorn.error").warning("careful")
    (record,) = lines(capsys)
    assert record["event"] == "careful"


def test_people_get_text(capsys: pytest.CaptureFixture[str]) -> None:
    """Where standard error is a terminal, or when asked for."""
    logs.configure("api", form="console")
    structlog.get_logger("x").info("hello", action="greeted")
    written = capsys.readouterr().err
    assert "hello" in written
    assert not written.startswith("{")
