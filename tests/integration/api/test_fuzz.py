"""A fuzzer that knows the API's own description finds no 5xx and no reply outside it.

Bounded: a number of examples per call, and a time for all of them. Runs in a thread beside the API's event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from itertools import cycle
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from holdgate.scheduler.api.openapi import openapi
from holdgate.scheduler.api.operations import OPERATIONS
from support.api import ApiWorld

pytestmark = pytest.mark.asyncio(loop_scope="module")
SECONDS_MAX = 40
EXAMPLES = 10
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
SKIPPED = {"streamJob", "streamApprovals"}
"""A stream has no end that a fuzzer could wait for; tests of jobs and of approvals read them."""


def fuzz(api: ApiWorld, key: str, job_ids: Iterator[str], until: float) -> list[str]:
    """Failures, each with the request that showed it."""
    schema = schemathesis.openapi.from_dict(openapi(OPERATIONS, "test"), config=SchemathesisConfig())
    schema.config.update(base_url=api.url)
    failures: list[str] = []
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.definition.raw["operationId"] in SKIPPED or operation.path == "/":
            continue
        for generation in ("positive", "negative") if takes_anything(operation) else ("positive",):
            strategy = operation.as_strategy(generation_mode=schemathesis.GenerationMode(generation))
            failures += run(api, strategy, key, job_ids, until)
    return failures


def takes_anything(operation: Any) -> bool:
    """Whether a request of it can be wrong in anything but its path."""
    raw = operation.definition.raw
    return "requestBody" in raw or any(item["in"] == "query" for item in raw.get("parameters", ()))


def run(api: ApiWorld, strategy: Any, key: str, job_ids: Iterator[str], until: float) -> list[str]:
    """Examples of one call."""
    failures: list[str] = []

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def one(case: Any) -> None:
        if time.monotonic() > until:
            return
        if "job_id" in case.path_parameters:
            case.path_parameters["job_id"] = next(job_ids)
        case.query.pop("wait", None)
        case.headers.pop("Authorization", None)  # another key than the real one is 401, and hides the rest
        response = case.call(headers={"X-API-Key": key}, timeout=10)
        try:
            case.validate_response(response, checks=CHECKS)
        except FailureGroup as error:
            failures.append(f"{case.as_curl_command()}\n{error.exceptions}")

    one()
    return failures


async def test_a_fuzzer_finds_no_server_error_and_no_reply_outside_the_description(shared_api: ApiWorld) -> None:
    prod = {"topic": "job.deploy.apply", "labels": {"env": "prod"}, "capability": "infra.write"}
    forms: list[dict[str, Any]] = [prod, {}, {"topic": "job.exec.shell"}, prod]
    job_ids = [(await shared_api.submit(**form)).json()["job_id"] for form in forms]
    until = time.monotonic() + SECONDS_MAX
    failures = await asyncio.to_thread(fuzz, shared_api, shared_api.keys["admin"], cycle([*job_ids, "job_none"]), until)
    assert not failures, "\n\n".join(failures[:3])
