"""Facts under which a condition might be true, found from the names and constants that it is written with.

A guess, not a solver: every candidate is put before the evaluator afterwards. Pure and bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice, product
from typing import Any, TypeAlias

from holdgate.kernel.conditions import Condition
from holdgate.kernel.ids import ACTOR
from holdgate.kernel.jobform import TAG
from holdgate.kernel.topics import is_topic

HINTS_MAX = 32
CACHED_MAX = 1024
Choice: TypeAlias = tuple[tuple[str, ...], Any]
"""Where in the facts, and what."""
_PATH = r"""((?:\.[A-Za-z_]\w*(?!\w*\()|\[\s*(?:"[^"\\]*"|'[^'\\]*')\s*\])+)"""
_PAYLOAD = re.compile(r"\bjob\.payload" + _PATH)
_LABEL = re.compile(r"""\bjob\.labels(?:\.([A-Za-z_]\w*)(?!\w*\()|\[\s*["']([^"'\\]+)["']\s*\])""")
_STEP = re.compile(r"""\.([A-Za-z_]\w*)|["']([^"'\\]*)["']""")
_TEXT = re.compile(r""""((?:[^"\\])*)"|'((?:[^'\\])*)'""")
_NUMBER = re.compile(r"(?<![\w.\"'])-?\d+(?:\.\d+)?")
_TIMES = ("2026-01-05T12:00:00Z", "2026-01-05T03:00:00Z", "2026-01-10T12:00:00Z", "2026-01-11T23:30:00Z")
"""By day, at night, at the weekend."""


@lru_cache(maxsize=CACHED_MAX)
def hints(condition: Condition) -> list[dict[str, Any]]:
    """Parts of facts to try, the simplest first. Not to be changed: they are kept."""
    source = condition.source
    texts = [one or other for one, other in _TEXT.findall(source)]
    values = _values(source, texts)
    choices: list[list[Choice]] = []
    for path in dict.fromkeys(_PAYLOAD.findall(source)):
        steps = tuple(one or other for one, other in _STEP.findall(path))
        choices.append([(("payload", *steps), value) for value in values])
    for key in dict.fromkeys(one or other for one, other in _LABEL.findall(source)):
        options: list[Choice] = [(("labels", key), text) for text in (*texts, "other")]
        choices.append(options)
    choices.extend(_plain_choices(condition, texts, values))
    return [_facts(chosen) for chosen in islice(_fair(choices), HINTS_MAX)]


def _values(source: str, texts: list[str]) -> list[Any]:
    found: list[Any] = []
    for written in _NUMBER.findall(_TEXT.sub('""', source)):
        number = float(written) if "." in written else int(written)
        found.extend((number, number + 1, number - 1))
    found.extend(texts)
    found.extend((True, False))
    found.extend([text] for text in texts)
    found.append("other")
    return [
        value
        for place, value in enumerate(found)
        if not any(value is old or _same(value, old) for old in found[:place])
    ]


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)


def _plain_choices(condition: Condition, texts: list[str], values: list[Any]) -> Iterator[list[Choice]]:
    """Choices for the fields of the job that the condition reads beside payload and labels."""
    reads = condition.reads
    if condition.reads_now:
        yield [(("now",), time) for time in _TIMES]
    if "prompt" in reads:
        yield [(("prompt",), text) for text in (*texts, "a prompt")]
    if "priority" in reads:
        yield [(("priority",), name) for name in ("normal", "high", "low")]
    if "max_attempts" in reads:
        yield [(("max_attempts",), n) for n in values if type(n) is int and 1 <= n <= 100]
    for name, pattern in (("capability", TAG), ("actor", ACTOR)):
        if name in reads:
            yield [((name,), text) for text in texts if pattern.match(text)]
    for name, read in (("risk_tags", TAG), ("requires", TAG), ("principals", ACTOR)):
        if name in reads:
            yield [((name,), [text]) for text in texts if read.match(text)]
    if "topic" in reads:
        yield [(("topic",), text) for text in texts if is_topic(text)]


def _fair(choices: list[list[Choice]]) -> Iterator[tuple[Choice, ...]]:
    """One of each choice: first the same place of all, then every combination."""
    choices = [options for options in choices if options]
    if not choices:
        return
    for place in range(max(map(len, choices))):
        yield tuple(options[place % len(options)] for options in choices)
    yield from product(*choices)


def _facts(chosen: tuple[Choice, ...]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for path, value in chosen:
        at = facts
        for step in path[:-1]:
            below = at.get(step)
            if not isinstance(below, dict):
                below = at[step] = {}
            at = below
        at[path[-1]] = value
    return facts
