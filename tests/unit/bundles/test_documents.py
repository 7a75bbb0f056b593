"""Strict YAML: each way of writing one thing and meaning another is refused, with file, line and reason."""

from __future__ import annotations

import pytest

from holdgate.bundles.documents import DEPTH_MAX, load_rules_file, parse_document
from holdgate.bundles.errors import DocumentInvalid
from holdgate.kernel.canonical import Json
from holdgate.kernel.errors import PolicyInvalid

READ: list[tuple[bytes, Json]] = [
    (b"a: b", {"a": "b"}),
    (b'{"a": [1, true, null, "x"]}', {"a": [1, True, None, "x"]}),
    (b"a: 1\nb: -7\nc: 0\nd: 1.5\n", {"a": 1, "b": -7, "c": 0, "d": 1.5}),
    (b"a: true\nb: false\nc: null\nd: ~\ne:\n", {"a": True, "b": False, "c": None, "d": None, "e": None}),
    (b"a: 'yes'\nb: \"0x1F\"\nc: '1'", {"a": "yes", "b": "0x1F", "c": "1"}),
    (b"a: 4h\nb: 30s\nc: job.deploy.*\n", {"a": "4h", "b": "30s", "c": "job.deploy.*"}),
    (b"a: 2026-01-02\nb: 2026-01-02T03:04:05Z", {"a": "2026-01-02", "b": "2026-01-02T03:04:05Z"}),
    (b"a: |\n  two\n  lines\nb: >\n  one\n  line\n", {"a": "two\nlines\n", "b": "one line\n"}),
    ("a: größe 東京".encode(), {"a": "größe 東京"}),
    (b"\xef\xbb\xbfa: 1", {"a": 1}),
    (b"---\na: 1\n...\n", {"a": 1}),
    (b"# only\na: b # comment\n", {"a": "b"}),
    (b"a: 9007199254740991", {"a": 9007199254740991}),
    (b"[" * DEPTH_MAX + b"]" * DEPTH_MAX, None),
]
REFUSED: list[tuple[bytes, int, str]] = [
    # (bytes, line, part of the reason)
    (b"", 1, "empty"),
    (b"# nothing\n", 1, "empty"),
    (b"a: 1\nb: 2\na: 3\n", 3, "this key stands twice"),
    (b'{a: 1, "a": 2}', 1, "this key stands twice"),
    (b"x:\n  - a: 1\n    a: 2\n", 3, "this key stands twice"),
    (b"a: &x 1\n", 1, "anchors and aliases"),
    (b"a: 1\nb: *x\n", 2, "anchors and aliases"),
    (b"a: &a [x]\nb: &b [*a,*a]\nc: [*b,*b]\n", 1, "anchors and aliases"),
    (b"&x a: 1", 1, "anchors and aliases"),
    (b"<<: {a: 1}", 1, "more than one way"),
    (b"a: !!str 1", 1, "tags"),
    (b"a: !x y", 1, "tags"),
    (b"a: ! y", 1, "tags"),
    (b"a: !!python/object/apply:os.system [id]", 1, "tags"),
    (b"!!map {a: 1}", 1, "tags"),
    (b"%YAML 1.1\n---\na: 1", 1, "directive"),
    (b"%TAG ! tag:x:\n---\na: 1", 1, "directive"),
    (b"--- a\n--- b", 2, "more than one document"),
    (b"a: yes", 1, "more than one way"),
    (b"a: No", 1, "more than one way"),
    (b"a: off", 1, "more than one way"),
    (b"a: True", 1, "more than one way"),
    (b"a: NULL", 1, "more than one way"),
    (b"a: 0x1F", 1, "more than one way"),
    (b"a: 017", 1, "more than one way"),
    (b"a: 1_000", 1, "more than one way"),
    (b"a: 1:30", 1, "more than one way"),
    (b"a: 1e5", 1, "more than one way"),
    (b"a: .nan", 1, "write one in digits"),
    (b"a: -.inf", 1, "write one in digits"),
    (b"a: +1", 1, "more than one way"),
    (b"a: 1.", 1, "more than one way"),
    (b"a: =", 1, "more than one way"),
    (b"a: 9007199254740992", 1, "9007199254740991 is the largest"),
    (b"on: 1", 1, "more than one way"),
    (b"1: 2", 1, "no text"),
    (b"true: 2", 1, "no text"),
    (b"null: 2", 1, "no text"),
    (b"? [a]\n: b", 1, "no text"),
    (b"? {a: b}\n: c", 1, "no text"),
    (b"a: 1\nb: \xff\xfe", 2, "not UTF-8"),
    ("a: 1".encode("utf-16"), 1, "not UTF-8"),
    (b"a: \xed\xa0\x80", 1, "not UTF-8"),
    (b'a: "\\ud800"', 1, "not YAML"),
    (b"a: \x00", 1, "not YAML"),
    (b"a: \x07", 1, "not YAML"),
    (b"a: [1]]", 1, "not YAML"),
    (b"a: b: c", 1, "not YAML"),
    (b"a:\n\t- b", 2, "not YAML"),
    (b"- a\nb: c", 2, "not YAML"),
    (b"[" * (DEPTH_MAX + 1) + b"]" * (DEPTH_MAX + 1), 1, "nested deeper"),
    (b"[" * 100_000, 1, "nested deeper"),
    (b"{a: " * 100_000, 1, "nested deeper"),
]


@pytest.mark.parametrize(("data", "expected"), READ)
def test_plain_yaml_is_read(data: bytes, expected: Json) -> None:
    document = parse_document("file.yaml", data)
    if expected is not None:
        assert document.data == expected


@pytest.mark.parametrize(("data", "line", "reason"), REFUSED)
def test_yaml_that_can_be_misread_is_refused_with_its_line(data: bytes, line: int, reason: str) -> None:
    with pytest.raises(DocumentInvalid) as refused:
        parse_document("file.yaml", data)
    ((where, _, why),) = refused.value.found
    assert where == line
    assert reason in why
    assert str(refused.value).startswith(f"file.yaml:{line}: ")


def test_a_word_that_both_versions_of_yaml_take_for_text_or_a_number_is_text() -> None:
    """YAML 1.2 reads `0o17` as 15; here nothing but plain decimal is a number, and no rule takes this text."""
    assert parse_document("file.yaml", b"a: 0o17").data == {"a": "0o17"}


def test_a_file_that_is_too_large_is_refused_before_it_is_read() -> None:
    with pytest.raises(DocumentInvalid, match="larger than 10 bytes"):
        parse_document("file.yaml", b"a: " + b"b" * 20, bytes_max=10)


RULES = b"""\
# Rules of the team.
rules:
  - id: first
    decision: deny
    reason: "no"
    match:
      topics: ["job.a", "job..b"]
      lables: {env: prod}
  - id: second
    decision: perhaps
    reason: "x"
    when: "job.payload.amount >"
  - id: first
    decision: allow
    match: {tenants: [a]}
"""


def test_each_problem_of_a_rules_file_has_its_line() -> None:
    with pytest.raises(DocumentInvalid) as refused:
        load_rules_file("team.yaml", RULES, "team")
    assert isinstance(refused.value, PolicyInvalid)
    lines = str(refused.value).split("\n")
    assert [line.rsplit(": ", 1)[0].split(": ")[0] for line in lines] == [
        "team.yaml:7",
        "team.yaml:8",
        "team.yaml:10",
        "team.yaml:12",
        "team.yaml:13",
    ]
    assert "rules.0.match.topics.1: an empty token" in lines[0]
    assert "rules.0.match.lables: an unknown key" in lines[1]
    assert "rules.1.decision: an unknown decision" in lines[2]
    assert "rules.1.when: at 1:" in lines[3]
    assert "rules.2.reason: required" in lines[4]
    assert all(
        f"line {line.split(':')[1]}: " in why for line, (_, why) in zip(lines, refused.value.problems, strict=True)
    )


def test_a_key_without_a_value_does_not_widen_a_rule() -> None:
    with pytest.raises(DocumentInvalid, match=r"r.yaml:5: rules.0.match: no value"):
        load_rules_file("r.yaml", b"rules:\n- id: a\n  decision: allow\n  reason: x\n  match:\n", "b")


@pytest.mark.parametrize("data", [b"- a", b"a", b"7"])
def test_a_rules_file_that_is_no_mapping_is_refused(data: bytes) -> None:
    with pytest.raises(DocumentInvalid, match="a mapping with `rules`"):
        load_rules_file("r.yaml", data, "b")


def test_rules_are_loaded_in_their_order() -> None:
    data = b"rules:\n- {id: z, decision: allow, reason: x}\n- {id: a, decision: deny, reason: y}\n"
    assert [rule.id for rule in load_rules_file("r.yaml", data, "b").rules] == ["z", "a"]
