"""What is wrong with the conditions of a single rule: `match`, `not` and `when` together.

What always holds: a rule reported as `never-holds` matches no job at all, errors of its `when` included.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from holdgate.bundles.lint.catalog import finding
from holdgate.bundles.lint.expressions import (
    EQUAL,
    IN,
    NOT,
    ORDERED,
    UNEQUAL,
    Call,
    Constant,
    Listed,
    Named,
    Node,
    Path,
    Present,
    can_fail_as_a_whole,
    conjuncts,
    constant_answer,
    label_of,
    nodes,
    patterns_required,
)
from holdgate.bundles.lint.findings import Finding
from holdgate.bundles.lint.placed import Placed
from holdgate.bundles.lint.ranges import field_never_met
from holdgate.bundles.lint.regions import Region
from holdgate.kernel.conditions import Condition
from holdgate.kernel.topics import is_pattern

ALWAYS_SET = {
    ("job", "tenant"): "tenant",
    ("job", "actor"): "actor",
    ("actor",): "actor",
    ("job", "actor_type"): "actor_type",
    ("job", "capability"): "capability",
}
"""What can be compared with a text without an error, by the name that a region has for it."""
TOPIC = ("job", "topic")
MEASURED = {
    ("job", "secrets_present"): {wanted: Region(secrets_present=frozenset({wanted})) for wanted in (True, False)},
    ("job", "pii_present"): {wanted: Region(pii_present=frozenset({wanted})) for wanted in (True, False)},
}
"""What is true or false of every job: the jobs of which it is so."""
TEXTS = frozenset(
    {*ALWAYS_SET, TOPIC, ("job", "pool"), ("job", "priority"), ("job", "prompt"), ("job", "concurrency_key")}
)
TIMES_AS_TEXT = frozenset({("job", "run_at"), ("job", "deadline")})
NOW = ("now",)


def never_holds(item: Placed) -> Finding | None:
    """Why no job matches the rule; None where one can, or where that is not known."""
    why = _contradiction(item)
    return None if why is None else finding("never-holds", item.rule.bundle, item.rule.id, f"matches no job: {why}")


def condition_findings(item: Placed) -> Iterator[Finding]:
    """What is worth a look in the conditions of a rule that can match."""
    rule = item.rule
    if item.excepted is not None and item.region.is_apart(item.excepted):
        message = "no job that `match` matches can meet its `not`; correct the value, or drop it"
        yield finding("idle-not", rule.bundle, rule.id, message)
    if rule.when is None or item.tree is None:
        return
    answer = constant_answer(rule.when)
    if answer is not None:
        how = "is true" if answer is True else f"fails ({answer})"
        message = f"its `when` {how} whatever the job is; compare with something of the job, or drop it"
        yield finding("constant-condition", rule.bundle, rule.id, message)
    for message in dict.fromkeys(_wrong_types(item.tree)):
        yield finding("wrong-type", rule.bundle, rule.id, message)
    if item.allows:
        for pattern in dict.fromkeys(patterns_required(item.tree)):
            if not _is_anchored(pattern):
                message = f"its `when` finds `{_short(pattern)}` anywhere in the text; write `^…$` around it"
                yield finding("unanchored-regex", rule.bundle, rule.id, message)


def _contradiction(item: Placed) -> str | None:
    for name, values in item.region.values.items():
        if not values:
            return f"`match` demands different values of `{name}`; leave one of them"
    if item.excepted is not None and item.region.is_within(item.excepted):
        return "its `not` takes away all that `match` matches; narrow it"
    if item.when is None or item.tree is None:
        return None
    answer = constant_answer(item.when)
    if answer is not None:  # true, and fails in a rule that does not allow, are `when=None` in `item`
        how = "is false" if answer is False else f"fails ({answer})"
        return f"its `when` {how} whatever the job is; compare with something of the job"
    return _never_true(item, item.when, item.tree)


def _never_true(item: Placed, condition: Condition, tree: Node) -> str | None:
    """What in `condition` contradicts `match`, or itself.

    In a rule that does not allow, a condition that fails counts as true: there only what is compared without a chance
    to fail is looked at, in a condition that cannot fail as a whole.
    """
    if not item.allows and can_fail_as_a_whole(condition, tree):
        return None
    region = item.region
    for part in conjuncts(tree):
        demanded = _demanded(part, item)
        if demanded is None:
            if _is_false(part, item):
                return "its `when` excludes what `match` demands; correct one of them"
            continue
        if region.is_apart(demanded):
            what = "what `match` demands" if item.region.is_apart(demanded) else "itself"
            return f"its `when` contradicts {what}; correct one of them"
        region = region.meet(demanded)
    if region.is_empty:
        return "its `when` can never be true; correct it"
    return _never_met(item, tree)


def _never_met(item: Placed, tree: Node) -> str | None:
    """What the `when` of an allow asks of one field that no value is. Elsewhere what fails counts as yes."""
    path = field_never_met(conjuncts(tree)) if item.allows else None
    return None if path is None else f"its `when` asks of `{'.'.join(path)}` what no value is; correct it"


def _demanded(part: Node, item: Placed) -> Region | None:
    """The jobs for which `part` can be true, where it compares a field with texts."""
    if isinstance(part, Named) and part.path in MEASURED:
        return MEASURED[part.path][True]
    if not isinstance(part, Call):
        return None
    if part.function == NOT and isinstance(negated := part.arguments[0], Named) and negated.path in MEASURED:
        return MEASURED[negated.path][False]
    compared = _compared(part)
    if compared is None:
        return None
    path, texts = compared
    name = _field(path, item)
    if path == TOPIC:
        return Region(topics=frozenset(texts)) if all(map(is_pattern, texts)) and not _wild(texts) else None
    return None if name is None else Region(values={name: texts})


def _is_false(part: Node, item: Placed) -> bool:
    """Whether `part` is false of every job that `match` matches: it excludes the only value that there can be."""
    if not isinstance(part, Call):
        return False
    if part.function == NOT and isinstance(part.arguments[0], Present):
        label = label_of(part.arguments[0].path)
        return label is not None and f"labels.{label}" in item.region.values
    if part.function == UNEQUAL and (pair := _sides(part)) is not None:
        name = _field(pair[0].path, item)
        held = None if name is None else item.region.values.get(name)
        return held is not None and held == {pair[1].value}
    return False


def _compared(part: Call) -> tuple[Path, frozenset[str]] | None:
    """The field and the texts of which one must be its value."""
    if part.function == EQUAL and (pair := _sides(part)) is not None:
        return (pair[0].path, frozenset({pair[1].value})) if isinstance(pair[1].value, str) else None
    if part.function == IN and len(part.arguments) == 2:
        one, several = part.arguments
        if isinstance(one, Named) and isinstance(several, Listed):
            texts = [node.value for node in several.items if isinstance(node, Constant)]
            plain = frozenset(text for text in texts if isinstance(text, str))
            return (one.path, plain) if len(texts) == len(several.items) and len(plain) == len(set(texts)) else None
    return None


def _sides(part: Call) -> tuple[Named, Constant] | None:
    """The field and the constant of a comparison, whichever way round it is written."""
    if len(part.arguments) != 2:
        return None
    for field, constant in (part.arguments, part.arguments[::-1]):
        if isinstance(field, Named) and isinstance(constant, Constant):
            return field, constant
    return None


def _field(path: Path, item: Placed) -> str | None:
    """The name in a region of what can be compared without an error, or where an error counts as no."""
    label = label_of(path)
    if label is not None:
        name = f"labels.{label}"
        return name if item.allows or name in item.region.values else None
    return ALWAYS_SET.get(path)


def _wild(topics: frozenset[str]) -> bool:
    return any(token in ("*", ">") for topic in topics for token in topic.split("."))


def _wrong_types(tree: Node) -> Iterator[str]:
    for node in nodes(tree):
        if not isinstance(node, Call) or node.function not in {EQUAL, UNEQUAL, IN, *ORDERED}:
            continue
        named = [side for side in node.arguments if isinstance(side, Named)]
        for path in (side.path for side in named):
            if path in TIMES_AS_TEXT and Named(NOW) in named:
                field = ".".join(path)
                yield f"its `when` compares the text `{field}` with a time; write `timestamp({field})`"
            elif (label_of(path) is not None or path in TEXTS) and _has_other_type(node):
                yield f"its `when` compares the text `{'.'.join(path)}` with a value that is none; quote it, or convert"


def _has_other_type(comparison: Call) -> bool:
    """Whether a constant in a comparison is neither a text nor null."""
    lists = [side.items for side in comparison.arguments if isinstance(side, Listed)]
    sides = [*comparison.arguments, *(item for items in lists for item in items)]
    return any(isinstance(side, Constant) and not isinstance(side.value, str | None) for side in sides)


def _is_anchored(pattern: str) -> bool:
    """Whether the whole text has to match: the ends are held, and no `|` stands outside of every bracket."""
    flags = re.match(r"\(\?[a-zA-Z]+\)", pattern)
    body = pattern if flags is None else pattern[flags.end() :]
    return body.startswith(("^", "\\A")) and body.endswith(("$", "\\z")) and not _has_open_choice(body)


def _has_open_choice(pattern: str) -> bool:
    depth, in_class, position = 0, False, 0
    while position < len(pattern):
        character = pattern[position]
        if character == "\\":
            position += 1
        elif in_class:
            in_class = character != "]"
        elif character == "[":
            in_class = True
            position += pattern[position + 1 : position + 2] in ("]", "^")
        elif character in "()":
            depth += 1 if character == "(" else -1
        elif character == "|" and depth == 0:
            return True
        position += 1
    return False


def _short(pattern: str) -> str:
    return pattern if len(pattern) <= 40 else f"{pattern[:40]}…"
