"""Topics and patterns: NATS subjects, case-sensitive.

A topic is `token.token…`, each token of letters, digits, `_` and `-`. In a pattern `*` stands for exactly one token and
`>`, only at the end, for one or more. What always holds: a topic that passed `is_topic` is a valid part of a NATS
subject and holds neither a wildcard nor a path trick.
"""

from __future__ import annotations

import re

from holdgate.kernel import limits
from holdgate.kernel.errors import InvalidInput

ONE = "*"
REST = ">"
_TOPIC = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\Z")
_TOKEN = re.compile(r"[A-Za-z0-9_-]+\Z")


def is_topic(topic: str) -> bool:
    """Whether `topic` names jobs: no wildcard, within the limits."""
    return (
        len(topic) <= limits.TOPIC_CHARS_MAX
        and topic.count(".") < limits.TOPIC_TOKENS_MAX
        and _TOPIC.match(topic) is not None
    )


def verify_topic(topic: str) -> str:
    """`topic`; InvalidInput with the reason when it is not one."""
    if not is_topic(topic):
        _explain(topic)
        raise InvalidInput("a topic has no wildcards")
    return topic


def is_pattern(pattern: str) -> bool:
    """Whether `pattern` may stand in a rule or a worker's offer."""
    tokens = pattern.split(".")
    return (
        len(pattern) <= limits.TOPIC_CHARS_MAX
        and len(tokens) <= limits.TOPIC_TOKENS_MAX
        and all(token == ONE or _TOKEN.match(token) is not None for token in tokens[:-1])
        and (tokens[-1] in (ONE, REST) or _TOKEN.match(tokens[-1]) is not None)
    )


def verify_pattern(pattern: str) -> str:
    """`pattern`; InvalidInput with the reason when it is not one."""
    if not is_pattern(pattern):
        _explain(pattern)
        raise InvalidInput("`>` stands only at the end")
    return pattern


def matches(pattern: str, topic: str) -> bool:
    """Whether `topic` is one of those that `pattern` names. Both are taken to be valid."""
    if pattern == topic:
        return True
    wanted, given = pattern.split("."), topic.split(".")
    if wanted[-1] == REST:
        wanted.pop()
        if len(given) <= len(wanted):
            return False
    elif len(wanted) != len(given):
        return False
    return all(one in (ONE, other) for one, other in zip(wanted, given, strict=False))


def _explain(subject: str) -> None:
    """InvalidInput that says what is wrong with the form of `subject`, if its form is wrong."""
    tokens = subject.split(".")
    if not subject:
        raise InvalidInput("empty")
    if len(subject) > limits.TOPIC_CHARS_MAX:
        raise InvalidInput(f"longer than {limits.TOPIC_CHARS_MAX} characters")
    if len(tokens) > limits.TOPIC_TOKENS_MAX:
        raise InvalidInput(f"more than {limits.TOPIC_TOKENS_MAX} tokens")
    if "" in tokens:
        raise InvalidInput("an empty token: a dot at an end, or two in a row")
    if any(token not in (ONE, REST) and _TOKEN.match(token) is None for token in tokens):
        raise InvalidInput("a token is of letters, digits, `_` and `-`")
