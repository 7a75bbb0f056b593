"""The linter of rules says what is wrong with a detector, in which field, and what to do."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from holdgate.scan.errors import RulesInvalid
from holdgate.scan.examples import made
from holdgate.scan.lint import Problem, lint_rules
from holdgate.scan.ruleset import Examples, Rule, parse_rule, parse_rules

FIELDS = {
    "id": "custom.acme",
    "category": "secret",
    "severity": "high",
    "regex": r"\b(acme_[a-f0-9]{20})\b",
    "examples": {"true": ["key = %{acme_[a-f0-9]{20}}"], "false": ["acme_%{x{20}}"]},
}
SOUND = parse_rule(FIELDS, "test")


def problems(*rules: Rule, builtin: bool = False) -> list[Problem]:
    """What the linter says of `rules`."""
    return lint_rules(rules, Random(1), builtin=builtin)


def test_a_sound_rule_has_no_problem() -> None:
    """Nor is a link asked of a custom one."""
    assert problems(SOUND) == []


def examples(true: str = "", false: str = "") -> Examples:
    """One of each, where given."""
    return Examples((true,) if true else SOUND.examples.true, (false,) if false else SOUND.examples.false)


BROKEN = [
    (replace(SOUND, regex=r"\b(acme_[a-f0-9]+)\b"), "regex", "repeat without a bound"),
    (replace(SOUND, regex=r"\b(acme_[a-f0-9]{20})(?=x)"), "regex", "look-around"),
    (replace(SOUND, regex=r"(acme)_\1[a-f0-9]{20}"), "regex", "reference"),
    (replace(SOUND, regex=r"acme_([a-f0-9]{20}"), "regex", "read"),
    (replace(SOUND, unless=r"acme(?!x)"), "unless", "does not compile"),
    (replace(SOUND, max_len=10), "max_len", "25 bytes"),
    (replace(SOUND, anchor=r"\bacme_[a-f0-9]{300}"), "anchor", "256"),
    (replace(SOUND, anchor=r"\bacme-"), "examples", "the `anchor` does not match"),
    (replace(SOUND, examples=examples(true="%{acme_[a-f0-9]{10}}")), "examples", "the `regex` does not match"),
    (replace(SOUND, entropy=7.0), "examples", "`entropy`"),
    (replace(SOUND, keywords=("vault",)), "examples", "`keywords`"),
    (replace(SOUND, examples=examples(false="%{acme_[a-f0-9]{20}}")), "examples", "must not be"),
    (replace(SOUND, examples=examples(true="%{@nobody x}")), "examples", "no maker `nobody`"),
    (
        replace(SOUND, regex=r"acme_[a-f0-9]{20}$", examples=examples(true="%{acme_[a-f0-9]{20}}\n")),
        "regex",
        "differently",
    ),
    (replace(SOUND, examples=Examples()), "examples", "has none"),
    (replace(SOUND, regex=r"(?:the|and|of) [a-z]{2,9}", max_len=13), "regex", "ordinary text"),
]


@pytest.mark.parametrize(("rule", "field", "says"), BROKEN, ids=[f"{field}: {says}" for _, field, says in BROKEN])
def test_what_is_wrong_is_said_with_its_field(rule: Rule, field: str, says: str) -> None:
    """Each guard of the linter alone."""
    found = problems(rule)
    assert any(problem.field == field and says in problem.says for problem in found), found
    assert all(problem.rule == rule.id for problem in found)


def test_two_rules_of_one_id_are_told() -> None:
    """A finding names its rule by it."""
    assert [problem.field for problem in problems(SOUND, SOUND)] == ["id"]


def test_a_built_in_secret_needs_a_link_and_an_example() -> None:
    """Formats are written from documentation."""
    assert [problem.field for problem in problems(SOUND, builtin=True)] == ["docs"]
    (problem,) = problems(replace(SOUND, docs="https://docs.example.com", examples=Examples()), builtin=True)
    assert (problem.field, problem.level) == ("examples", "error")


def test_a_broken_rule_does_not_hide_the_problems_of_others() -> None:
    """All at once, in the order of the rules."""
    broken = replace(SOUND, id="custom.first", regex="(")
    silent = replace(SOUND, id="custom.second", entropy=7.0)
    assert [problem.rule for problem in problems(broken, silent)] == ["custom.first", "custom.second"]


def test_examples_do_not_depend_on_their_neighbours() -> None:
    """A new rule must not make the examples of another other ones."""
    picky = replace(SOUND, id="custom.picky", stop=("[a-f0-9]{4}0",))
    alone = problems(picky)
    assert [problem for problem in problems(SOUND, picky) if problem.rule == picky.id] == alone


WRONG_FIELDS = [
    ({"colour": "red"}, "`colour` is no field"),
    ({"severity": "huge"}, "severities: "),
    ({"category": "secrets"}, "categories: "),
    ({"max_len": "20"}, "`max_len` must be of the type int"),
    ({"shadow": 1}, "`shadow` must be of the type bool"),
    ({"entropy": True}, "`entropy` must be of the type float"),
    ({"group": 2}, "`group` is 2, and `regex` has 1"),
    ({"near": 1000}, "`near` must be"),
    ({"before": 65}, "`before` must be"),
    ({"entropy": 9}, "`entropy` must be 0 to"),
    ({"keywords": "acme"}, "`keywords` must be of the type list"),
    ({"stop": [1]}, "each of `stop`"),
    ({"examples": {"yes": []}}, "`examples` holds the lists"),
    ({"validator": "magic"}, "no validator `magic`"),
    ({"regex": "("}, "does not compile"),
    ({"regex": "acme_[a-z]*"}, "no longest match"),
    ({"regex": "acme_[a-z]{300}"}, "needs an `anchor`"),
    ({"id": "No Spaces"}, "`id` is lower-case"),
    ({"named": {"words": "acme", "value": "[a-f0-9]{20}"}}, "`named` stands for"),
]


@pytest.mark.parametrize(("change", "says"), WRONG_FIELDS, ids=[says for _, says in WRONG_FIELDS])
def test_a_rule_is_read_strictly(change: dict[str, object], says: str) -> None:
    """The message names the place, the rule and the field."""
    with pytest.raises(RulesInvalid, match="`file\\[0\\]`") as caught:
        parse_rule(FIELDS | change, "file[0]")
    assert says in str(caught.value)


def test_a_missing_field_is_named() -> None:
    """And a file that is none is told as such."""
    with pytest.raises(RulesInvalid, match="`severity` is missing"):
        parse_rule({"id": "a", "category": "secret", "regex": "abc"}, "file[0]")
    with pytest.raises(RulesInvalid, match="needs `family`"):
        parse_rules("- a\n- b\n", "file")


def test_a_named_value_has_words_and_a_value() -> None:
    """Both with bounds; anchor, regex and length are written from them."""
    named = {key: value for key, value in FIELDS.items() if key not in {"regex", "examples"}}
    rule = parse_rule(named | {"named": {"words": "acme", "value": "[a-f0-9]{20}"}}, "file[0]")
    assert rule.anchor is not None
    assert rule.group == 1
    assert rule.max_len > 20
    for wrong in ({"words": "acme"}, {"words": "acme+", "value": "x"}, {"words": "acme", "value": "[a-f0-9]+"}):
        with pytest.raises(RulesInvalid, match="`named`"):
            parse_rule(named | {"named": wrong}, "file[0]")


def test_the_same_chance_makes_the_same_example() -> None:
    """So that a failure can be looked at again."""
    template = "%{[A-Z]{3}-(?:a|b)[^x]\\d{4}} %{@crc32 ghp_} %{@jwt} %{@luhn 4 16}"
    assert made(template, Random(4)) == made(template, Random(4)) != made(template, Random(5))


@pytest.mark.parametrize("template", ["%{abc", "%{(?=x)}", "%{(a)\\1}", "%{[}", "%{[a]{1000}}%{[a]{1000}}" * 40])
def test_a_template_that_cannot_be_made_is_refused(template: str) -> None:
    """Unclosed, look-around, a reference, no pattern, too long."""
    with pytest.raises(RulesInvalid):
        made(template, Random(1))
