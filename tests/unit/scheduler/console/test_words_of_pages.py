"""What pages say of a refused form, and names in sentences of ours."""

from __future__ import annotations

import pytest

from holdgate.scheduler.console.advice import advice_of
from holdgate.scheduler.console.render import ticked
from holdgate.scheduler.console.visit import ApiProblem


def wrong(field: str) -> ApiProblem:
    """A refusal of one field."""
    said = {"field": field, "detail": "a time such as `2026-01-02T03:04:05Z` is needed"}
    return ApiProblem(422, "invalid_input", f"{field}: {said['detail']}", {"errors": [said]})


@pytest.mark.parametrize("field", ["expires_at", "until"])
def test_a_day_that_is_not_chosen_is_asked_for_in_plain_words(field: str) -> None:
    """Not in those of the API: there is a date picker."""
    told = advice_of(wrong(field), {"until": " "})
    assert (told.field, told.at_field, told.advice) == ("until", "Choose the last day.", "Choose the last day.")


def test_what_is_wrong_with_a_field_that_is_filled_in_is_told_as_the_call_says() -> None:
    told = advice_of(wrong("until"), {"until": "2026-13-01"})
    assert told.at_field == "A time such as `2026-01-02T03:04:05Z` is needed."


def test_names_in_a_sentence_are_code_and_nothing_in_it_is_markup() -> None:
    assert ticked("`a<b>` is <i>`") == "<code>a&lt;b&gt;</code> is &lt;i&gt;`"
