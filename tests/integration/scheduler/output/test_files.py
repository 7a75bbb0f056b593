"""Files that a run left, from the worker's message to what may be read of them; and what a worker took out itself."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest

from holdgate.kernel import wire
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.limits import ARTIFACTS_MAX
from holdgate.scheduler.gates.output.message import parse_result
from holdgate.scheduler.gates.sealing import content_of, open_box
from holdgate.scheduler.state.transitions import State
from holdgate.workers.artifacts import RunArtifact
from holdgate.workers.results import RunIdentity, RunOutcome, RunResult, message_of
from support.secrets import Secrets
from support.state import TENANT

from .conftest import Gate

MADE = Secrets(17)


def zipped(text: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("notes.txt", text)
    return made.getvalue()


async def test_files_are_listed_with_the_result_and_kept_under_their_digest(gate: Gate) -> None:
    clean = zipped("nothing to see")
    files = (RunArtifact("a.csv", "text/csv", b"n\n1\n"), RunArtifact("b.zip", None, clean))
    job_id, _ = await gate.ran({"rows": 1}, artifacts=files)
    await gate.judge()
    result = await gate.result(job_id)
    assert result is not None
    listed = result.verdict["artifacts"]
    shown = [(each["name"], each["media_type"], each["bytes"]) for each in listed]
    assert shown == [("a.csv", "text/csv", 4), ("b.zip", None, len(clean))]
    assert [await gate.store.get(each["digest"]) for each in listed] == [b"n\n1\n", clean]


async def test_a_secret_in_a_text_file_is_replaced(gate: Gate) -> None:
    secret = MADE.github()
    files = (RunArtifact("notes.txt", "text/plain", f"first\ncloned with {secret}\nlast\n".encode()),)
    job_id, _ = await gate.ran({}, artifacts=files)
    await gate.judge()
    result = await gate.result(job_id)
    assert result is not None
    assert result.verdict["verdict"] == "redact"
    kept = (await gate.store.get(result.verdict["artifacts"][0]["digest"])).decode()
    assert secret not in kept
    assert kept.startswith("first\ncloned with [redacted:secret:")
    assert kept.endswith("]\nlast\n")


@pytest.mark.parametrize("data", [zipped(f"cloned with {MADE.github()}"), MADE.random.randbytes(3000)])
async def test_a_file_that_cannot_be_cleaned_or_read_seals_all_of_the_output(gate: Gate, data: bytes) -> None:
    job_id, _ = await gate.ran({"rows": 1}, artifacts=(RunArtifact("notes.zip", None, data),))
    await gate.judge()
    assert await gate.state(job_id) is State.QUARANTINED
    result = await gate.result(job_id)
    assert result is not None
    assert "artifacts" not in result.verdict
    content = content_of(open_box(await gate.box(job_id), gate.private_key))
    assert content["output"]["artifacts"] == [["notes.zip", None, data]]


async def test_what_a_worker_took_out_counts_as_found(gate: Gate) -> None:
    kinds = (("platform-secret-base64", "platform_secret", "critical"),)
    job_id, _ = await gate.ran({"text": "nothing is left of it"}, reported=kinds)
    await gate.judge()
    assert await gate.state(job_id) is State.QUARANTINED


def message(**body: Any) -> tuple[str, bytes, dict[str, str]]:
    identity = RunIdentity(TENANT, "job_01920000-0000-7000-8000-000000000001", 1, "0" * 32, "permit_1")
    result = RunResult(RunOutcome.SUCCEEDED, 1, 2, value=b"{}")
    headers, packed = message_of(identity, result, worker="w1", pool="default", bytes_max=1_000_000)
    return "results.default.w1", wire.pack({**wire.unpack(packed), **body}), headers


HOSTILE: list[dict[str, Any]] = [
    {"artifacts": "a"},
    {"artifacts": [["a", None, b""]] * 2},
    {"artifacts": [[f"a{number}", None, b""] for number in range(ARTIFACTS_MAX + 1)]},
    {"artifacts": [["../../etc/passwd", None, b""]]},
    {"artifacts": [["a\r\nX-Y: z", None, b""]]},
    {"artifacts": [["a", None, "text"]]},
    {"artifacts": [["a", None]]},
    {"reported": [["a", "b", "critical"]]},
    {"reported": [["a", "secret", "worst"]]},
    {"reported": [["A b", "secret", "low"]]},
    {"reported": [["a", "secret"]]},
    {"reported": {"a": 1}},
    {"reported": [["a", "secret", "low"]] * 101},
]


@pytest.mark.parametrize("body", HOSTILE)
def test_files_and_reports_of_another_shape_are_no_result(body: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        parse_result(*message(**body))


def test_what_a_worker_names_as_taken_out_is_no_way_around_the_scan() -> None:
    """The names of detectors are shown with each result and searched by nobody: they could be a secret in hex."""
    hidden = MADE.random.randbytes(48).hex()
    ours = [["platform-secret-base64", "platform_secret", "critical"], ["unscannable", "unscannable", "high"]]
    parsed = parse_result(*message(reported=[[hidden, "pii", "low"], ["g1th-ub", "pii", "low"], *ours]))
    assert parsed.output.reported == (*map(tuple, ours), ("worker-reported", "pii", "low"))


def test_a_media_type_of_another_form_is_dropped_and_earlier_workers_are_read() -> None:
    parsed = parse_result(*message(artifacts=[["a", "text/html; x=\r\n", b""], ["b", "text/csv", b""]]))
    assert [each.media_type for each in parsed.output.artifacts] == [None, "text/csv"]
    subject, body, headers = message()
    older = {name: value for name, value in wire.unpack(body).items() if name not in {"artifacts", "reported"}}
    assert parse_result(subject, wire.pack(older), headers).output.reported == ()
