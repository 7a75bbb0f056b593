"""What the set looks for in place of an anchor fires wherever the anchor does, and stays small."""

from __future__ import annotations

import random
import re
import time

import pytest

from holdgate.scan.anchors import cheap_anchor
from holdgate.scan.confirm import Pattern
from holdgate.scan.examples import matching
from holdgate.scan.ruleset import builtin_rules
from holdgate.scan.sets import SENTINEL, re2_set

GAP = r"(?i){0}(?:[ \t\w.-]{{0,20}})[\s'\"]{{0,3}}(?:=|>|:=|,)[`'\"\s=]{{0,5}}([a-z0-9]{{32}})"


@pytest.mark.parametrize(
    ("pattern", "cheap"),
    [
        (r"\bghp_[A-Za-z0-9]{36}\b", r"\bghp\x5f[0-9A-Za-z]{8}"),
        (r"\b(tok_[a-f0-9]{4,8})x", r"\b(?:tok\x5f[0-9a-f]{4,8})x"),
        (r"(?i)acme[\w .-]{0,20}=", "(?i:acme)"),
        (r"(?:\b(?i:acme)|B(?i:cmex))[\w .-]{0,20}=", "(?i:acme|cmex)"),
        (r"(?:acme|bcme)[\w .-]{0,20}(?:secret|password)", "(?i:acme|bcme)"),
        (r"acm[\w .-]{5,20}=", r"acm[\x20\x2d-\x2e0-9A-Z\x5fa-z]{5}"),
        (r"://[^\s:/]{0,80}:x", r"\x3a\x2f\x2f[\x00-\x08\x0b\x0e-\x1f\x21-\x2e0-9\x3b-\xff]{0,80}\x3ax"),
        (r"(?:abc.{0,50}|de)f", "(?:abc|de)"),
        (r"(?:abc.{0,50}|d)f", r"(?:abc.{0,50}|d)f"),
        (r"ab(?:c.{9}){2,3}d", "ab(?:c[\\x00-\\xff]{8})"),
        (r"ab(?:c.{9}){0,3}d", "ab"),
        (r"(?i:k)[^a]b$", r"(?i:k)[\x00-\x60b-\xff]b"),
        (r"^\dab", r"(?m:^)[0-9]ab"),
    ],
)
def test_an_anchor_is_cut_where_it_must_remember(pattern: str, cheap: str) -> None:
    """Behind two letters of its own on every way; classes are written as bytes."""
    assert cheap_anchor(pattern) == cheap


def test_what_is_not_read_is_left_as_it_is() -> None:
    """RE2 may know it."""
    for pattern in (r"ab\z", r"(?=a)b", "a("):
        assert cheap_anchor(pattern) == pattern


def test_the_cheap_anchor_fires_where_the_rule_does() -> None:
    """On texts made of each rule's own pattern, which Python's `re` confirms."""
    chance = random.Random(1)
    for rule in builtin_rules():
        pattern = rule.anchor or rule.regex
        cheap = Pattern(cheap_anchor(pattern))
        for _ in range(4):
            text = matching(pattern, chance)
            for around in (text, f"see {text} now", text.upper()):
                if re.search(pattern, around, re.ASCII):
                    assert cheap.matches(around.encode()), (rule.id, around)


def test_a_text_full_of_words_that_begin_rules_does_not_slow_the_set() -> None:
    """Seventy rules with gaps: without the cut the automaton takes a new state a byte, a hundred times as slow."""
    chance = random.Random(5)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=7)) for _ in range(70)]
    patterns = [GAP.format(word) for word in words]
    text = " ".join(chance.choices(words, k=8_000)).encode()
    taken_s = []
    for anchors in (patterns, list(map(cheap_anchor, patterns))):
        found = re2_set(tuple(anchors))
        started = time.process_time()
        assert found.Match(text + SENTINEL)
        taken_s.append(time.process_time() - started)
    assert taken_s[1] < taken_s[0] / 5
