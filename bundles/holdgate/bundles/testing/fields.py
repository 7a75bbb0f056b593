"""A `match` made wider or narrower, one step at a time. Pure.

What always holds: a wider match holds wherever the one it came of holds, a narrower one nowhere else; each differs from
it for some job, if any job fulfils the one it came of. A step that another field or pattern makes void is left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from holdgate.bundles.trusted import covers_pattern
from holdgate.kernel.match import CLASSIFICATION_LABEL, ENVIRONMENT_LABEL, MCP_LABELS, MEASURED, Match
from holdgate.kernel.rules import OutputRule
from holdgate.kernel.topics import ONE, REST

Target = TypeVar("Target", Match, OutputRule)
Pairs = tuple[tuple[str, frozenset[str]], ...]
ANY_OF = (
    "tenants",
    "capabilities",
    "risk_tags",
    "actors",
    "actor_types",
    "principals",
    "secrets",
    "environments",
    "classifications",
    "categories",
    "detectors",
    "severities",
    "data_classes",
)
"""Fields that are a set of values of which any will do: of a match, and of an output rule."""
_LABELS_OF = {"environments": ENVIRONMENT_LABEL, "classifications": CLASSIFICATION_LABEL}


@dataclass(frozen=True, slots=True)
class Step:
    """What was changed, in which field; `told_by`: how a job for which it matters differs, to be said after the job."""

    field: str
    change: str
    told_by: str


def wider(target: Target) -> Iterator[tuple[Step, Target]]:
    """Without one field, or without one value where all must be there, or with a topic that ends in `>`."""
    for step, topics in _wider_topics(target.topics):
        yield step, _with(target, "topics", topics)
    for name in ANY_OF:
        if getattr(target, name, None) and not _is_implied(target, name):
            yield _without(name), _with(target, name, frozenset())
    for name in ("labels", "mcp"):
        pairs: Pairs = getattr(target, name, ())
        for key, _ in pairs:
            if not _is_implied(target, f"{name}.{key}"):
                rest = tuple(pair for pair in pairs if pair[0] != key)
                yield _without(f"{name}.{key}"), _with(target, name, rest)
    if isinstance(target, Match):
        for value in sorted(target.requires):
            step = Step("requires", f"`{value}` dropped from `requires`", f" but for `{value}` in `requires`")
            yield step, _with(target, "requires", target.requires - {value})
        for name in MEASURED:
            if getattr(target, name) is not None:
                yield _without(name), _with(target, name, None)


def narrower(target: Target) -> Iterator[tuple[Step, Target]]:
    """Without one value of several, or with a topic that ends in `*` instead of `>`."""
    for step, topics in _narrower_topics(target.topics):
        yield step, _with(target, "topics", topics)
    for name in ANY_OF:
        values: frozenset[str] = getattr(target, name, frozenset())
        if len(values) > 1:
            for value in _telling(target, name, values):
                yield _dropped(name, value), _with(target, name, values - {value})
    for name in ("labels", "mcp"):
        pairs: Pairs = getattr(target, name, ())
        for key, wanted in pairs:
            for value in _telling(target, f"{name}.{key}", wanted) if len(wanted) > 1 else ():
                less = tuple((one, several - {value} if one == key else several) for one, several in pairs)
                yield _dropped(f"{name}.{key}", value), _with(target, name, less)


def _wider_topics(topics: tuple[str, ...]) -> Iterator[tuple[Step, tuple[str, ...]]]:
    if not topics or REST in topics:
        return
    yield _without("topics"), ()
    seen: set[str] = set()
    for topic in topics:
        wide = ".".join([*topic.split(".")[:-1], REST])
        if wide in seen or wide == REST or _is_covered(wide, topics):
            continue
        seen.add(wide)
        changed = tuple(wide if other == topic else other for other in topics)
        step = Step("topics", f"topic `{topic}` widened to `{wide}`", f", of a topic that only `{wide}` names")
        yield step, changed


def _narrower_topics(topics: tuple[str, ...]) -> Iterator[tuple[Step, tuple[str, ...]]]:
    for position, topic in enumerate(topics):
        others = (*topics[:position], *topics[position + 1 :])
        if _is_covered(topic, others):
            continue
        if others:
            yield _dropped("topics", topic), others
        head = topic.split(".")[:-1]
        if topic.split(".")[-1] == REST and not _is_covered(".".join([*head, ONE, REST]), others):
            narrow = ".".join([*head, ONE])
            changed = (*topics[:position], narrow, *topics[position + 1 :])
            step = Step("topics", f"topic `{topic}` narrowed to `{narrow}`", f", of a topic deeper than `{narrow}`")
            yield step, changed


def _is_covered(topic: str, others: Collection[str]) -> bool:
    """Whether others name every topic that `topic` names: one of them, or `>` by some for one token and for more."""
    if any(covers_pattern(other, topic) for other in others):
        return True
    *head, last = topic.split(".")
    if last != REST or all(other.count(".") <= len(head) for other in others):
        return False
    return _is_covered(".".join([*head, ONE]), others) and _is_covered(".".join([*head, ONE, REST]), others)


def _is_implied(target: Match | OutputRule, field: str) -> bool:
    """Whether another field looks at the same label and wants no more than this one."""
    tests = _label_tests(target)
    if field not in tests:
        return False
    label, values = tests[field]
    return any(name != field and other == label and wanted <= values for name, (other, wanted) in tests.items())


def _telling(target: Match | OutputRule, field: str, values: frozenset[str]) -> list[str]:
    """Those values that no other field looking at the same label rules out."""
    tests = _label_tests(target)
    if field not in tests:
        return sorted(values)
    others = [wanted for name, (label, wanted) in tests.items() if name != field and label == tests[field][0]]
    return sorted(value for value in values if all(value in wanted for wanted in others))


def _label_tests(target: Match | OutputRule) -> dict[str, tuple[str, frozenset[str]]]:
    """Every field that is a look at a label: which, and the values."""
    tests = {f"labels.{key}": (key, wanted) for key, wanted in target.labels}
    if isinstance(target, Match):
        tests.update({f"mcp.{kind}": (MCP_LABELS[kind], wanted) for kind, wanted in target.mcp})
    for name, label in _LABELS_OF.items():
        values: frozenset[str] = getattr(target, name, frozenset())
        if values:
            tests[name] = (label, values)
    return tests


def _with(target: Target, name: str, value: Any) -> Target:
    changed: dict[str, Any] = {name: value}
    return replace(target, **changed)


def _without(field: str) -> Step:
    return Step(field, f"`{field}` removed", f" but for `{field}`")


def _dropped(field: str, value: str) -> Step:
    return Step(field, f"`{value}` dropped from `{field}`", f", with `{value}` in `{field}`")
