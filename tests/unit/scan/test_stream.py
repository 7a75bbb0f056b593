"""A text in chunks is found to hold what it holds as a whole, within a window."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdgate.scan import ScanIncomplete, ScanTimedOut
from holdgate.scan.engine import GROUP_BYTES, PIECE_BYTES, Budget, Engine, Hit, Meter
from holdgate.scan.findings import Category, Severity
from holdgate.scan.ruleset import Rule, builtin_rules
from holdgate.scan.stream import AHEAD_BYTES, STEP_BYTES, scan_stream
from support.secrets import Secrets

MADE = Secrets(21)
ENGINE = Engine(builtin_rules())
NEAR = Rule("near", Category.PII, Severity.LOW, r"\b(\d{7})\b", 7, keywords=("badge",), near=200)


def _text(seed: int = 4, lines: int = 2500) -> bytes:
    """About 160 KB: keys, tokens and a block of several pieces between lines of a log."""
    chance = random.Random(seed)
    makers = (
        MADE.github,
        MADE.stripe,
        MADE.pem,
        MADE.jwt,
        MADE.card,
        lambda: MADE.pem(200),
        lambda: "badge no 1234567",
    )
    rows = [
        chance.choice(makers)()
        if chance.random() < 0.01
        else f"{number} request served in {chance.random():.9f} s, {'x' * 20}"
        for number in range(lines)
    ]
    return "\n".join(rows).encode()


TEXT = _text()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, len(TEXT)), max_size=30))
def test_chunks_may_end_anywhere(cuts: list[int]) -> None:
    """In a key, in a block of lines, on the border of pieces: the same hits in the same order."""
    places = [0, *sorted(cuts), len(TEXT)]
    chunks = [TEXT[begin:end] for begin, end in pairwise(places)]
    assert list(scan_stream(ENGINE, chunks)) == WHOLE


WHOLE = list(ENGINE.hits(TEXT))


def test_the_text_of_these_tests_holds_something_in_every_part() -> None:
    """Otherwise the test above says nothing."""
    assert len(WHOLE) > 15
    assert {hit.start // STEP_BYTES for hit in WHOLE} == set(range(len(TEXT) // STEP_BYTES + 1))


@pytest.mark.parametrize("size", [7, PIECE_BYTES - 1, STEP_BYTES, 3 * STEP_BYTES + 1])
def test_chunks_may_have_any_size(size: int) -> None:
    """Bytes one by one would do too."""
    chunks = (TEXT[begin : begin + size] for begin in range(0, len(TEXT), size))
    assert list(scan_stream(ENGINE, chunks)) == WHOLE


@pytest.mark.parametrize("shift", range(-320, 20, 20))
def test_what_a_rule_sees_around_its_match_is_in_the_window(shift: int) -> None:
    """A keyword as far off as a rule may ask, with the match where the window moves on."""
    engine = Engine([NEAR])
    first = (STEP_BYTES - AHEAD_BYTES) // GROUP_BYTES * GROUP_BYTES
    text = b"." * (first + shift) + b" badge" + b"." * 150 + b" 7654321 " + b"." * 3 * STEP_BYTES
    blocks = [text[begin : begin + STEP_BYTES] for begin in range(0, len(text), STEP_BYTES)]
    found = list(scan_stream(engine, blocks))
    assert found == list(engine.hits(text))
    assert len(found) == 1


def test_a_long_text_takes_a_bounded_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two chunks of a megabyte are looked at in windows of some ten pieces."""
    seen: list[int] = []
    between = Engine.hits_between

    def noted(self: Engine, data: bytes, first: int, last: int, meter: Meter) -> Iterator[Hit]:
        seen.append(len(data))
        return between(self, data, first, last, meter)

    monkeypatch.setattr(Engine, "hits_between", noted)
    assert list(scan_stream(ENGINE, [b"a b " * 2**18] * 2)) == []
    assert max(seen) <= 2 * STEP_BYTES + AHEAD_BYTES
    assert len(seen) > 20


def test_a_stream_without_end_ends_at_its_budget() -> None:
    """Work is granted by what came, findings and time are not."""

    def keys() -> Iterator[bytes]:
        while True:
            yield MADE.github().encode() + b"\n" + b"." * PIECE_BYTES

    with pytest.raises(ScanIncomplete):
        list(scan_stream(ENGINE, keys(), Meter(Budget(findings_max=40))))
    with pytest.raises(ScanTimedOut):
        list(scan_stream(ENGINE, keys(), Meter(Budget(seconds=0.0))))


def test_what_comes_is_granted_its_work() -> None:
    """However long the stream is."""
    budget = Budget(work_base=0, work_per_byte=2)
    assert list(scan_stream(ENGINE, [b"a b " * 2**15] * 3, Meter(budget))) == []


def test_waiting_for_the_source_is_not_time_of_the_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow worker is not a slow scan."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])

    def slow() -> Iterator[bytes]:
        for _ in range(10):
            now[0] += 60.0
            yield b"a b " * PIECE_BYTES

    assert list(scan_stream(ENGINE, slow(), Meter(Budget(seconds=1.0)))) == []
