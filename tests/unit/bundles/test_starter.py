"""Starter bundles: each tested to the last rule, clean, fit to stand beside the others, and hard to get around."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from holdgate.bundles.format import BundleFile, build_bundle, parse_bundle
from holdgate.bundles.lint import Severity
from holdgate.bundles.lint.files import lint_sources, source_of_bundle
from holdgate.bundles.review import require_publishable, review
from holdgate.bundles.schema import header, schema_of
from holdgate.bundles.testing import load_suite, run_tests
from holdgate.bundles.testing.cases import JobCase, OutputCase
from holdgate.bundles.testing.mutation import Mutation, MutationReport
from holdgate.bundles.trusted import TrustedSet, parse_bundle_rules
from holdgate.kernel.canonical import canonical_bytes
from holdgate.kernel.evaluate import compile_policy, evaluate
from holdgate.kernel.ids import Digest
from holdgate.kernel.output import decide_output
from holdgate.kernel.policy import STRICTNESS, Policy
from holdgate.kernel.records import ALLOWING, Decision, Job, Phase, Verdict
from holdgate.kernel.rules import BundleRules
from support.trust import NOW_MS, STARTER, Ceremony, job, signed

FOLDER = STARTER.parent
NAMES = sorted(path.name for path in FOLDER.iterdir() if (path / "bundle.yaml").exists())
STARTERS = [name for name in NAMES if name != "demo"]
UNNAMED = Digest("sha256:" + "0" * 64)


@cache
def built(name: str) -> BundleFile:
    return parse_bundle(build_bundle(FOLDER / name))


@cache
def rules_of(name: str) -> BundleRules:
    return parse_bundle_rules(built(name))


@cache
def together(*names: str) -> Policy:
    """The policy of these bundles; of all without a name."""
    return compile_policy([rules_of(name) for name in names or NAMES], snapshot=UNNAMED)


def decide(policy: Policy, asked: Job, now_ms: int = NOW_MS) -> Decision:
    return evaluate(policy, asked, now_ms=now_ms, phase=Phase.SUBMIT, job_hash=UNNAMED)


def effective(decision: Decision) -> Verdict:
    """What holds within the rates."""
    return decision.within or decision.verdict


def cases_of(name: str) -> Iterator[JobCase]:
    return (case for case in load_suite(built(name)).cases if isinstance(case, JobCase))


# Each by itself -------------------------------------------------------------------------------------------------------


def test_there_are_six() -> None:
    assert NAMES == ["baseline", "coding-agent", "data-agent", "demo", "infra-agent", "support-agent"]


@pytest.mark.parametrize("name", NAMES)
def test_the_bundle_has_the_name_of_its_directory_and_a_kernel_would_accept_it(name: str) -> None:
    assert built(name).manifest.name == name
    data = signed(build_bundle(FOLDER / name), ["author"])
    assert TrustedSet.under(Ceremony().root).accept(data, NOW_MS).active() is not None


@pytest.mark.parametrize("name", NAMES)
def test_its_tests_pass_and_see_every_rule_and_condition(name: str) -> None:
    report = run_tests(built(name))
    assert [(result.name, result.problems) for result in report.failed] == []
    assert report.results
    unseen = [(rule.id, item.name) for rule in report.coverage.rules for item in rule.conditions if not item.covered]
    assert unseen == []
    assert report.coverage.rules_percent == 100


@pytest.mark.parametrize("name", NAMES)
def test_its_tests_notice_every_change_of_a_rule(name: str) -> None:
    report = MutationReport.of(Mutation(load_suite(built(name))).outcomes())
    assert report.total > 0
    assert [(mutant.rule, mutant.change) for mutant in report.survivors] == []


@pytest.mark.parametrize("name", NAMES)
def test_lint_finds_nothing_at_all(name: str) -> None:
    assert lint_sources([source_of_bundle(built(name))], [], None) == []


@pytest.mark.parametrize("name", NAMES)
def test_its_words_are_said(name: str) -> None:
    """Without a vocabulary there is nothing that lint could compare with."""
    vocabulary = built(name).manifest.vocabulary
    assert vocabulary.topics
    assert vocabulary.write_capabilities
    asked = {role for rule in rules_of(name).rules if rule.approval is not None for role in rule.approval.roles}
    assert asked == set(vocabulary.roles)


@pytest.mark.parametrize("kind", ["bundle", "rules", "tests"])
@pytest.mark.parametrize("name", NAMES)
def test_its_files_say_what_they_are_and_fit_the_schema(name: str, kind: str) -> None:
    schema = Draft202012Validator(schema_of(kind))
    source = built(name).manifest
    paths = {"bundle": ["bundle.yaml"], "rules": source.rules, "tests": source.tests}[kind]
    assert paths
    for path in paths:
        text = (FOLDER / name / path).read_text(encoding="utf-8")
        assert text.splitlines()[0] == header(kind)
        assert [error.message for error in schema.iter_errors(yaml.safe_load(text))] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_file_beside_the_bundle_is_named_in_it(name: str) -> None:
    """A file of rules that was forgotten would hold for nobody."""
    beside = {path.relative_to(FOLDER / name).as_posix() for path in (FOLDER / name).rglob("*.yaml")}
    assert beside == {"bundle.yaml", *built(name).manifest.paths}


@pytest.mark.parametrize("name", STARTERS)
def test_a_reason_says_more_than_no(name: str) -> None:
    """One that forbids or holds is read by an agent that must do something else."""
    short = [rule.id for rule in rules_of(name).rules if rule.decision not in ALLOWING and len(rule.reason) < 40]
    assert short == []


@pytest.mark.parametrize("name", STARTERS)
def test_what_restricts_reaches_deep_and_what_allows_names_topics_and_constraints(name: str) -> None:
    for rule in rules_of(name).rules:
        if rule.decision in ALLOWING:
            assert not [topic for topic in rule.match.topics if "*" in topic or ">" in topic], rule.id
            assert rule.match.topics, rule.id
            assert rule.match.capabilities, rule.id
            assert rule.constraints.max_runtime_s, rule.id
        else:
            assert all(topic.endswith(".>") for topic in rule.match.topics), rule.id


# All of them ----------------------------------------------------------------------------------------------------------


def test_all_can_be_in_force_together() -> None:
    trusted = TrustedSet.under(Ceremony().root)
    for name in NAMES:
        trusted = trusted.accept(signed(build_bundle(FOLDER / name), ["author"]), NOW_MS)
    active = trusted.active()
    assert active is not None
    assert {rule.bundle for rule in active.policy.rules} == set(NAMES)


def test_all_pass_the_review_of_a_publish_one_after_the_other() -> None:
    """With what they widen acknowledged; nothing else is in the way."""
    in_force: dict[str, bytes] = {}
    for name in NAMES:
        data = signed(build_bundle(FOLDER / name), ["author"])
        require_publishable(review(data, Ceremony().root, in_force, NOW_MS), widening_accepted=True)
        in_force[name] = data


def test_no_id_stands_in_two_of_them() -> None:
    ids = [rule.id for name in NAMES for rule in (*rules_of(name).rules, *rules_of(name).output_rules)]
    assert len(ids) == len(set(ids))


def test_lint_finds_no_contradictions_between_them() -> None:
    """Only that each, since it may stand alone, says of results what the baseline says, too."""
    found = lint_sources([source_of_bundle(built(name)) for name in STARTERS], [], None)
    assert {(item.severity, item.code) for item in found} <= {(Severity.NOTE, "redundant-rule")}


@pytest.mark.parametrize("name", NAMES)
def test_what_one_allows_the_others_leave_alone(name: str) -> None:
    """Work that a bundle means to let run still runs beside all others."""
    policy = together()
    allowed = [case for case in cases_of(name) if effective(decide(together(name), case.job, case.now_ms)) in ALLOWING]
    assert allowed
    stopped = [(case.name, decide(policy, case.job, case.now_ms)) for case in allowed]
    assert [(case, d.reason) for case, d in stopped if effective(d) not in ALLOWING] == []


@pytest.mark.parametrize("name", NAMES)
def test_what_one_forbids_or_holds_the_others_do_not_loosen(name: str) -> None:
    """But for what no rule of it speaks of: there the baseline may ask a person."""
    for case in cases_of(name):
        alone, beside = decide(together(name), case.job, case.now_ms), decide(together(), case.job, case.now_ms)
        if STRICTNESS[effective(beside)] > STRICTNESS[effective(alone)]:
            assert not alone.deciding, case.name
            assert beside.verdict is Verdict.REQUIRE_APPROVAL, case.name
            assert all(rule.startswith("base.hold-") for rule in beside.deciding), case.name


@pytest.mark.parametrize("name", NAMES)
def test_verdicts_about_results_hold_beside_the_others(name: str) -> None:
    cases = [case for case in load_suite(built(name)).cases if isinstance(case, OutputCase)]
    order = ["allow", "redact", "quarantine"]
    assert cases
    for case in cases:
        alone, beside = decide_output(together(name), case.facts), decide_output(together(), case.facts)
        assert order.index(beside.verdict) >= order.index(alone.verdict), case.name


# Ways around ----------------------------------------------------------------------------------------------------------


def _payload(change: Callable[[Any], Any]) -> Callable[[Job], Job]:
    def changed(asked: Job) -> Job:
        return replace(asked, payload=canonical_bytes(change(json.loads(asked.payload or b"null"))))

    return changed


def _labels(change: Callable[[str], str]) -> Callable[[Job], Job]:
    return lambda asked: replace(asked, labels={key: change(value) for key, value in asked.labels.items()})


WAYS: dict[str, Callable[[Job], Job]] = {
    "a deeper topic": lambda asked: replace(asked, topic=asked.topic + ".deeper"),
    "a much deeper topic": lambda asked: replace(asked, topic=asked.topic + ".a.b.c.d.e.f"),
    "a topic in capitals": lambda asked: replace(asked, topic=asked.topic.upper()),
    "a topic with a capital": lambda asked: replace(asked, topic=asked.topic[:-1] + asked.topic[-1].upper()),
    "a topic that goes on": lambda asked: replace(asked, topic=asked.topic + "s"),
    "no capability": lambda asked: replace(asked, capability=None),
    "an unknown capability": lambda asked: replace(asked, capability="harmless"),
    "labels in capitals": _labels(str.upper),
    "labels with a space": _labels(lambda value: value + " "),
    "labels with a letter that looks alike": _labels(lambda value: value.replace("o", "\u043e").replace("e", "\u0435")),
    "labels that are empty": _labels(lambda _: ""),
    "the payload in a list": _payload(lambda value: [value]),
    "the payload as text": _payload(lambda value: json.dumps(value)),
    "the payload one level down": _payload(lambda value: {"payload": value}),
    "every value in a list": _payload(lambda value: _each(value, lambda item: [item])),
    "every value in an object": _payload(lambda value: _each(value, lambda item: {"value": item})),
    "every value as text": _payload(lambda value: _each(value, str)),
    "every value null": _payload(lambda value: _each(value, lambda _: None)),
    "a payload too large to look through": _payload(
        lambda value: {**(value if isinstance(value, dict) else {}), "more": "x" * 300_000}
    ),
    "a payload with too many values": _payload(
        lambda value: {**(value if isinstance(value, dict) else {}), "more": [1] * 1001}
    ),
    "a zero after every value": _payload(
        lambda value: _each(value, lambda item: item + "\0more" if isinstance(item, str) else item)
    ),
    "a zero after every name": _payload(
        lambda value: {key + "\0": item for key, item in value.items()} if isinstance(value, dict) else value
    ),
    "a tag that says that it is harmless": lambda asked: replace(asked, risk_tags=(*asked.risk_tags, "harmless")),
    "a person in the labels": lambda asked: replace(asked, labels={**asked.labels, "actor_type": "human"}),
    "an approval in the labels": lambda asked: replace(asked, labels={**asked.labels, "approved": "true"}),
}


def _each(value: Any, change: Callable[[Any], Any]) -> Any:
    return {key: change(item) for key, item in value.items()} if isinstance(value, dict) else value


SHAPES = {
    "base.deny-paths-outside",
    "coding.deny-paths",
    "infra.deny-other-modules",
    "infra.deny-reading-secrets",
    "support.deny-malformed-mail",
}
MENDED = {
    "the payload one level down": {"coding.deny-force", "data.deny-other-tenants"},
    "every value in a list": SHAPES,
    "every value as text": SHAPES,
}
"""By a way the rules whose complaint is gone with it: a shape that is now right, a field that no worker would find."""


@cache
def refused(name: str) -> list[tuple[JobCase, Decision]]:
    """Some jobs that rules deny or hold, for each such set of rules."""
    found: dict[tuple[str, ...], list[tuple[JobCase, Decision]]] = {}
    for case in cases_of(name):
        decision = decide(together(), case.job, case.now_ms)
        if decision.deciding and effective(decision) not in ALLOWING:
            found.setdefault(decision.deciding, []).append((case, decision))
    return [item for items in found.values() for item in (*items[:4], *items[4:][-4:])]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", STARTERS)
def test_no_way_of_writing_it_lets_a_refused_job_run(name: str, way: str) -> None:
    """Whoever was refused and writes the same in another way is refused or held again."""
    policy = together()
    assert refused(name)
    for case, before in refused(name):
        after = decide(policy, WAYS[way](case.job), case.now_ms)
        if not MENDED.get(way, set()).isdisjoint(before.deciding):
            continue
        assert effective(after) not in ALLOWING, (case.name, before.deciding, case.job.payload)


def asked(topic: str, capability: str | None = None, **more: Any) -> Decision:
    """What all bundles together make of a job."""
    return decide(together(), job(topic, capability=capability, **more))


@pytest.mark.parametrize("amount", [1e300, 2**53 - 1, 50.000001, 5e-324 + 51, "NaN", "Infinity", "-0", "٥", "0x10", {}])
def test_no_amount_slips_through_as_a_small_refund(amount: Any) -> None:
    payload = {"order": "A-1", "amount": amount, "currency": "EUR"}
    assert effective(asked("job.support.refund.create", "support.refund", payload=payload)) not in ALLOWING


def test_a_refund_at_the_limit_runs() -> None:
    """The other side of the test above."""
    payload = {"order": "A-1", "amount": 50, "currency": "EUR"}
    assert effective(asked("job.support.refund.create", "support.refund", payload=payload)) in ALLOWING


def test_one_who_may_refund_cannot_release_twice_as_much_by_one_vote() -> None:
    payload = {"order": "A-1", "amount": 501, "currency": "EUR"}
    held = asked("job.support.refund.create", "support.refund", payload=payload)
    assert [(need.roles, need.quorum) for need in held.approvals] == [(("support-lead",), 2)]


@pytest.mark.parametrize("key", ["command", "sql", "text", "items"])
def test_what_cannot_be_looked_through_says_so_and_stops(key: str) -> None:
    """Under the baseline, in any topic, for whoever asks."""
    for value in ("x" * 300_000, ["x"] * 1001, {f"k{number}": 1 for number in range(1001)}):
        decision = asked("job.code.edit.apply", "code.write", payload={"paths": ["a.py"], key: value})
        assert decision.verdict is Verdict.DENY
        assert "by reference" in decision.reason


def test_a_payload_that_lies_elsewhere_stops_too() -> None:
    """The kernel sees its digest only."""
    away = replace(job("job.code.repo.read", capability="code.read"), payload=None)
    decision = decide(together(), away)
    assert decision.verdict is Verdict.DENY
    assert decision.deciding[0] == "base.deny-an-unreadable-payload"


def test_a_person_is_told_by_the_key_and_not_by_a_label() -> None:
    """Only a key of a person turns the denial of secrets into a question."""
    path = {"path": "docs/a.md"}
    agent = asked("job.file.read", "file.read", payload=path, secrets_present=True, labels={"actor_type": "human"})
    human = asked("job.file.read", "file.read", payload=path, secrets_present=True, actor_type="human")
    assert (agent.verdict, human.verdict) == (Verdict.DENY, Verdict.REQUIRE_APPROVAL)


SHELL = st.text("abls gitpyes-q./~$`;&|<>(){}*?!\\\"'\n\t\0\r\u0435", max_size=12)
SOME = settings(max_examples=300, deadline=None)


@SOME
@given(st.sampled_from(["ls", "git status", "pytest", "pytest -q", "npm test"]), SHELL)
def test_a_command_that_runs_has_nothing_in_it_that_a_shell_would_read(known: str, more: str) -> None:
    for topic, capability in (("job.exec.run", "exec.run"), ("job.code.test.run", "code.run")):
        command = known + more
        decision = asked(topic, capability, labels={"env": "dev"}, payload={"command": command})
        if effective(decision) in ALLOWING:
            assert re.fullmatch(r"[A-Za-z0-9_./ -]+", command)
            assert ".." not in command
            assert " /" not in command


@SOME
@given(st.text("ab./~\\ %\n\0\u2024\uff0e-_", max_size=12))
def test_a_path_that_is_read_or_changed_lies_below(path: str) -> None:
    """As the file system would take it."""
    for decision in (
        asked("job.file.read", "file.read", payload={"path": path}),
        asked("job.code.edit.apply", "code.write", payload={"paths": ["a.py", path]}),
    ):
        if effective(decision) in ALLOWING:
            assert posixpath.normpath(posixpath.join("/work", path)) == f"/work/{path}"


@SOME
@given(st.text('aA@.,;<> "\n\0\u017f\u3002+-', max_size=8), st.sampled_from(["", "@", "a@", ".", "@x.", "@evil"]))
def test_mail_that_goes_by_itself_goes_to_a_known_domain(start: str, middle: str) -> None:
    address = f"{start}{middle}example.com"
    payload = {"to": [address], "subject": "a", "body": "b"}
    if effective(asked("job.support.mail.send", "support.mail", payload=payload)) in ALLOWING:
        local, at, domain = address.partition("@")
        assert (bool(local), at, domain) == (True, "@", "example.com")
        assert address.isascii()


@SOME
@given(st.one_of(st.integers(-(2**53) + 1, 2**53 - 1), st.floats(allow_nan=False, allow_infinity=False), st.text()))
def test_a_refund_that_runs_by_itself_is_small(amount: float | str) -> None:
    payload = {"order": "A-1", "amount": amount, "currency": "EUR"}
    decision = asked("job.support.refund.create", "support.refund", payload=payload)
    small = not isinstance(amount, str) and 0 < amount <= 50
    assert (effective(decision) in ALLOWING) is small


@pytest.mark.parametrize("verb", ["drop", "Drop", "DROP", "dRoP"])
@pytest.mark.parametrize("gap", [" ", "\n", "\t", "/**/", " /* x */ ", "--\n", "\r\n", "\v"])
def test_statements_are_seen_through_gaps(verb: str, gap: str) -> None:
    for key in ("sql", "query", "statement"):
        assert asked("job.any", payload={key: f"{verb}{gap}table a"}).deciding == ("base.deny-losing-tables",)


def test_a_capital_that_folds_to_a_plain_letter_is_no_known_domain() -> None:
    """`ſ` and the sign for kelvin are `s` and `k` to whoever compares without case."""
    for address in ("a@cu\u017ftomer.example", "a@CUSTOMER.EXAMPLE", "a@example.com."):
        payload = {"to": [address], "subject": "a", "body": "b"}
        assert asked("job.support.mail.send", "support.mail", payload=payload).deciding == (
            "support.hold-other-domains",
        )


def test_what_was_released_in_the_window_does_not_run_after_it() -> None:
    """A job is decided again at hand-over, by the time of then."""
    labels = {"env": "prod", "region": "eu-west-1"}
    payload = {**labels, "plan": "a" * 64, "resources": ["vm-1"]}
    destroy = job("job.infra.destroy.run", capability="infra.destroy", labels=labels, payload=payload)
    tuesday = 1_767_693_600_000  # 2026-01-06T10:00:00Z
    held, late = (decide(together(), destroy, tuesday + hours * 3_600_000) for hours in (0, 6))
    assert (held.verdict, late.verdict) == (Verdict.REQUIRE_APPROVAL, Verdict.DENY)
    assert not held.cacheable


@pytest.mark.parametrize("name", NAMES)
def test_a_remediation_leads_to_what_may_run(name: str) -> None:
    """Taken with a payload that fits; a way that is closed for its topic would send an agent round in circles."""
    open_ways: set[tuple[str, str | None, str | None]] = set()
    for case in cases_of(name):
        if effective(decide(together(), case.job, case.now_ms)) in ALLOWING:
            open_ways.add((case.job.topic, case.job.capability, case.job.labels.get("env")))
    for rule in rules_of(name).rules:
        for item in rule.remediations:
            env = (item.labels or {}).get("env")
            found = [
                way
                for way in open_ways
                if item.topic in (None, way[0]) and item.capability in (None, way[1]) and env in (None, way[2])
            ]
            assert found or item.id in HELD_TOO, (rule.id, item.id)


HELD_TOO = {"ask-for-review", "write-to-staging"}
"""Remediations whose job a person releases."""


def _open_topics(rule: Any) -> tuple[str, ...]:
    return rule.match.topics if rule.decision in ALLOWING else ()


@pytest.mark.parametrize("name", STARTERS)
def test_the_topics_that_it_says_can_run_are_those_that_some_rule_lets_run(name: str) -> None:
    """The comment of `bundle.yaml`, which the page of the documentation repeats."""
    said = re.findall(
        r"^#   (job\.[a-z.]+) .*capability ([a-z.]+)", (FOLDER / name / "bundle.yaml").read_text(), re.MULTILINE
    )
    runs = [
        (case.job.topic, case.job.capability)
        for case in cases_of(name)
        if effective(decide(together(name), case.job, case.now_ms)) not in (Verdict.DENY, Verdict.THROTTLE)
    ]
    assert said
    assert set(said) <= set(runs)
    allowed = {topic for rule in rules_of(name).rules for topic in _open_topics(rule)}
    assert allowed <= {topic for topic, _ in said}
