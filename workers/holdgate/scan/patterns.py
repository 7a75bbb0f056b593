"""What can be said of a pattern without running it: its parsed form and the longest text that it matches.

Python's own parser of `re` does the reading; it is younger than no supported version and has no public name.
"""

from __future__ import annotations

import re
import warnings
from importlib import import_module
from typing import Any

_PARSER: Any = import_module("re._parser")
UNBOUNDED: Any = import_module("re._constants").MAXREPEAT


def parsed(pattern: str) -> Any:
    """The tree of `pattern`; `re.error` when `re` refuses it, a doubtful set included."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        try:
            return _PARSER.parse(pattern)
        except FutureWarning as warning:
            raise re.error(str(warning), pattern) from warning


def longest(pattern: str) -> int | None:
    """How many characters a match can have at most; None without a bound or when `re` cannot read the pattern."""
    try:
        if unbounded(pattern):
            return None
        width: int = parsed(pattern).getwidth()[1]
    except (re.error, OverflowError, RecursionError):
        return None
    return width


def unbounded(pattern: str) -> bool:
    """Whether a repeat of `pattern` has no bound."""
    return any(code in _PARSER._REPEATCODES and arguments[1] is UNBOUNDED for code, arguments in walk(parsed(pattern)))


def walk(tree: Any) -> Any:
    """Every node of a tree, `(code, arguments)`, outermost first."""
    for code, arguments in tree:
        yield code, arguments
        for part in arguments if isinstance(arguments, tuple) else (arguments,):
            yield from _inside(part)


def _inside(part: Any) -> Any:
    if isinstance(part, _PARSER.SubPattern):
        yield from walk(part)
    elif isinstance(part, list):
        for branch in part:
            if isinstance(branch, _PARSER.SubPattern):
                yield from walk(branch)
