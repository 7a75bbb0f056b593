"""Lengths of time in words: to the second where a rule means it, about where somebody waits."""

from __future__ import annotations

import pytest

from holdgate.scheduler.words.durations import duration, time_left


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "—"),
        (-5, "over"),
        (0, "over"),
        (45, "45 s"),
        (119, "119 s"),
        (120, "2 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (3900, "1 h 5 min"),
        (86_400, "1 d"),
        (86_460, "1 d"),
        (180_000, "2 d 2 h"),
    ],
)
def test_time_left_in_words(seconds: int | None, words: str) -> None:
    assert time_left(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (60, "1 min"),
        (90, "90 s"),
        (150, "2 min 30 s"),
        (7200, "2 h"),
        (7201, "2 h 1 s"),
        (93_784, "1 d 2 h 3 min 4 s"),
    ],
)
def test_a_length_of_time_is_told_to_the_second(seconds: int, words: str) -> None:
    assert duration(seconds) == words
