"""Topics and patterns are NATS subjects: what is one, and what matches what."""

from __future__ import annotations

import pytest

from holdgate.kernel import limits
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.topics import is_pattern, is_topic, matches, verify_pattern, verify_topic

TOPICS = ["a", "job.demo.read", "JOB.Demo_1.read-x", ".".join("a" * 16), "a" * limits.TOPIC_CHARS_MAX]
NO_TOPICS = [
    ("", "empty"),
    ("job..a", "empty token"),
    (".job", "empty token"),
    ("job.", "empty token"),
    ("job.a b", "letters"),
    ("../", "empty token"),
    ("job/a", "letters"),
    ("job.ü", "letters"),
    ("job.a\n", "letters"),
    ("job.a\x00", "letters"),
    ("job.*", "no wildcards"),
    ("job.>", "no wildcards"),
    (">", "no wildcards"),
    ("job.a*", "letters"),
    ("a" * (limits.TOPIC_CHARS_MAX + 1), "longer than 256"),
    (".".join("a" * 17), "more than 16 tokens"),
]
NO_PATTERNS = [
    ("", "empty"),
    ("job..*", "empty token"),
    ("job.>.a", "only at the end"),
    ("job.a>", "letters"),
    ("job.**", "letters"),
    ("job.>\n", "letters"),
    (".".join("*" * 17), "more than 16 tokens"),
]
MATCHES = [
    ("job.a", "job.a", True),
    ("job.a", "job.b", False),
    ("job.a", "job.A", False),
    ("job.a", "job", False),
    ("job.a", "job.a.b", False),
    ("job.*", "job.a", True),
    ("job.*", "job", False),
    ("job.*", "job.a.b", False),
    ("*.a", "job.a", True),
    ("*", "job", True),
    ("*", "job.a", False),
    ("job.*.c", "job.b.c", True),
    ("job.*.c", "job.b.d", False),
    ("*.*.*", "a.b.c", True),
    (">", "job", True),
    (">", "job.a.b", True),
    ("job.>", "job.a", True),
    ("job.>", "job.a.b.c", True),
    ("job.>", "job", False),
    ("job.>", "jobs.a", False),
    ("job.*.>", "job.a", False),
    ("job.*.>", "job.a.b", True),
    ("*.>", "a.b", True),
    ("*.>", "a", False),
]


@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_is_accepted(topic: str) -> None:
    assert is_topic(topic)
    assert verify_topic(topic) == topic
    assert is_pattern(topic)


@pytest.mark.parametrize(("topic", "reason"), NO_TOPICS)
def test_what_is_no_topic_is_refused_with_the_reason(topic: str, reason: str) -> None:
    assert not is_topic(topic)
    with pytest.raises(InvalidInput, match=reason):
        verify_topic(topic)


@pytest.mark.parametrize(("pattern", "reason"), NO_PATTERNS)
def test_what_is_no_pattern_is_refused_with_the_reason(pattern: str, reason: str) -> None:
    assert not is_pattern(pattern)
    with pytest.raises(InvalidInput, match=reason):
        verify_pattern(pattern)


@pytest.mark.parametrize(("pattern", "topic", "expected"), MATCHES)
def test_matching(pattern: str, topic: str, *, expected: bool) -> None:
    assert is_pattern(pattern)
    assert matches(pattern, topic) is expected
