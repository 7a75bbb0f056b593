"""Bad input: a 4xx problem that names the field, nothing stored, nothing of the body in a log."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

import pytest
import structlog

from support.api import ApiWorld

pytestmark = pytest.mark.asyncio(loop_scope="module")
CANARY = "canary-in-the-body"

BODIES: list[tuple[str, bytes, int, str]] = [
    # name, body, status, what the problem names
    ("not json", b"{", 400, "line 1"),
    ("empty", b"", 422, "body"),
    ("not an object", b"[]", 422, "body"),
    ("a string", b'"job"', 422, "body"),
    ("not utf-8", b'{"topic": "\xff\xfe"}', 400, "UTF-8"),
    ("duplicate key", b'{"topic":"job.demo.read","topic":"job.exec.shell"}', 400, "topic"),
    ("duplicate key deep", b'{"topic":"job.demo.read","payload":{"a":{"b":1,"b":2}}}', 400, "`b`"),
    ("half a pair as duplicate key", b'{"topic":"job.demo.read","payload":{"\\ud800":1,"\\ud800":2}}', 400, "ud800"),
    ("nan", b'{"topic":"job.demo.read","payload":NaN}', 400, "NaN"),
    ("infinity", b'{"topic":"job.demo.read","payload":-Infinity}', 400, "Infinity"),
    ("huge float", b'{"topic":"job.demo.read","payload":1e999}', 400, "too large"),
    ("huge integer", b'{"topic":"job.demo.read","payload":9007199254740993}', 400, "2^53"),
    ("endless integer", b'{"topic":"job.demo.read","payload":' + b"9" * 5000 + b"}", 400, "2^53"),
    ("unpaired surrogate", b'{"topic":"job.demo.read","prompt":"\\ud800"}', 400, "surrogate"),
    ("surrogate as key", b'{"topic":"job.demo.read","payload":{"\\udfff":1}}', 400, "surrogate"),
    ("too deep", b'{"topic":"job.demo.read","payload":' + b"[" * 500 + b"]" * 500 + b"}", 400, "nested"),
]
FORMS: list[tuple[str, dict[str, Any], str]] = [
    ("no topic", {}, "topic"),
    ("topic null", {"topic": None}, "topic"),
    ("topic number", {"topic": 7}, "topic"),
    ("empty token", {"topic": "job..a"}, "topic"),
    ("space", {"topic": "job.a b"}, "topic"),
    ("path trick", {"topic": "../"}, "topic"),
    ("wildcard", {"topic": "job.*"}, "topic"),
    ("rest wildcard", {"topic": "job.>"}, "topic"),
    ("too long", {"topic": "job." + "a" * 256}, "topic"),
    ("too many tokens", {"topic": ".".join("a" * 17)}, "topic"),
    ("newline at the end", {"topic": "job.demo.read\n"}, "topic"),
    ("unknown key", {"tenant": "other"}, "tenant"),
    ("actor is not the submitter's to say", {"actor": "admin"}, "actor"),
    ("labels over 64", {"labels": {f"l{n}": "x" for n in range(65)}}, "labels"),
    ("reserved label", {"labels": {"holdgate.approved": "true"}}, "labels.holdgate.approved"),
    ("reserved label in capitals", {"labels": {"HoldGate.approved": "true"}}, "labels.HoldGate.approved"),
    ("hidden label", {"labels": {"_approved": "true"}}, "labels._approved"),
    ("label number", {"labels": {"env": 1}}, "labels.env"),
    ("label with control character", {"labels": {"env": "pr\x00od"}}, "labels.env"),
    ("label that turns the direction", {"labels": {"env": "\u202eprod"}}, "labels.env"),
    ("labels list", {"labels": ["env"]}, "labels"),
    ("prompt with control character", {"prompt": "a\x00b"}, "prompt"),
    ("prompt too long", {"prompt": "x" * 70_000}, "prompt"),
    ("tag with space", {"risk_tags": ["a b"]}, "risk_tags.0"),
    ("tags over 64", {"risk_tags": [f"t{n}" for n in range(65)]}, "risk_tags"),
    ("requires text", {"requires": "gpu"}, "requires"),
    ("capability list", {"capability": ["a"]}, "capability"),
    ("pool with dot", {"pool": "a.b"}, "pool"),
    ("priority", {"priority": "urgent"}, "priority"),
    ("attempts zero", {"max_attempts": 0}, "max_attempts"),
    ("attempts boolean", {"max_attempts": True}, "max_attempts"),
    ("run_at without offset", {"run_at": "2027-01-01T00:00:00"}, "run_at"),
    ("run_at no such day", {"run_at": "2027-02-30T00:00:00Z"}, "run_at"),
    ("deadline in the past", {"deadline": "2020-01-01T00:00:00Z"}, "deadline"),
    ("dry_run text", {"dry_run": "yes"}, "dry_run"),
]


def with_topic(form: dict[str, Any]) -> dict[str, Any]:
    """The form with an allowed topic where the case is about something else."""
    return form if not form or "topic" in form else {"topic": "job.demo.read", **form}


@pytest.mark.parametrize(("body", "status", "names"), [item[1:] for item in BODIES], ids=[item[0] for item in BODIES])
async def test_bytes_that_are_not_a_form(shared_api: ApiWorld, body: bytes, status: int, names: str) -> None:
    before = await shared_api.stored()
    reply = await shared_api.client(**{"content-type": "application/json"}).post("/api/v1/jobs", content=body)
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    assert names in reply.text
    assert await shared_api.stored() == before


@pytest.mark.parametrize(("form", "field"), [item[1:] for item in FORMS], ids=[item[0] for item in FORMS])
async def test_a_wrong_field_is_named(shared_api: ApiWorld, form: dict[str, Any], field: str) -> None:
    before = await shared_api.stored()
    for path in ("/api/v1/jobs", "/api/v1/policy/evaluate"):
        if path.endswith("evaluate") and "dry_run" in form:
            continue
        reply = await shared_api.client().post(path, content=json.dumps(with_topic(form)), headers=JSON)
        assert reply.status_code == 422, reply.text
        assert field in [item["field"] for item in reply.json()["errors"]]
    assert await shared_api.stored() == before


JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/api/v1/jobs?limit=0", "limit"),
        ("/api/v1/jobs?limit=abc", "limit"),
        ("/api/v1/jobs?limit=1&limit=2", "limit"),
        ("/api/v1/jobs?state=unknown", "state"),
        ("/api/v1/jobs?nonsense=1", "nonsense"),
        ("/api/v1/jobs?topic=%00", "topic"),
    ],
)
async def test_a_wrong_query_is_named(shared_api: ApiWorld, path: str, name: str) -> None:
    reply = await shared_api.client().get(path)
    assert reply.status_code == 422, reply.text
    assert reply.json()["errors"][0]["field"] == name


@pytest.mark.parametrize("cursor", ["x", "%21%21", "AAAA", "a" * 2000, "Li4vLi4v"])
async def test_a_cursor_that_nobody_gave_is_refused(shared_api: ApiWorld, cursor: str) -> None:
    for who, path in (
        ("agent", "jobs"),
        ("approver", "approvals"),
        ("approver", "quarantine"),
        ("auditor", "audit/events"),
    ):
        reply = await shared_api.client(who).get(f"/api/v1/{path}?cursor={cursor}")
        assert 400 <= reply.status_code < 500, (path, reply.text)


@pytest.mark.parametrize("job_id", ["nothing", "..", "job_1", "%2e%2e%2f", "job_" + "0" * 300, "{default}", "%00"])
async def test_a_job_id_of_another_shape_is_not_found(shared_api: ApiWorld, job_id: str) -> None:
    reply = await shared_api.client().get(f"/api/v1/jobs/{job_id}")
    assert reply.status_code in {404, 405}, reply.text


async def test_a_body_over_the_limit_is_413_whether_it_says_so_or_not(shared_api: ApiWorld) -> None:
    before = await shared_api.stored()
    body = b'{"topic":"job.demo.read","payload":"' + b"x" * (9 * 1024 * 1024) + b'"}'
    declared = await shared_api.client(**JSON).post("/api/v1/jobs", content=body)
    assert (declared.status_code, declared.json()["code"]) == (413, "body_too_large")

    async def chunks() -> Any:
        for start in range(0, len(body), 65536):
            yield body[start : start + 65536]

    streamed = await shared_api.client(**JSON).post("/api/v1/jobs", content=chunks())
    assert (streamed.status_code, streamed.json()["code"]) == (413, "body_too_large")
    assert await shared_api.stored() == before


async def test_a_payload_over_the_limit_in_its_canonical_form_is_413(shared_api: ApiWorld) -> None:
    """`1e15` is four bytes in a body and sixteen in what is hashed, kept and handed over."""
    before = await shared_api.stored()
    numbers = b"[" + b",".join([b"1e15"] * 600_000) + b"]"
    for path in ("jobs", "policy/evaluate"):
        body = b'{"topic":"job.demo.read","payload":' + numbers + b"}"
        reply = await shared_api.client(**JSON).post(f"/api/v1/{path}", content=body)
        assert (reply.status_code, reply.json()["code"]) == (413, "body_too_large"), reply.text
    assert await shared_api.stored() == before
    denied = (await shared_api.submit(topic="job.exec.shell")).json()["job_id"]
    before = await shared_api.stored()
    path = f"/api/v1/jobs/{denied}/remediate"
    reply = await shared_api.client(**JSON).post(path, content=b'{"payload":' + numbers + b"}")
    assert (reply.status_code, reply.json()["code"]) == (413, "body_too_large"), reply.text
    assert await shared_api.stored() == before


async def test_a_body_of_another_type_is_415(shared_api: ApiWorld) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1"):
        reply = await shared_api.client(**{"content-type": kind}).post("/api/v1/jobs", content=b'{"topic":"job.a"}')
        assert (reply.status_code, reply.json()["code"]) == (415, "unsupported_media_type")


async def test_a_client_that_leaves_in_the_middle_of_its_body_stores_nothing(shared_api: ApiWorld) -> None:
    before = await shared_api.stored()
    parts = urlsplit(shared_api.url)
    _, writer = await asyncio.open_connection(parts.hostname, parts.port)
    head = f"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nX-API-Key: {shared_api.keys['agent']}\r\n"
    writer.write(f"{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n".encode() + b'{"topic":')
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await shared_api.client().get("/healthz")).status_code == 200
    assert await shared_api.stored() == before


async def test_nothing_of_a_body_reaches_a_log(shared_api: ApiWorld) -> None:
    with structlog.testing.capture_logs() as logs:
        for body in (CANARY.encode(), b'{"topic":"job.' + CANARY.encode() + b'","prompt":7}'):
            await shared_api.client(**JSON).post("/api/v1/jobs", content=body)
        await shared_api.submit(prompt=CANARY, payload={"x": CANARY})
        await shared_api.submit(topic="job.exec.shell", prompt=CANARY)
    assert CANARY not in repr(logs)
