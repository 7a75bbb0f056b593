"""What a torture writes down is read as it was written; what was cut off is left out; what was planted is found."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from random import Random

import pytest

from holdgate.bundles.format import parse_bundle
from holdgate.kernel.permits import Signer
from holdgate.scheduler.torture import policy
from holdgate.scheduler.torture.collect import read_journals
from holdgate.scheduler.torture.history import Event, History, Kind, read_history
from holdgate.scheduler.torture.load.known import Known, KnownJob
from holdgate.scheduler.torture.planted import Planted, plant

SEED = 7


def test_events_are_in_the_file_before_record_returns(tmp_path: Path) -> None:
    events = [Event(1, "agent", Kind.REQUEST, {"call": 1, "op": "get"}), Event(2, "agent", Kind.REPLY, {"call": 1})]
    with History(tmp_path / "history.jsonl") as history:
        for event in events:
            history.record(event)
        assert list(read_history(history.file)) == events


def test_a_last_line_that_was_cut_off_is_left_out_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    with History(file) as history:
        history.record(Event(1, "agent", Kind.NOTE))
        history.record(Event(2, "agent", Kind.NOTE))
    data = file.read_bytes()
    file.write_bytes(data[:-5])
    assert [event.at_ms for event in read_history(file)] == [1]
    file.write_bytes(b"{\n" + data)
    with pytest.raises(json.JSONDecodeError):
        list(read_history(file))


def test_what_is_planted_comes_of_the_seed_and_is_found_in_any_form(tmp_path: Path) -> None:
    planted = plant(tmp_path, SEED)
    assert Planted.in_folder(tmp_path) == planted == Planted.of(SEED) != Planted.of(SEED + 1)
    for lead in range(3):
        coded = base64.b64encode(b"x" * lead + planted.token.encode() + b" and more")
        assert planted.found_in(coded)
    assert planted.found_in(json.dumps({"text": f"the token is {planted.token}"}).encode())
    assert planted.found_in(planted.key.replace("\n", " ").encode())
    assert not planted.found_in(Planted.of(SEED + 1).key.encode() + b"[redacted:secret:0000]")


def test_a_run_without_an_end_is_a_run(tmp_path: Path) -> None:
    start = {"event": "start", "job_id": "job_1", "tenant": "default", "topic": "job.torture.held", "attempt": 1}
    begun = {**start, "permit_id": "permit_1", "at_ms": 1, "pid": 4}
    ended = {**begun, "event": "end", "at_ms": 3, "how": "returned"}
    lost = {**begun, "permit_id": "permit_2", "attempt": 2}
    text = "".join(json.dumps(line) + "\n" for line in (begun, ended, lost))
    (tmp_path / "4-a.jsonl").write_text(text + json.dumps(ended)[:20])
    found = {run.permit_id: (run.attempt, run.ended_ms, run.how) for run in read_journals(tmp_path)}
    assert found == {"permit_1": (1, 3, "returned"), "permit_2": (2, None, None)}


def test_the_bundle_of_a_load_reaches_no_other_tenant() -> None:
    author = Signer.from_seed(bytes(32))
    bundles = [parse_bundle(policy.signed_bundle(tenant, 3, author)) for tenant in ("default", "other")]
    for bundle, tenant in zip(bundles, ("default", "other"), strict=True):
        assert (bundle.manifest.name, bundle.manifest.version) == (policy.name_of(tenant), 3)
        assert bundle.manifest.scope.tenants == [tenant]
        assert b"alpha" not in b"".join(bundle.files.values())
    ends = parse_bundle(policy.signed_bundle("default", 4, author, expires="2027-01-01T00:00:00Z"))
    assert ends.manifest.expires == "2027-01-01T00:00:00Z"


def test_a_load_knows_the_newest_jobs_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdgate.scheduler.torture.load.known.KNOWN_MAX", 3)
    known = Known()
    for number in range(5):
        known.add(KnownJob(f"job_{number}", "default", "agent", "held" if number % 2 else "allowed"))
    assert len(known) == 3
    assert known.kind_of("job_0") is None
    assert known.owner_of("job_4") == "agent"
    found = known.some(Random(1), "default", ("held",))
    assert found is not None
    assert found.job_id == "job_3"
    assert known.some(Random(1), "other") is None
