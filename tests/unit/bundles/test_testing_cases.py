"""Files of tests: what is read, how what is given and rows are put together, and what is refused with its line."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdgate.bundles.errors import DocumentInvalid
from holdgate.bundles.testing import cases
from holdgate.bundles.testing.cases import Case, JobCase, OutputCase, load_cases
from holdgate.kernel.clock import parse_rfc3339

DENIED = "expect: {verdict: deny}"


def test_a_case_is_put_over_what_is_given_labels_one_by_one_and_all_else_as_a_whole() -> None:
    case = only(
        """
        now: "2026-01-05T10:00:00Z"
        given:
          {tenant: acme, actor: a, actor_type: service, principals: [ann], topic: job.a, labels: {env: prod, team: x},
           payload: {one: 1}, secrets_present: true, pii_present: true}
        cases:
          - {name: n, job: {topic: job.b, labels: {env: dev}, payload: {two: 2}}, expect: {verdict: deny}}
        """
    )
    assert isinstance(case, JobCase)
    job = case.job
    assert (job.tenant, job.actor, job.actor_type, job.principals) == ("acme", "a", "service", ("ann",))
    assert (job.topic, job.labels, job.payload) == ("job.b", {"env": "dev", "team": "x"}, b'{"two":2}')
    assert job.secrets_present
    assert job.pii_present
    assert case.now_ms == parse_rfc3339("2026-01-05T10:00:00Z")


def test_null_takes_a_field_and_a_label_back_at_every_level() -> None:
    both = load(
        """
        given: {topic: job.a, capability: c, labels: {env: prod, team: x}, secrets_present: true}
        cases:
          - name: n
            job: {labels: {env: null}}
            expect: {verdict: deny}
            each:
              - {job: {capability: null, secrets_present: null}}
              - {job: {labels: {team: null}}}
        """
    )
    first, second = (case.job for case in both if isinstance(case, JobCase))
    assert (first.capability, first.labels, first.secrets_present) == (None, {"team": "x"}, False)
    assert (second.capability, second.labels) == ("c", {})


def test_a_row_goes_over_its_case_and_has_a_name_a_line_and_a_time_of_its_own() -> None:
    rows = load(
        """\
        now: "2026-01-05T10:00:00Z"
        given: {topic: job.a}
        cases:
          - name: elsewhere
            now: "2026-02-05T10:00:00Z"
            expect: {verdict: deny, rules: [r]}
            each:
              - {name: dev, job: {labels: {env: dev}}}
              - {now: "2026-03-05T10:00:00Z", job: {}, expect: {verdict: allow}}
        """
    )
    assert [(case.name, case.line) for case in rows] == [("elsewhere / dev", 8), ("elsewhere / 2", 9)]
    assert [case.expected.verdict for case in rows] == ["deny", "allow"]
    assert [case.expected.rules for case in rows] == [["r"], ["r"]]
    times = [case.now_ms for case in rows if isinstance(case, JobCase)]
    assert times == [parse_rfc3339("2026-02-05T10:00:00Z"), parse_rfc3339("2026-03-05T10:00:00Z")]


def test_a_result_takes_tenant_topic_and_labels_of_what_is_given_and_its_classification_from_a_label() -> None:
    case = only(
        """
        given: {tenant: acme, topic: job.a, capability: c, labels: {classification: secret}}
        cases:
          - name: n
            output: {findings: [{category: pii, severity: low, detector: email}]}
            expect: {verdict: allow, findings: [allow]}
        """
    )
    assert isinstance(case, OutputCase)
    facts = case.facts
    assert (facts.tenant, facts.topic, facts.classification) == ("acme", "job.a", "secret")
    assert facts.findings == (("email", "pii", "low"),)


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("cases: []", 1, "empty"),
        ("given: {topic: job.a}", 1, "required"),
        ("- a", 1, "a mapping with `cases` is expected"),
        ("surprise: 1\ncases:\n  - {name: n, job: {topic: t}, expect: {verdict: deny}}", 1, "an unknown key"),
        ("cases:\n  - {name: n, job: {topic: t}, expect: {verdict: deny}, skip: true}", 2, "an unknown key"),
        ("cases:\n  - {name: n, job: {topic: t}, expect: {verdict: deny, rule: r}}", 2, "an unknown key"),
        ("cases:\n  - name: n\n    job: {topic: t}\n    expect: {}", 4, "required"),
        ("cases:\n  - name: n\n    job: {topic: t}", 2, "required"),
        ("cases:\n  - {job: {topic: t}, expect: {verdict: deny}}", 2, "required"),
        ("cases:\n  - {name: n, expect: {verdict: deny}}", 2, "either `job` or `output` is expected"),
        ("cases:\n  - {name: n, job: {topic: t}, output: {topic: t}, expect: {verdict: deny}}", 2, "either `job` or"),
        ("cases:\n  - name: n\n    job: {topic: t}\n    expect: {verdict: denied}", 4, "an unknown verdict"),
        ("cases:\n  - name: n\n    job: {topic: t}\n    expect:\n      verdict: deny\n      rules:", 6, "no value"),
        ("cases:\n  - name: n\n    job: {topic: t}\n    expect:", 4, "no value"),
        ("cases:\n  - name: n\n    job: {topic: 'a b'}\n    expect: {verdict: deny}", 3, "a token is of letters"),
        (
            "cases:\n  - name: n\n    job:\n      topic: t\n      labls: {}\n    expect: {verdict: deny}",
            5,
            "an unknown key",
        ),
        ("cases:\n  - name: n\n    job: {topic: t, now: '2026-01-01T00:00:00Z'}\n    " + DENIED, 3, "an unknown key"),
        ("cases:\n  - name: n\n    job: {topic: t, meta: {capability: c}}\n    " + DENIED, 3, "an unknown key"),
        ("cases:\n  - name: n\n    job: {topic: t, secrets_present: 1}\n    " + DENIED, 3, "`true` or `false`"),
        ("cases:\n  - name: n\n    job: {topic: t, pii_present: 1}\n    " + DENIED, 3, "`true` or `false`"),
        ("given: {topics: t}\ncases:\n  - {name: n, job: {topic: t}, expect: {verdict: deny}}", 1, "an unknown key"),
        (
            "given: {labels: 5}\ncases:\n  - {name: n, job: {topic: t, labels: {}}, expect: {verdict: deny}}",
            1,
            "an object is expected",
        ),
        ("given: {now: 5}\ncases:\n  - {name: n, output: {topic: t}, expect: {verdict: allow}}", 1, "an unknown key"),
        ("given: {actor: ' '}\ncases:\n  - {name: n, job: {topic: t}, expect: {verdict: deny}}", 1, "1 to 128 letters"),
        ("now: soon\ncases:\n  - {name: n, job: {topic: t}, expect: {verdict: deny}}", 1, "a time such as"),
        ("cases:\n  - name: n\n    now: soon\n    job: {topic: t}\n    expect: {verdict: deny}", 3, "a time such as"),
        (
            "cases:\n  - name: n\n    output: {topic: t, capability: c}\n    expect: {verdict: allow}",
            3,
            "an unknown key",
        ),
        (
            "cases:\n  - name: n\n    output: {topic: t, findings: [{category: c}]}\n    expect: {verdict: allow}",
            3,
            "required",
        ),
        ("cases:\n  - name: n\n    output: {topic: t}\n    expect: {verdict: deny}", 4, "an unknown verdict"),
        ("cases:\n  - name: n\n    each: []\n    expect: {verdict: deny}", 3, "empty"),
        ('cases:\n  - {name: "a\\nb", job: {topic: t}, expect: {verdict: deny}}', 2, "one line of 1 to 200"),
        (
            (
                "cases:\n  - name: n\n    job: {topic: t}\n    expect:\n      verdict: require_approval\n"
                "      approvers: [{quorum: 1}, {quorum: 2}]"
            ),
            4,
            "names its `rule`",
        ),
        *(
            (f"cases:\n  - name: n\n    job: {{topic: t}}\n    expect:\n      verdict: deny\n      {said}", 6, "empty")
            for said in ("constraints: {}", "approvers: {}", "approvers: [{rule: r}, {}]", "throttle: {}")
        ),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line_and_never_left_out(text: str, line: int, why: str) -> None:
    with pytest.raises(DocumentInvalid) as refused:
        load_cases("tests.yaml", text.encode())
    assert {found[0] for found in refused.value.found} == {line}
    assert why in refused.value.found[0][2]


def test_two_cases_of_one_name_are_refused() -> None:
    text = "given: {topic: t}\ncases:\n  - {name: n, job: {}, expect: {verdict: deny}}\n"
    with pytest.raises(DocumentInvalid, match="a second case `n`"):
        load_cases("tests.yaml", (text + text.splitlines()[-1]).encode())


def test_one_case_more_than_a_file_may_have_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows count: the bound is of cases, however they are written."""
    text = "given: {topic: t}\ncases:\n  - {name: n, expect: {verdict: deny}, each: [%s]}"
    monkeypatch.setattr(cases, "CASES_MAX", 3)
    assert len(load_cases("t", (text % "{job: {}}, {job: {}}, {job: {}}").encode())) == 3
    with pytest.raises(DocumentInvalid, match="more than 3 cases"):
        load_cases("t", (text % "{job: {}}, {job: {}}, {job: {}}, {job: {}}").encode())


def test_a_wrong_word_in_what_is_given_is_told_once_however_many_cases_there_are() -> None:
    rows = "\n".join(f"  - {{name: n{number}, job: {{topic: t}}, expect: {{verdict: deny}}}}" for number in range(500))
    with pytest.raises(DocumentInvalid) as refused:
        load_cases("tests.yaml", f"given: {{priority: urgent}}\ncases:\n{rows}".encode())
    assert [found[0] for found in refused.value.found] == [1]


def test_only_so_many_problems_are_told() -> None:
    rows = "\n".join(f"  - {{name: n{number}, job: {{}}, expect: {{verdict: deny}}}}" for number in range(500))
    with pytest.raises(DocumentInvalid) as refused:
        load_cases("tests.yaml", f"cases:\n{rows}".encode())
    assert len(refused.value.found) == cases.PROBLEMS_MAX


def load(text: str) -> list[Case]:
    return load_cases("tests.yaml", text.encode())


def only(text: str) -> Case:
    (case,) = load(text)
    return case


KEYS = st.sampled_from(
    ["now", "given", "cases", "name", "job", "output", "expect", "each", "verdict", "labels", "topic"]
)
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.sampled_from(["deny", "job.a"]))
TREES = st.recursive(LEAVES, lambda part: st.one_of(st.lists(part), st.dictionaries(KEYS, part)), max_leaves=30)
FILES = st.fixed_dictionaries(
    {"cases": st.lists(st.dictionaries(KEYS, TREES) | TREES)}, optional={"given": TREES, "now": TREES}
)


@settings(deadline=None)
@given(value=TREES | FILES)
def test_whatever_a_file_holds_it_is_cases_or_refused(value: object) -> None:
    """JSON is YAML: what is not refused has cases, and every case something to expect."""
    found: list[Case] | None
    try:
        found = load_cases("tests.yaml", json.dumps(value).encode())
    except DocumentInvalid:
        found = None
    assert found is None or (found and all(case.expected.verdict for case in found))
