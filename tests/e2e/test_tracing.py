"""One trace from submit to verdict, as a collector sees it; and nothing of a payload in it."""

from __future__ import annotations

from pathlib import Path

import httpx

from support.collector import Received, collecting_spans
from support.waiting import eventually_sync
from support.whole import running_whole

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
CANARY = "payload-canary-7f3a"
EXPECTED = {
    ("holdgate-api", "POST /api/v1/jobs"),
    ("holdgate-api", "decide"),
    ("holdgate-api", "accept"),
    ("holdgate-api", "publish"),
    ("holdgate-kernel", "kernel.decide"),
    ("holdgate-dispatcher", "queue"),
    ("holdgate-dispatcher", "dispatch"),
    ("holdgate-kernel", "kernel.permit"),
    ("holdgate-worker", "run"),
    ("holdgate-output-gate", "output"),
}


def test_a_job_is_one_trace_through_every_process_and_its_payload_in_none(tmp_path: Path) -> None:
    with collecting_spans() as spans, running_whole(tmp_path, "--otlp-endpoint", spans.url) as whole:
        reply = httpx.post(
            f"{whole.api}/api/v1/jobs",
            json={"topic": "job.demo.read", "prompt": CANARY, "payload": {CANARY: CANARY}, "labels": {"note": CANARY}},
            headers={"x-api-key": whole.key("agent"), "traceparent": f"00-{TRACE}-{CALLER}-01"},
        )
        assert reply.status_code == 202, reply.text
        job_id = reply.json()["job_id"]
        assert reply.json()["trace_id"] == TRACE
        eventually_sync(
            lambda: not (EXPECTED - {(span.service, span.name) for span in spans.of(TRACE)}),
            20,
            why=str(sorted(EXPECTED)),
        )
        found = {span.name: span for span in spans.of(TRACE)}
        _verify_tree(found)
        assert found["POST /api/v1/jobs"].attributes["holdgate.job_id"] == job_id
        assert found["output"].attributes["holdgate.verdict"] == "allow"
        assert not {span.name for span in spans.all()} & {"GET /readyz", "GET /healthz"}
        assert all(CANARY.encode() not in body for body in spans.bodies)


def _verify_tree(found: dict[str, Received]) -> None:
    root, run = found["POST /api/v1/jobs"], found["run"]
    assert root.parent_id == CALLER
    assert run.parent_id == root.span_id
    assert found["output"].parent_id == run.span_id
    for name in ("decide", "accept", "publish", "kernel.decide", "queue", "dispatch", "kernel.permit"):
        assert found[name].parent_id == root.span_id, name
