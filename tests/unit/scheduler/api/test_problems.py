"""One table from code to status; nothing of an exception's text leaves where the table has no row."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import pytest

from holdgate.bundles import errors as bundle_errors
from holdgate.bundles.documents import CODES
from holdgate.kernel import errors as kernel_errors
from holdgate.kernel.client import KernelRefused
from holdgate.kernel.errors import FormInvalid, HoldgateError, PolicyInvalid
from holdgate.scheduler import errors
from holdgate.scheduler.api.calls import reply_problem
from holdgate.scheduler.api.openapi import error_codes
from holdgate.scheduler.api.operations import OPERATIONS
from holdgate.scheduler.api.problems import KINDS, Problem, problem_of

EXPECTED = [
    (errors.JobNotFound(), 404, "job_not_found"),
    (errors.ApprovalNotFound(), 404, "approval_not_found"),
    (errors.ApprovalSelf(), 403, "approval_self"),
    (errors.ApprovalForbidden(), 403, "approval_forbidden"),
    (errors.ApprovalReasonRequired(), 422, "approval_reason_required"),
    (errors.ApprovalResolved(), 409, "approval_resolved"),
    (errors.ApprovalExpired(), 410, "approval_expired"),
    (errors.ApprovalStalePolicy(), 409, "approval_stale_policy"),
    (errors.ApprovalStaleJob(), 409, "approval_stale_job"),
    (errors.ApprovalDuplicateVote(), 409, "approval_duplicate_vote"),
    (errors.WrongState(state="running"), 409, "wrong_state"),
    (errors.IdempotencyConflict(), 409, "idempotency_conflict"),
    (errors.QueueFull(retry_after_ms=4200), 429, "queue_full"),
    (errors.QueuesFull(retry_after_ms=4200), 429, "queues_full"),
    (errors.TooManyPools(retry_after_ms=4200), 429, "too_many_pools"),
    (errors.StateUnavailable(), 503, "state_unavailable"),
    (errors.LogUnavailable(), 503, "log_unavailable"),
    (kernel_errors.KernelUnavailable(), 503, "kernel_unavailable"),
    (kernel_errors.MalformedJson(), 400, "malformed_json"),
    (KernelRefused("code", "message"), 422, "invalid_input"),
    (bundle_errors.BundleUnsigned(), 422, "bundle_threshold"),
    (bundle_errors.BundleUnsigned(code="bundle_unknown_key"), 422, "bundle_unknown_key"),
    (bundle_errors.BundleRefused(code="bundle_odd"), 422, "bundle_refused"),
    (bundle_errors.BundleOutdated(), 409, "bundle_version"),
    (bundle_errors.BundleConflict(), 409, "bundle_conflict"),
    (bundle_errors.BundleWidens("widens", [("rule", "why")]), 409, "bundle_widening"),
    (bundle_errors.BundleTestsFailed("fails", [("file:1", "why")]), 422, "bundle_tests"),
    (bundle_errors.BundleNotFound(), 404, "bundle_not_found"),
    (bundle_errors.RootUnavailable(), 503, "unavailable"),
    (bundle_errors.StoreUnavailable(), 503, "unavailable"),
    (errors.StateBroken("secret text"), 500, "internal_error"),
    (kernel_errors.Forged("secret text"), 500, "internal_error"),
]


@pytest.mark.parametrize(("error", "status", "code"), EXPECTED, ids=lambda item: type(item).__name__)
def test_each_error_has_its_status(error: HoldgateError, status: int, code: str) -> None:
    problem = problem_of(error)
    assert (problem.status, problem.code) == (status, code)
    assert "secret text" not in str(problem.as_dict())


def test_an_error_that_says_when_to_come_back_keeps_it_in_whole_seconds() -> None:
    assert problem_of(errors.QueueFull(retry_after_ms=4200)).retry_after_s == 5
    assert problem_of(errors.Throttled(retry_after_ms=1)).retry_after_s == 1


def test_every_unavailability_says_when_to_come_back() -> None:
    for code, kind in KINDS.items():
        assert kind.status != 503 or kind.retry_after_s is not None, code


def test_wrong_fields_are_named() -> None:
    shown = problem_of(FormInvalid([("topic", "required"), ("labels.env", "a string is expected")])).as_dict()
    assert [item["field"] for item in shown["errors"]] == ["topic", "labels.env"]
    policy = problem_of(PolicyInvalid([(("rules", 3, "match"), "unknown key")])).as_dict()
    assert policy["errors"][0]["field"] == "rules.3.match"
    faulty = problem_of(bundle_errors.BundleWidens("widens", [("house.open", "allows more")])).as_dict()
    assert faulty["errors"] == [{"field": "house.open", "detail": "allows more"}]


def test_every_error_of_the_scheduler_that_is_the_callers_has_a_row() -> None:
    ours = [item for _, item in inspect.getmembers(errors, inspect.isclass) if issubclass(item, HoldgateError)]
    for error in ours:
        if issubclass(error, errors.NotFound | errors.Forbidden | errors.Conflict | errors.Limited):
            assert error.code in KINDS, error.__name__


def test_every_code_by_which_a_bundle_is_refused_has_a_row() -> None:
    source = Path(bundle_errors.__file__).parent
    files = [file for file in source.glob("*.py") if file.name != "draft.py"]  # which writes on an author's own disk
    given = {code for file in files for code in re.findall(r'code="(bundle_[a-z_]+)"', file.read_text())}
    refusals = {
        item.code
        for _, item in inspect.getmembers(bundle_errors, inspect.isclass)
        if issubclass(item, bundle_errors.BundleRefused)
        and not issubclass(item, bundle_errors.RootRefused | bundle_errors.StampRefused)
    }
    missing = (given | refusals | set(CODES)) - set(KINDS) - {"bundle_missing"}
    assert not missing
    assert len(given) > 10


def test_every_code_that_an_operation_names_is_in_the_table_and_every_operation_may_say_that_it_is_overloaded() -> None:
    for operation in OPERATIONS:
        codes = error_codes(operation)
        assert set(codes) <= set(KINDS), operation.name
        assert "overloaded" in codes


def test_a_problem_that_cannot_be_written_still_tells_its_status_and_code() -> None:
    reply = reply_problem(Problem("bad_request", "half a pair: \ud800", extra={"errors": ["\udfff"]}), "trace")
    shown = json.loads(reply.body)
    assert (reply.status, shown["code"], shown["trace_id"]) == (400, "bad_request", "trace")


def test_a_problem_never_shows_a_code_that_is_not_in_the_table() -> None:
    with pytest.raises(KeyError):
        Problem("made_up")
