"""Hyperscan, where it is asked for: the same hits as RE2, or RE2."""

from __future__ import annotations

import logging
import random
import subprocess
import sys
import threading
from collections.abc import Sequence

import pytest

from holdgate.scan import EngineFailed
from holdgate.scan import fast as fast_module
from holdgate.scan.engine import PIECE_BYTES, Engine
from holdgate.scan.examples import made, matching
from holdgate.scan.fast import FastSet
from holdgate.scan.findings import Category, Severity
from holdgate.scan.ruleset import Rule, builtin_rules
from holdgate.scan.sets import SENTINEL, set_anchor

pytest.importorskip("hyperscan", reason="holdgate[fast] is not installed")
pytestmark = pytest.mark.xdist_group("hyperscan")
"""Its patterns take seconds to compile, so that one process does it."""
RULES = builtin_rules()
SOME = RULES[:12]
REFERENCE = Engine(RULES)


def _fast(rules: Sequence[Rule] = RULES, *, quicker: bool = True) -> Engine:
    """An engine whose hyperscan is the quicker or the slower one, whatever the machine."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(fast_module, "_page_s", lambda found: float(isinstance(found, FastSet) is not quicker))
        return Engine(rules, fast=True)


@pytest.fixture(scope="module")
def fast() -> Engine:
    """With every rule."""
    return _fast()


def _text(chance: random.Random) -> bytes:
    """Matches of rules, cut ones, and parts of patterns, between words and bytes of any kind."""
    parts: list[bytes] = []
    for rule in chance.sample(RULES, 12):
        parts += [made(template, chance).encode("latin-1", "replace") for template in rule.examples.true[:2]]
        text = matching(set_anchor(rule), chance).encode("latin-1", "replace")
        parts += [text, text.upper(), text[: chance.randrange(len(text))], text[1:], text * 3]
        parts += [chance.randbytes(chance.randrange(24)), b" " * chance.randrange(200)]
    chance.shuffle(parts)
    return chance.choice([b"", b" ", b"\n", b"="]).join(parts)


def test_hyperscan_is_used_where_it_is_asked_for(fast: Engine) -> None:
    """With the rules that come with Holdgate: it passes its test."""
    assert isinstance(fast._set, FastSet)
    assert not isinstance(REFERENCE._set, FastSet)


def test_the_quicker_one_is_used() -> None:
    """Which one that is does not change what is found."""
    assert not isinstance(_fast(SOME, quicker=False)._set, FastSet)
    number = Rule("number", Category.PII, Severity.LOW, r"\bacme-\d{7}\b", 12)
    assert [hit.start for hit in Engine([number], fast=True).hits(b"see acme-1234567")] == [4]


@pytest.mark.parametrize("seed", range(24))
def test_it_finds_what_re2_finds(fast: Engine, seed: int) -> None:
    """Texts of several pieces, full of what begins rules; also the set by itself, piece by piece."""
    text = _text(random.Random(seed))
    assert list(fast.hits(text)) == list(REFERENCE.hits(text))
    for start in range(0, len(text), PIECE_BYTES):
        piece = text[start : start + PIECE_BYTES] + SENTINEL
        assert set(REFERENCE._set.Match(piece) or ()) <= set(fast._set.Match(piece) or ())


def _missing(monkeypatch: pytest.MonkeyPatch, missed: int) -> None:
    """A hyperscan that never says that one rule fired."""
    found = FastSet.Match
    monkeypatch.setattr(FastSet, "Match", lambda self, text: [rule for rule in found(self, text) if rule != missed])


def test_one_that_misses_a_rule_is_not_used(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """RE2 does the work, and a warning names the rule."""
    _missing(monkeypatch, 5)
    with caplog.at_level(logging.WARNING, logger="holdgate.scan.fast"):
        engine = _fast(SOME)
    assert not isinstance(engine._set, FastSet)
    assert RULES[5].id in caplog.text


def test_one_that_misses_the_sentinel_is_an_engine_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with RE2: nothing found is not the same as not looked."""
    engine = _fast(SOME)
    _missing(monkeypatch, len(SOME))
    with pytest.raises(EngineFailed):
        list(engine.hits(b"clean"))


def test_a_rule_that_no_text_can_test_leaves_the_work_to_re2(caplog: pytest.LogCaptureFixture) -> None:
    """What is not tested is not trusted."""
    untested = Rule("untested", Category.SECRET, Severity.LOW, r"\d\b[\w ]\b\d", 8)
    with caplog.at_level(logging.WARNING, logger="holdgate.scan.fast"):
        assert not isinstance(_fast([untested])._set, FastSet)
    assert "untested" in caplog.text


def test_without_the_library_or_with_a_pattern_it_refuses_re2_does_the_work(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With a warning, since somebody asked for it."""
    odd = Rule("odd", Category.SECRET, Severity.LOW, r"abc\z", 3)
    with caplog.at_level(logging.WARNING, logger="holdgate.scan.fast"):
        assert not isinstance(_fast([odd])._set, FastSet)
        monkeypatch.setitem(sys.modules, "hyperscan", None)
        assert not isinstance(_fast(SOME)._set, FastSet)
    assert caplog.text.count("hyperscan is not used") == 2


def test_threads_share_it(fast: Engine) -> None:
    """Each with a scratch space of its own."""
    texts = [_text(random.Random(seed)) for seed in range(4)]
    expected = [list(REFERENCE.hits(text)) for text in texts]
    found: list[Sequence[object]] = [()] * 4

    def scan(number: int) -> None:
        found[number] = [list(fast.hits(texts[number])) for _ in range(5)]

    threads = [threading.Thread(target=scan, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[hits] * 5 for hits in expected]


def test_it_is_not_loaded_unless_asked_for() -> None:
    """It takes memory that most processes do not have to spare."""
    code = "import sys; from holdgate.scan import Scanner; Scanner().scan_raw('x'); print('hyperscan' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
    assert "hyperscan" not in vars(fast_module)
