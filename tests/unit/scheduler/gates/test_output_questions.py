"""What the kernel is asked about an output and what is kept of its answers, as tables."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from holdgate.kernel import limits
from holdgate.kernel.dataclass import DataClass
from holdgate.kernel.detectors import DetectorSet
from holdgate.kernel.ids import Digest, JobId, LeaseToken, Tenant
from holdgate.kernel.output import OutputDecision
from holdgate.kernel.rules import OutputVerdict
from holdgate.scan.output import UNSCANNABLE, FindingKind, Inspection, Output
from holdgate.scheduler.gates.output import questions, record, verdicts
from holdgate.scheduler.gates.output.inspecting import CALL_QUESTIONS_MAX, Decided, Inspected, Item, in_calls
from holdgate.scheduler.gates.output.message import ResultMessage, RunOutcome
from holdgate.scheduler.state.results import RunningFacts
from holdgate.scheduler.state.transitions import State

JOB = JobId("job_018f0000-0000-7000-8000-000000000000")
TOKEN: FindingKind = ("github-token", "secret", "high")
MAIL: FindingKind = ("email", "pii", "low")
CODE: FindingKind = ("custom.code", "secret", "high")
MESSAGE = ResultMessage(
    Tenant("acme"), JOB, 1, LeaseToken("0" * 32), "w1", RunOutcome.SUCCEEDED, False, Output(b"1"), 1, 2
)
FACTS = RunningFacts(JOB, State.RUNNING, 1, 3, "job.a.b", {}, "default", "agent", "s", False, None, "w1", "p")
SNAPSHOT = Digest("sha256:0")
ALLOW, REDACT, QUARANTINE = OutputVerdict.ALLOW, OutputVerdict.REDACT, OutputVerdict.QUARANTINE


def found(kind: FindingKind, fingerprint: str | None, path: str = "/value") -> dict[str, Any]:
    """A finding as it is described."""
    detector, category, severity = kind
    return {"detector": detector, "category": category, "severity": severity, "path": path, "fingerprint": fingerprint}


def inspection(*described: dict[str, Any], total: int | None = None) -> Inspection:
    """What was found, of which that is told one by one."""
    kinds = {(each["detector"], each["category"], each["severity"]) for each in described}
    return Inspection(tuple(sorted(kinds)), described, len(described) if total is None else total)


TWO = inspection(found(TOKEN, "aa"), found(TOKEN, "bb"), found(TOKEN, "aa"), found(MAIL, "cc"))
ASKED = [
    # (what was found, fingerprints that a bundle names, what is asked)
    (TWO, frozenset[str](), ((MAIL, None), (TOKEN, None))),
    (TWO, frozenset({"dd"}), ((MAIL, None), (TOKEN, None))),
    (TWO, frozenset({"bb"}), ((MAIL, None), (TOKEN, "aa"), (TOKEN, "bb"))),
    (replace(TWO, total=5), frozenset({"bb"}), ((MAIL, None), (TOKEN, None))),
    (
        inspection(*(found(TOKEN, f"{n:x}") for n in range(questions.VALUES_MAX + 1))),
        frozenset({"1"}),
        ((TOKEN, None),),
    ),
    (inspection(found(TOKEN, None), found(TOKEN, "bb")), frozenset({"bb"}), ((TOKEN, None), (TOKEN, "bb"))),
]


@pytest.mark.parametrize(("held", "named", "asked"), ASKED)
def test_values_are_asked_about_singly_where_a_bundle_names_one_and_all_are_known(
    held: Inspection, named: frozenset[str], asked: tuple[questions.Question, ...]
) -> None:
    assert questions.to_ask(held, held.kinds, named) == asked


def test_each_question_tells_its_fingerprint_and_one_without_tells_none() -> None:
    facts = questions.output_facts(MESSAGE, FACTS, ((MAIL, None), (TOKEN, "aa"), (TOKEN, "bb")))
    assert facts.findings == (MAIL, TOKEN, TOKEN)
    assert facts.fingerprints == ((), ("aa",), ("bb",))
    assert questions.output_facts(MESSAGE, FACTS, ((MAIL, None),)).fingerprints == ()


CLASSES = [
    # (label, secrets measured, personal data measured, class of the input)
    (None, False, False, "internal"),
    ("public", False, False, "public"),
    ("public", False, True, "confidential"),
    ("public", True, False, "restricted"),
    ("restricted", False, True, "restricted"),
    ("cosmic", False, False, "restricted"),
]


@pytest.mark.parametrize(("label", "secrets", "pii", "expected"), CLASSES)
def test_the_class_of_an_input_is_never_below_what_was_measured(
    label: str | None, secrets: bool, pii: bool, expected: str
) -> None:
    labels = {} if label is None else {"classification": label}
    assert questions.input_class(replace(FACTS, labels=labels, secrets_present=secrets, pii_present=pii)) == expected


def test_what_is_allowed_is_kept_as_a_kind_or_as_a_value() -> None:
    asked = ((MAIL, None), (TOKEN, "aa"), (TOKEN, "bb"))
    keep = questions.to_keep(asked, decision(ALLOW, ALLOW, REDACT))
    assert keep.holds(MAIL, "any")
    assert keep.holds(TOKEN, "aa")
    assert not keep.holds(TOKEN, "bb")
    assert not keep.holds(TOKEN, None)


def decision(*each: OutputVerdict, **more: Any) -> OutputDecision:
    """An answer of the kernel."""
    return OutputDecision(max(each, key=str), each, (), "because", SNAPSHOT, DataClass.RESTRICTED, **more)


def decided(held: Inspection, answer: OutputDecision) -> Decided:
    """An output, what was found in it, and the verdict."""
    raw: Any = None
    asked = tuple((kind, None) for kind in verdicts.kinds_to_decide(MESSAGE, FACTS, held))
    return Decided(Inspected(Item(raw, MESSAGE, FACTS), held, asked, DetectorSet(SNAPSHOT)), answer)


def test_what_a_detector_that_is_off_found_is_in_no_record() -> None:
    """Neither shown nor counted."""
    held = inspection(found(CODE, "aa"), found(TOKEN, "bb"))
    shown = record.verdict_record(decided(held, decision(ALLOW, REDACT, ignored=(CODE,))), REDACT, "r", 1)
    assert [each["detector"] for each in shown["findings"]] == ["github-token"]
    assert shown["findings_total"] == 1
    assert record.event_details(decided(held, decision(ALLOW, REDACT, ignored=(CODE,))))["categories"] == ["secret"]


def test_what_is_in_shadow_is_shown_as_such_and_is_not_the_gravest() -> None:
    held = inspection(found(CODE, "aa"), found(MAIL, "bb"))
    shown = record.verdict_record(decided(held, decision(ALLOW, ALLOW, shadowed=(CODE,))), ALLOW, "r", 1)
    assert [each["verdict"] for each in shown["findings"]] == ["shadow", "allow"]
    assert (shown["shadow"], shown["severity"]) == ({"custom.code": 1}, "low")


def test_an_output_that_cannot_be_scanned_says_so_once() -> None:
    held = Inspection((UNSCANNABLE,), unscannable=("scan_incomplete",))
    each = decided(held, decision(QUARANTINE))
    shown = record.verdict_record(each, QUARANTINE, "r", 1)
    assert [(item["detector"], item["verdict"]) for item in shown["findings"]] == [("unscannable", "quarantine")]
    assert shown["findings_total"] == 1
    assert record.event_details(each)["unscannable"] == ["scan_incomplete"]


def test_marks_and_what_was_let_through_are_told_beside_the_verdict() -> None:
    each = decided(inspection(found(MAIL, "aa")), decision(ALLOW, marks=("untrusted_instructions",), allowed_by=("a",)))
    shown, event = record.verdict_record(each, ALLOW, "r", 1), record.event_details(each)
    for told in (shown, event):
        assert told["marks"] == ["untrusted_instructions"]
        assert told["allowed_by"] == ["a"]
        assert told["data_class"] == "restricted"


@pytest.mark.parametrize(
    ("asked", "calls"),
    [
        ([1] * (limits.KERNEL_BATCH_MAX + 1), [limits.KERNEL_BATCH_MAX, 1]),
        ([CALL_QUESTIONS_MAX // 2] * 3, [2, 1]),
        ([CALL_QUESTIONS_MAX + 1, 0, 1], [1, 2]),
        ([], []),
    ],
)
def test_one_call_of_the_kernel_is_about_so_many_outputs_and_questions(asked: list[int], calls: list[int]) -> None:
    """Outputs in which everything was found would keep it from everybody else."""
    raw: Any = None
    item, detectors = Item(raw, MESSAGE, FACTS), DetectorSet(SNAPSHOT)
    made = [Inspected(item, TWO, ((MAIL, None),) * number, detectors) for number in asked]
    assert [len(call) for call in in_calls(made)] == calls
