"""What a rule may ask beyond its pattern: the value's group, words near by, a context ahead."""

from __future__ import annotations

import pytest

from holdgate.scan import EngineFailed
from holdgate.scan.engine import PIECE_BYTES, Engine
from holdgate.scan.errors import RulesInvalid
from holdgate.scan.findings import Category, Severity
from holdgate.scan.ruleset import Rule


def _rule(**fields: object) -> Rule:
    given = {"regex": r"\b\d{7}\b", "max_len": 7, **fields}
    return Rule("number", Category.PII, Severity.LOW, **given)  # type: ignore[arg-type]  # fields of a case


def _found(rule: Rule, text: str) -> list[str]:
    return [text[hit.start : hit.end] for hit in Engine([rule]).hits(text.encode("latin-1"))]


@pytest.mark.parametrize(
    ("group", "value"), [(None, "ab"), (0, "key:ab:1234567"), (1, "ab"), (2, "1234567"), (3, "key:ab:1234567")]
)
def test_the_group_of_a_rule_is_the_value(group: int | None, value: str) -> None:
    """Without one the first that took part; one that took no part is the whole match."""
    rule = _rule(regex=r"key:(ab)?:(\d{7})(x)?", max_len=20, group=group)
    assert _found(rule, "a key:ab:1234567 z") == [value]


def test_without_a_group_the_value_is_the_match() -> None:
    """Or the first group that took part."""
    assert _found(_rule(), "id 1234567.") == ["1234567"]
    assert _found(_rule(regex=r"(?:a(\d)|b(\d{7}))"), "b1234567") == ["1234567"]


KEYWORDS = [
    ("badge 1234567", True),
    ("BADGE: 1234567", True),
    ("1234567 is my Badge", True),
    ("1234567", False),
    ("badge" + "." * 9 + "1234567", True),
    ("badge" + "." * 20 + "1234567", False),
    ("1234567" + "." * 9 + "badge", True),
    ("1234567" + "." * 20 + "badge", False),
    ("pass 1234567", True),
]


@pytest.mark.parametrize("before", [0, PIECE_BYTES - 12, PIECE_BYTES - 4, 3 * PIECE_BYTES])
@pytest.mark.parametrize(("text", "found"), KEYWORDS)
def test_a_keyword_must_stand_near(text: str, found: bool, before: int) -> None:
    """In any case of letters, before or behind the match, on either side of a border."""
    rule = _rule(keywords=("badge", "pass"), near=16)
    assert bool(_found(rule, " " * before + text)) is found


def test_a_keyword_near_a_long_match_counts() -> None:
    """Where the words that a piece can hold are not known ahead."""
    rule = _rule(regex=r"<\d+>", max_len=9000, anchor=r"<\d{9}", keywords=("badge",), near=16)
    assert _found(rule, "<" + "1" * 7000 + "> badge")
    assert not _found(rule, "<" + "1" * 7000 + ">" + " " * 30 + "badge")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("born 1234567", True),
        ("born on the 1234567", False),
        ("1234567 born", False),
        ("born" + " " * 40 + "1234567", False),
        ("stillborn 1234567", False),
    ],
)
def test_a_context_must_match_ahead_of_the_value(text: str, found: bool) -> None:
    """Within the bytes that `near` says; its end is where the value begins."""
    rule = _rule(context=r"(?i)(?:^|\W)born\W{1,30}$", near=24)
    assert bool(_found(rule, "x " + text)) is found


def test_a_context_further_off_than_near_does_not_count() -> None:
    """Whatever the pattern would take."""
    rule = _rule(context="born", near=24)
    assert _found(rule, "born" + " " * 20 + "1234567")
    assert not _found(rule, "born" + " " * 21 + "1234567")


def test_stop_words_and_validators_judge_the_value() -> None:
    """What stands around it is not theirs."""
    rule = _rule(regex=r"n=(\d{7})", max_len=9, stop=("^0", "n="))
    assert _found(rule, "n=0234567 n=1234567") == ["1234567"]


def test_a_rule_that_was_rejected_goes_on_behind_what_led_to_it() -> None:
    """The next match may begin within the value that was rejected."""
    rule = _rule(regex=r"k=(\S{3,20})", max_len=22, stop=("k=",))
    assert _found(rule, "k=k=abcdef") == ["abcdef"]


def test_a_word_that_ends_at_the_border_of_pieces_ends_there() -> None:
    """The set sees a byte more ahead."""
    rule = _rule(regex=r"\b-key-\d{4}", max_len=9)
    for before in range(PIECE_BYTES - 8, PIECE_BYTES + 4):
        assert _found(rule, "x" * before + "-key-1234"), before


def test_a_pattern_that_does_not_compile_is_an_error_of_the_scan() -> None:
    """The loading of rules refuses it; who builds rules by hand is told, and no text counts as clean."""
    with pytest.raises(EngineFailed, match="`number`"):
        _found(_rule(regex=r"(?=1)1234567", anchor="123"), "1234567")
    with pytest.raises(RulesInvalid, match="lint the rules"):
        Engine([_rule(regex=r"(?=1)1234567")])
