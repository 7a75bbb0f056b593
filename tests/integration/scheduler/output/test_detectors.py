"""Detectors of bundles at the output gate: under the snapshot that decides, for whom they are meant, in their modes."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import REGISTRY

from holdgate.kernel.ids import JobId
from holdgate.scheduler.gates.output.detectors import DetectorSets
from holdgate.scheduler.gates.output.service import OutputGateService
from holdgate.scheduler.state.transitions import State
from support.secrets import Secrets
from support.state import TENANT

from .conftest import Gate

MADE = Secrets(31)
DETECTOR = {
    "id": "custom.project",
    "category": "secret",
    "severity": "high",
    "regex": r"\bPRJ-\d{6}\b",
    "max_len": 10,
    "examples": {"true": ["see PRJ-%{[0-9]{6}}"], "false": ["PRJ-12"]},
}
LARGE = ["an ordinary line of a long report"] * 4_000
CODE = "PRJ-" + MADE.chars("0123456789", 6)


def failures(reason: str) -> float:
    """The counter of outputs without a verdict."""
    return REGISTRY.get_sample_value("holdgate_output_policy_failures_total", {"reason": reason}) or 0.0


async def verdict(gate: Gate, job_id: JobId) -> dict[str, Any]:
    """The record of a job's output."""
    result = await gate.result(job_id)
    assert result is not None
    return result.verdict


@pytest.mark.parametrize("more", [[], LARGE], ids=["small", "large"])
async def test_what_a_detector_of_a_bundle_finds_is_redacted(gate: Gate, more: list[str]) -> None:
    """In this process and in a child, beside what the built-in ones find."""
    gate.policy.use({"detectors": [DETECTOR]})
    token = MADE.github()
    job_id, _ = await gate.ran({"ref": CODE, "token": token, "more": more})
    await gate.judge()
    result = await gate.result(job_id)
    assert result is not None
    value = result.value or await gate.store.get(result.ref)  # type: ignore[arg-type]  # one of them is there
    assert CODE.encode() not in value
    assert token.encode() not in value
    assert value.count(b"[redacted:secret:") == 2


async def test_a_detector_for_others_does_not_look(gate: Gate) -> None:
    """For another tenant, and for another topic."""
    gate.policy.use(
        {"detectors": [{**DETECTOR, "tenants": ["other"]}, {**DETECTOR, "id": "custom.b", "topics": ["x.>"]}]}
    )
    job_id, _ = await gate.ran({"ref": CODE})
    await gate.judge()
    assert (await verdict(gate, job_id))["verdict"] == "allow"


@pytest.mark.parametrize("more", [[], LARGE], ids=["small", "large"])
async def test_an_output_scanned_before_a_detector_was_in_force_is_scanned_again(gate: Gate, more: list[str]) -> None:
    """Between the scan and the verdict the policy changes: nothing is stored that the new one would have found."""
    service = gate.service()
    job_id, _ = await gate.ran({"ref": CODE, "more": more})
    change_before_deciding(gate, service, [{"detectors": [DETECTOR]}])
    await gate.judge(service)
    shown = await verdict(gate, job_id)
    assert (shown["verdict"], shown["findings_total"]) == ("redact", 1)


async def test_a_change_of_other_rules_costs_no_second_scan(gate: Gate) -> None:
    service = gate.service()
    job_id, _ = await gate.ran({"n": 1})
    change_before_deciding(gate, service, [{"output_rules": []}])
    scanned: list[object] = []
    service.scanners.inspect = scanned.append  # type: ignore[assignment,method-assign]  # nobody may call it
    await gate.judge(service)
    assert (await verdict(gate, job_id))["verdict"] == "allow"
    assert scanned == []


async def test_while_the_policy_changes_all_the_time_the_output_stays_sealed(gate: Gate) -> None:
    """Bounded tries, then it is put off, and judged once there is quiet."""
    service = gate.service()
    before = failures("snapshot_unsettled")
    job_id, _ = await gate.ran({"ref": CODE})
    rules = [{"detectors": [{**DETECTOR, "severity": severity}]} for severity in ("low", "medium", "high")]
    change_before_deciding(gate, service, rules)
    await gate.judge(service)
    assert failures("snapshot_unsettled") == before + 1
    assert await gate.state(job_id) is State.FINISHING
    assert await gate.result(job_id) is None
    while await gate.pending():
        await service.run_once()
    assert (await verdict(gate, job_id))["verdict"] == "redact"


async def test_a_detector_in_shadow_changes_nothing_and_is_counted_and_shown(gate: Gate) -> None:
    """Marked in the record, in the audit event, in a metric."""
    gate.policy.use({"detectors": [DETECTOR], "detector_modes": [{"detector": "custom.project", "mode": "shadow"}]})
    before = REGISTRY.get_sample_value("holdgate_output_shadow_findings_total", {"detector": "custom"}) or 0.0
    job_id, _ = await gate.ran({"ref": CODE, "again": CODE})
    await gate.judge()
    result = await gate.result(job_id)
    assert result is not None
    assert result.value == b'{"again":"%b","ref":"%b"}' % (CODE.encode(), CODE.encode())
    assert result.verdict["verdict"] == "allow"
    assert result.verdict["shadow"] == {"custom.project": 2}
    assert {finding["verdict"] for finding in result.verdict["findings"]} == {"shadow"}
    assert REGISTRY.get_sample_value("holdgate_output_shadow_findings_total", {"detector": "custom"}) == before + 1
    (event,) = [each for each in await gate.world.jobs.timeline(TENANT, job_id) if each["type"] == "job.succeeded"]
    assert (event["shadow"], event["categories"]) == ({"custom.project": 2}, [])


async def test_a_value_that_is_let_through_by_its_fingerprint_stays_and_another_goes(gate: Gate) -> None:
    """Value by value: the kernel is asked about each, and the redaction keeps the one."""
    one, other = MADE.github(), MADE.github()
    first, _ = await gate.ran({"a": one})
    service = gate.service()
    await gate.judge(service)
    fingerprint = (await verdict(gate, first))["findings"][0]["fingerprint"]
    entry = {"id": "known-example", "reason": "an example", "expires": "2999-01-01", "detectors": ["github-token"]}
    gate.policy.use({"allow_findings": [{**entry, "fingerprints": [fingerprint]}]})
    job_id, _ = await gate.ran({"a": one, "b": other})
    await gate.judge(service)
    result = await gate.result(job_id)
    assert result is not None
    assert result.value is not None
    assert one.encode() in result.value
    assert other.encode() not in result.value
    assert result.verdict["allowed_by"] == ["known-example"]
    assert [finding["verdict"] for finding in result.verdict["findings"]] == ["allow", "redact"]


async def test_the_class_of_an_output_is_the_highest_of_what_went_in_and_what_came_out(gate: Gate) -> None:
    """A label claims; what was measured, and what was found, raise it."""
    plain, _ = await gate.ran({"n": 1}, labels={"classification": "public"})
    personal, _ = await gate.ran({"card": MADE.card()}, labels={"classification": "public"})
    unknown, _ = await gate.ran({"n": 1}, labels={"classification": "cosmic"})
    service = gate.service()
    while await gate.pending():
        await service.run_once()
    classes = [(await verdict(gate, job_id))["data_class"] for job_id in (plain, personal, unknown)]
    assert classes == ["public", "confidential", "restricted"]


async def test_an_output_above_the_class_of_its_destination_is_quarantined(gate: Gate) -> None:
    """The destination is the job's label; one that no bundle knows is public."""
    gate.policy.use({"destinations": {"crm": "confidential"}})
    there, _ = await gate.ran({"n": 1}, labels={"destination": "crm"})
    elsewhere, _ = await gate.ran({"n": 1}, labels={"destination": "web"})
    service = gate.service()
    while await gate.pending():
        await service.run_once()
    assert [await gate.state(job_id) for job_id in (there, elsewhere)] == [State.SUCCEEDED, State.QUARANTINED]


def change_before_deciding(gate: Gate, service: OutputGateService, changes: list[dict[str, Any]]) -> None:
    """The policy becomes another after each scan and before the question, as often as there are `changes`."""
    decide = service._inspecting._kernel.decide_outputs
    left = list(changes)

    async def decide_later(*given: Any) -> Any:
        if left:
            gate.policy.use(left.pop(0))
        return await decide(*given)

    class Changing:
        """The client with that one call."""

        def __getattr__(self, name: str) -> Any:
            return getattr(gate.client, name)

        decide_outputs = staticmethod(decide_later)

    changing: Any = Changing()
    service._inspecting._kernel = changing
    service._inspecting._sets = DetectorSets(changing)
