"""Words that say nothing, and words that nobody uses: reasons, topics, labels, capabilities."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from holdgate.bundles.lint.budget import Budget
from holdgate.bundles.lint.catalog import finding
from holdgate.bundles.lint.expressions import Node, labels_read
from holdgate.bundles.lint.findings import Finding, LintContext, Severity
from holdgate.bundles.lint.regions import common_pattern, label_keys
from holdgate.bundles.manifest import TopicVocabulary
from holdgate.kernel.records import Verdict
from holdgate.kernel.rules import AllowFinding, OutputRule, Rule
from holdgate.kernel.topics import ONE, REST

REASON_CHARS_MIN = 8
REASON_WORDS_MIN = 2
NEARLY = 0.75
"""From which likeness on a token is taken for a mistyped one: `deplyo` is 0.83 like `deploy`."""
REMEDIATIONS_MAX = 16
"""Of one rule, as the parser allows."""
_PLACEHOLDER = re.compile(r"\b(todo|tbd|fixme|xxx|lorem ipsum)\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+")


def reason_findings(rule: Rule | OutputRule | AllowFinding) -> Iterator[Finding]:
    """Whether the reason says something."""
    decision = rule.decision if isinstance(rule, Rule) else getattr(rule, "verdict", "allow")
    words = _WORD.findall(rule.reason.lower())
    echoes = [_WORD.findall(text.lower()) for text in (rule.id, str(decision), f"{rule.id} {decision}")]
    if _PLACEHOLDER.search(rule.reason) is not None:
        why = "is a placeholder"
    elif words in echoes:
        why = "only says its id or decision again"
    elif len(rule.reason) < REASON_CHARS_MIN or len(words) < REASON_WORDS_MIN:
        why = "is one short word"
    else:
        return
    message = f"its reason {why}; say to whoever is refused or asked why, and what to do instead"
    yield finding("missing-reason", rule.bundle, rule.id, message)


def word_findings(
    rule: Rule | OutputRule, tree: Node | None, context: LintContext, budget: Budget
) -> Iterator[Finding]:
    """Topics, labels and capabilities of which the vocabulary knows nothing. An empty vocabulary says nothing.

    `tree` is that of the rule's `when`.
    """
    patterns = (rule.match.topics if isinstance(rule, Rule) else rule.topics) or (REST,)
    known_topics = len(context.vocabulary.topics)
    if not known_topics or not budget.spend((2 * len(patterns) + REMEDIATIONS_MAX) * known_topics):
        return
    for pattern in patterns:
        if not _reached([pattern], context):
            yield _unknown_topic(rule, pattern, context)
    yield from _unknown_remediations(rule, context)
    reached = _reached(patterns, context)
    if not reached:
        return
    if all(words.labels for words in reached):
        known = {label for words in reached for label in words.labels}
        for label in sorted(_labels(rule, tree) - known):
            message = f"no job that it can reach has the label `{label}`; correct it, or add it to the vocabulary"
            yield finding("unknown-label", rule.bundle, rule.id, message)
    if isinstance(rule, Rule) and all(words.capabilities for words in reached):
        known = {name for words in reached for name in words.capabilities} | {*context.vocabulary.write_capabilities}
        for name in sorted(_capabilities(rule) - known):
            message = f"no job that it can reach has the capability `{name}`; correct it, or add it to the vocabulary"
            yield finding("unknown-capability", rule.bundle, rule.id, message)


def _unknown_remediations(rule: Rule | OutputRule, context: LintContext) -> Iterator[Finding]:
    """Remediations that lead to a topic that nobody knows."""
    for remediation in rule.remediations if isinstance(rule, Rule) else ():
        topic = remediation.topic
        if topic is not None and not _reached([topic], context):
            message = f"its remediation `{remediation.id}` leads to `{topic}`, which is no topic of the vocabulary"
            yield finding("unknown-topic", rule.bundle, rule.id, f"{message}; correct it, or add the topic")


def _unknown_topic(rule: Rule | OutputRule, pattern: str, context: LintContext) -> Finding:
    """A deny may well be about topics that there should never be; one that is nearly a known topic is a mistake."""
    meant = next((known for known in sorted(context.vocabulary.topics) if _is_nearly(known, pattern)), None)
    denies = isinstance(rule, Rule) and rule.decision is Verdict.DENY
    severity = Severity.NOTE if denies and meant is None else None
    instead = "correct it" if meant is None else f"is `{meant}` meant? Correct it"
    message = f"`{pattern}` names no topic of the vocabulary; {instead}, or add the topic"
    return finding("unknown-topic", rule.bundle, rule.id, message, severity)


def _is_nearly(known: str, pattern: str) -> bool:
    """Whether one token of `pattern` is a mistyped one of `known`, and the others are the same."""
    pairs = list(zip(known.split("."), pattern.split("."), strict=False))
    wrong = [pair for pair in pairs if pair[0] != pair[1] and ONE not in pair and REST not in pair]
    return len(wrong) == 1 and SequenceMatcher(None, *wrong[0]).ratio() >= NEARLY


def _reached(patterns: Sequence[str], context: LintContext) -> list[TopicVocabulary]:
    topics = context.vocabulary.topics.items()
    return [words for known, words in topics if any(common_pattern(known, own) is not None for own in patterns)]


def _labels(rule: Rule | OutputRule, tree: Node | None) -> set[str]:
    if isinstance(rule, OutputRule):
        return {key for key, _ in rule.labels}
    found = set(label_keys(rule.match))
    if rule.unless is not None:
        found.update(label_keys(rule.unless))
    if tree is not None:
        found.update(labels_read(tree))
    return found


def _capabilities(rule: Rule) -> frozenset[str]:
    excepted = frozenset() if rule.unless is None else rule.unless.capabilities
    return rule.match.capabilities | excepted
