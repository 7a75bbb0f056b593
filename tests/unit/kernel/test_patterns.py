"""Patterns of detectors: what is refused before any text is looked at."""

from __future__ import annotations

import pytest

from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.patterns import (
    ANCHOR_BYTES_MAX,
    check_pattern,
    compiled,
    longest,
    pattern_problems,
    shortest,
    unbounded,
)

REFUSED = {
    "empty": ("", "printable ASCII"),
    "too long": ("a" * 1001, "printable ASCII"),
    "other letters": ("né{1,2}ant", "printable ASCII"),
    "a line break": ("one\ntwo", "printable ASCII"),
    "does not parse": ("(abc", "can be read"),
    "a doubtful set": ("[[:alpha:]]{3}", "can be read"),
    "only RE2 knows it": (r"\pL{3}", "can be read"),
    "only `re` knows it": (r"abc\Z", "RE2"),
    "no bound": ("ab+c", "without a bound"),
    "no bound below": ("a{3,}", "without a bound"),
    "no bound deep inside": ("(?:x(?:ab*|cd))e", "without a bound"),
    "ahead": ("abc(?=d)", "look-around"),
    "behind": ("(?<!a)bcd", "look-around"),
    "a reference": (r"(abc)\1", "reference"),
    "a named reference": ("(?P<a>abc)(?P=a)", "reference"),
    "a condition": ("(a)?b(?(1)c|d)", "reference"),
    "atomic": ("(?>abc)", "atomic"),
    "possessive": ("a{1,3}+bc", "possessive"),
    "a repeat of repeats": ("(?:a{1,100}){1,100}", "RE2"),
    "a repeat that is too large": ("a{1,1001}", "RE2"),
    "large once compiled": ("(?:" + "|".join(f"{letter}{{1,1000}}" for letter in "abcdefghijkl") + ")", "too large"),
    "deeply nested": ("(" * 65 + "abc" + ")" * 65, "groups"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_pattern_that_cannot_be_looked_with_is_refused_with_the_reason(case: str) -> None:
    """Fail closed: what one of the engines would read otherwise, or without an end, never gets in."""
    pattern, reason = REFUSED[case]
    with pytest.raises(InvalidInput, match=reason):
        check_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "least", "most"),
    [
        (r"\bEMP-\d{6}\b", 10, 10),
        ("(?i:acme)[_-]?[0-9]{4,8}", 8, 13),
        ("a{0,4}(?:b|cde)", 1, 7),
        ("(?P<value>abc)", 3, 3),
    ],
)
def test_lengths_of_a_match_are_known(pattern: str, least: int, most: int) -> None:
    """Of what passes; a pattern without a bound has no longest match."""
    check_pattern(pattern)
    assert (shortest(pattern), longest(pattern), unbounded(pattern)) == (least, most, False)
    assert longest(pattern + "x*") is None
    assert longest("(") is None
    assert shortest("(") is None
    assert compiled(pattern).programsize > 0


PROBLEMS = {
    "max_len is less than a match": ({"regex": "a{1,40}bc", "max_len": 41}, ["max_len"]),
    "max_len is nothing": ({"regex": "abc", "max_len": 0}, ["max_len", "max_len"]),
    "max_len beyond what is looked at": ({"regex": "abc", "max_len": 16385}, ["max_len"]),
    "before": ({"regex": "abc", "max_len": 3, "before": 65}, ["before"]),
    "near": ({"regex": "abc", "max_len": 3, "near": 257}, ["near"]),
    "long without an anchor": ({"regex": f"abc.{{1,{ANCHOR_BYTES_MAX}}}", "max_len": 999}, ["regex"]),
    "a long anchor": ({"regex": "abc", "max_len": 3, "anchor": "ab.{1,300}"}, ["anchor"]),
    "in every text": ({"regex": r"\d{1,9}", "max_len": 9}, ["regex"]),
    "an anchor in every text": ({"regex": "abcd", "max_len": 4, "anchor": "ab"}, ["anchor"]),
    "no such group": ({"regex": "(a)bc", "max_len": 3, "group": 2}, ["group"]),
    "a group below": ({"regex": "(a)bc", "max_len": 3, "group": -1}, ["group"]),
    "a long context": ({"regex": "abc", "max_len": 3, "context": "x{1,65}", "near": 64}, ["context"]),
    "each pattern by itself": (
        {"regex": "a*", "max_len": 3, "anchor": "b+", "context": "(?=c)", "stop": ("ok", "d(")},
        ["regex", "anchor", "context", "stop"],
    ),
    "nothing": ({"regex": "abc.{1,300}", "max_len": 303, "anchor": "abc", "context": "id", "stop": ("^x",)}, []),
}


@pytest.mark.parametrize("case", PROBLEMS)
def test_fields_of_a_rule_must_fit_each_other(case: str) -> None:
    """Every problem is named by its field."""
    fields, wanted = PROBLEMS[case]
    assert [name for name, _ in pattern_problems(**fields)] == wanted  # type: ignore[arg-type]
