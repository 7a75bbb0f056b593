"""Which rules are sure of themselves: those whose matches begin with letters that a vendor chose, or that check more.

They alone look at what is not text and at pieces put together, where anything else would find what nobody wrote.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Any

import re2

from holdgate.kernel.patterns import parsed
from holdgate.scan.findings import SECRETS
from holdgate.scan.ruleset import Rule, latin1_options

HEAD_CHARS_MIN = 3
_RARE_CHARS_MIN = 5
_VOWELS = frozenset("aeiou")
_HEADS_MAX = 256
_CLASS_MAX = 8
_EVERYWHERE = ("http", "ext_")
"""What addresses and names begin with: of a vendor it says nothing."""
_CHECKED = {"jwt": frozenset({"eyJ"})}
"""Validators that tell more than a prefix does, and what their values begin with."""


@cache
def prefixes(rule: Rule) -> frozenset[str]:
    """What each match of `rule` begins with; empty where that is not a vendor's prefix."""
    if rule.category not in SECRETS or rule.keywords or rule.context is not None:
        return frozenset()
    if rule.validator in _CHECKED:
        return _CHECKED[rule.validator]
    try:
        tree = parsed(rule.regex)
    except re.error:
        return frozenset()
    found, _ = _sequence(tree)
    return frozenset(found) if all(map(_tells, found)) else frozenset()


def sure_rules(rules: Iterable[Rule]) -> list[Rule]:
    """Those of `rules` that are sure."""
    return [rule for rule in rules if prefixes(rule)]


def either(texts: Iterable[bytes], before: bytes = b"", behind: bytes = b"") -> Any:
    """Any of `texts`, between two patterns; of none: a pattern that matches nothing."""
    words = b"|".join(map(re2.escape, sorted(texts))) or rb"[^\x00-\xff]"
    return re2.compile(b"%b(?:%b)%b" % (before, words, behind), latin1_options())


def is_rare(prefix: str) -> bool:
    """Whether `prefix` is hardly a part of a word: long, or with capitals or digits, or without a vowel."""
    return len(prefix) > _RARE_CHARS_MIN or (
        len(prefix) > HEAD_CHARS_MIN and not (prefix.islower() and _VOWELS.intersection(prefix))
    )


def _tells(head: str) -> bool:
    return not ((head.isalpha() and head.islower()) or head.startswith(_EVERYWHERE)) and (
        len(head) > HEAD_CHARS_MIN or (len(head) == HEAD_CHARS_MIN and not head.isalpha()) or head == "eyJ"
    )


def _sequence(items: Iterable[Any]) -> tuple[list[str], bool]:
    """The texts that a sequence begins with, and whether they are the whole of it."""
    texts = [""]
    for operator, argument in items:
        ways, whole = _ways(str(operator), argument)
        if len(texts) * len(ways) > _HEADS_MAX:
            return texts, False
        texts = [text + way for text in texts for way in ways]
        if not whole:
            return texts, False
    return texts, True


def _ways(operator: str, argument: Any) -> tuple[list[str], bool]:
    match operator:
        case "AT":
            return [""], True
        case "LITERAL":
            return [chr(argument)], True
        case "IN":
            letters = [chr(value) for kind, value in argument if str(kind) == "LITERAL"]
            return (letters, True) if len(letters) == len(argument) <= _CLASS_MAX else ([""], False)
        case "SUBPATTERN":
            return _sequence(argument[3]) if not argument[1] & re.IGNORECASE else ([""], False)
        case "BRANCH" if any(not list(branch) or str(branch[0][0]) == "AT" for branch in argument[1]):
            return [""], True
        case "BRANCH":
            branches = [_sequence(branch) for branch in argument[1]]
            return [text for texts, _ in branches for text in texts], all(whole for _, whole in branches)
        case "MAX_REPEAT" | "MIN_REPEAT" if argument[0] == argument[1] == 1:
            return _sequence(argument[2])
        case "MAX_REPEAT" if (argument[0], argument[1]) == (0, 1):
            texts, whole = _sequence(argument[2])
            return (["", *texts], True) if whole else ([""], False)
        case _:
            return [""], False
