"""Starter bundles are hard to get around: no other way of writing a refused job lets it run."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdgate.bundles.testing.cases import JobCase
from holdgate.kernel.canonical import canonical_bytes
from holdgate.kernel.records import ALLOWING, Decision, Job, Verdict
from support.starters import FOLDER, NAMES, STARTERS, cases_of, decide, effective, rules_of, together
from support.trust import job


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
