"""Changes of an expression: which there are, that strings stay, and that the job of a hint is answered otherwise."""

from __future__ import annotations

import re
from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from holdgate.bundles.testing.expressions import edits
from holdgate.kernel.conditions import Context, parse_condition
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import ActorId, JobId, Tenant
from holdgate.kernel.jobform import Identity, job_from_form

N = "job.payload.n"


@pytest.mark.parametrize(
    ("source", "changed"),
    [
        ("job.payload.ok", []),
        ("!job.payload.a.matches(r'[0-9]{3}') // 5 < 6 && 7", []),
        ("n == 'a'", ["n != 'a'"]),
        ("n != 'a'", ["n == 'a'"]),
        ("n < 5", ["n < 6", "n < 4", "n < 50", "n <= 5"]),
        ("n >= 0", ["n >= 1", "n >= -1", "n >= 10", "n > 0"]),
        ("n <= -5", ["n <= -4", "n <= -6", "n <= 5", "n < -5"]),
        ("n > 0x0F", ["n > 16", "n > 14", "n > 150", "n >= 0x0F"]),
        ("n > 7u", ["n > 8u", "n > 6u", "n > 70u", "n >= 7u"]),
        ("n > 0.5", ["n > 0.6", "n > 0.4", "n > 5.0", "n >= 0.5"]),
        ("n > .25", ["n > 0.26", "n > 0.24", "n > 2.50", "n >= .25"]),
        ("n > 1e3", ["n > 1001.0", "n > 999.0", "n > 10000.0", "n >= 1e3"]),
        ("n > 1e300", ["n >= 1e300"]),
        ("n > 1e-300", ["n >= 1e-300"]),
        ("n > 5.0000000000000000000000000001", ["n >= 5.0000000000000000000000000001"]),
        ("a-1 in [2]", ["a-2 in [2]", "a-0 in [2]", "a-11 in [2]", "a-1 in [3]", "a-1 in [1]", "a-1 in [20]"]),
        ("a[0]", ["a[1]", "a[-1]", "a[10]"]),
        ("a && b", ["a || b", "b", "a"]),
        (
            "a || b && c",
            ["a && b && c", "a || b || c", "b && c", "a", "a || c", "a || b"],
        ),
        ("!(a && b)", ["!(a || b)", "!( b)", "!(a )"]),
        ("l.exists(x, x || y)", ["l.exists(x, x && y)", "l.exists(x, y)", "l.exists(x, x )"]),
        ("a ? b && c : d || e", None),
        ("a || a", ["a && a", "a"]),
    ],
)
def test_every_change_of_an_expression(source: str, changed: list[str] | None) -> None:
    if changed is None:
        changed = [
            "a ? b || c : d || e",
            "a ? b && c : d && e",
            "a ? c : d || e",
            "a ? b : d || e",
            "a ? b && c : e",
            "a ? b && c : d",
        ]
    made = [edit.source for edit in edits(source)]
    assert sorted(map(squeezed, made)) == sorted(map(squeezed, changed))
    assert len(set(made)) == len(made)


def squeezed(text: str) -> str:
    return re.sub(r"\s*([()])\s*", r"\1", " ".join(text.split()))


PARTS = st.lists(st.sampled_from([*"'\"\\ 7<=&|ru/n`#.-", "&&", "||", "==", "// 5", "x > 5", '"""', "'''"]), max_size=8)
QUOTES = ["'", '"', "'''", '"""']


@given(parts=PARTS, quote=st.sampled_from(QUOTES), prefix=st.sampled_from(["", "r", "R"]))
@example(parts=["\\", "'", " x > 5"], quote="'", prefix="")
@example(parts=["\\"], quote="'", prefix="r")
@example(parts=["\\", '"', "&&", "5"], quote='"""', prefix="")
def test_nothing_in_a_string_is_changed_however_it_is_quoted(parts: list[str], quote: str, prefix: str) -> None:
    """Whatever the library takes for one string is one here."""
    literal = f"{prefix}{quote}{''.join(parts)}{quote}"
    source = f"{literal} == job.actor && {N} <= 7"
    if not is_one_string(literal):
        return
    plain = [edit.source.replace("'x'", literal) for edit in edits(f"'x' == job.actor && {N} <= 7")]
    assert [edit.source for edit in edits(source)] == plain


def is_one_string(literal: str) -> bool:
    """Whether the library takes it for one: neither for several, nor for a string and a comment."""
    try:
        parse_condition(f"{literal}.size() >= 0")
        return answer(f"type({literal}) == string", 0) is True
    except InvalidInput:
        return False


@pytest.mark.parametrize(
    "literal",
    [
        "'it\\'s 5 < 6 && 7'",
        '"say \\"5\\" < 6 && 7"',
        "'ends with \\\\'",
        r"r'\d{3} < \.'",
        r'R"\d{3} < \."',
        '"""a "5" && 6"""',
        "r'''it's 5 > 4'''",
        "'''it's 5\n> 4'''",
        'r"""a "5" && 6"""',
        "'' ",
        "''''''",
    ],
)
def test_strings_that_end_late_are_read_to_their_end(literal: str) -> None:
    assert is_one_string(literal)
    assert [edit.source for edit in edits(f"{literal} == job.actor")] == [f"{literal} != job.actor"]


def test_a_raw_string_ends_with_its_first_quote() -> None:
    assert [edit.source for edit in edits(r"r'5\' == a")] == [r"r'5\' != a"]


def test_a_comment_ends_with_its_line() -> None:
    assert [edit.source for edit in edits(f"true // {N} < 5 && 6\n && a")][:1] == [f"true // {N} < 5 && 6\n || a"]


@pytest.mark.parametrize("sign", ["<", "<=", ">", ">=", "==", "!="])
@pytest.mark.parametrize("number", ["50", "-3", "0", "1", "2.5", "-0.1"])
def test_at_the_value_of_the_hint_the_changed_expression_answers_otherwise(sign: str, number: str) -> None:
    for source, before in product((f"{N} {sign} {number}", f"{number} {sign} {N}"), ("", "-1000000 != 5 && ")):
        told = [edit for edit in edits(before + source) if N in edit.told_by and "equal" not in edit.told_by]
        steps = [edit for edit in told if f"with `{N}` at " in edit.told_by]
        assert len(steps) == 3
        for edit in steps:
            value = float(edit.told_by.removeprefix(f"with `{N}` at "))
            assert answer(before + source, value) != answer(edit.source, value), edit


@pytest.mark.parametrize("sign", ["<", "<=", ">", ">=", "==", "!="])
def test_where_both_sides_are_equal_the_other_comparison_answers_otherwise(sign: str) -> None:
    (edit,) = (edit for edit in edits(f"{N} {sign} 4") if "equal" in edit.told_by)
    assert edit.told_by == f"with `{N}` equal to `4`"
    assert answer(f"{N} {sign} 4", 4) != answer(edit.source, 4)


def test_a_hint_names_what_a_number_stands_in() -> None:
    hints = {edit.change: edit.told_by for edit in edits("size(job.payload.a[1]) < 5 || now.getHours() in [2]")}
    assert hints["`5` turned into `6` (character 26)"] == "with `size(job.payload.a[1])` at 5"
    assert hints["`1` turned into `2` (character 20)"] == "for which it matters that `1` is not `2`"
    assert hints["`2` turned into `3` (character 50)"] == "for which it matters that `2` is not `3`"
    assert hints["`||` turned into `&&`, after `5` (character 28)"] == "for which only one side of it holds"
    assert hints["`size(job.payload.a[1]) < 5` dropped (character 1)"] == (
        "for which only `size(job.payload.a[1]) < 5` is true"
    )


def test_a_number_that_is_only_part_of_a_side_is_not_told_as_its_bound() -> None:
    told = {edit.told_by for edit in edits(f"{N} + 1 < 5") if edit.change.startswith("`1`")}
    assert told == {f"for which it matters that `1` is not `{other}`" for other in (2, 0, 11)}


def test_a_long_part_is_told_in_short() -> None:
    long = "job.payload.a == '" + "x" * 100 + "'"
    told = [edit.change for edit in edits(f"{long} &&\n {N}") if "dropped" in edit.change]
    assert told[0] == f"`{long[:59]}…` dropped (character 1)"


@given(st.text(alphabet="ab()[]{}?:,.&|<>=!-'\"\\/ \n0159xeEuUrR`", max_size=40))
@example(")) && a")
@example("(a && ")
@example("&& ||")
@example("1e99999999999999999999")
def test_any_text_has_changes_that_are_other_texts(text: str) -> None:
    """Whether or not it is an expression."""
    made = [edit.source for edit in edits(text)]
    assert text not in made
    assert len(set(made)) == len(made)


def answer(source: str, value: float) -> bool | str:
    identity = Identity(Tenant("t"), ActorId("a"))
    job = job_from_form(
        {"topic": "t", "payload": {"n": value}},
        identity=identity,
        job_id=JobId("j"),
        now_ms=0,
        trace_id="",
        secrets_present=False,
        pii_present=False,
    )
    return Context(job, 0).test(parse_condition(source))
