"""Finding the rules that can match a job without looking at those that cannot.

Rules stand in a tree by the tokens of their topic patterns; those at one place of the tree are split by the value that
tells them apart best (a label, a capability, a tenant, an actor, …), again and again while that makes the groups
smaller. What always holds: every rule that matches a job is among its candidates. A candidate's topic has been
compared; its other fields have not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from holdgate.kernel.match import Key, Match, job_keys
from holdgate.kernel.records import Job
from holdgate.kernel.topics import ONE, REST

GROUP_SMALL = 4
"""Rules that are looked at one by one rather than split further."""
SPLITS_MAX = 6
COPIES_MAX = 16
"""A rule that names more values of a field than this is not put under each of them below the first split."""


@dataclass(slots=True)
class Group:
    """Rules by their numbers: those under each value, and those that must always be looked at."""

    always: tuple[int, ...] = ()
    by_key: dict[Key, Group] = field(default_factory=dict)

    def collect(self, keys: Sequence[Key], found: list[int]) -> None:
        """Add the numbers of all rules that a job with these keys can match; one may come twice."""
        found.extend(self.always)
        by_key = self.by_key
        if by_key:
            for key in keys:
                group = by_key.get(key)
                if group is not None:
                    group.collect(keys, found)

    def keys(self) -> Iterator[Key]:
        """Every value that rules here are told apart by."""
        yield from self.by_key
        for group in self.by_key.values():
            yield from group.keys()


@dataclass(slots=True)
class _Place:
    """A place in the tree of tokens: patterns that end here, and those that end here with `>`."""

    children: dict[str, _Place] = field(default_factory=dict)
    exact: Group | None = None
    rest: Group | None = None


class Index:
    """Candidates for a job among rules that are numbered from 0 in the order in which they are given."""

    def __init__(self, matches: Sequence[Match]) -> None:
        self._matches = matches
        self._root = _Place()
        self._known: set[Key] = set()
        patterns: dict[str, list[int]] = {}
        for number, match in enumerate(matches):
            for pattern in set(match.topics or (REST,)):
                patterns.setdefault(pattern, []).append(number)
        for pattern, numbers in patterns.items():
            group = _group(matches, numbers, frozenset(), 0)
            self._known.update(group.keys())
            self._place(pattern, group)

    def candidates(self, job: Job) -> Sequence[int]:
        """Numbers of the rules that can match, ascending, none twice."""
        groups: list[Group] = []
        _walk(self._root, job.topic.split("."), 0, groups)
        found: list[int] = []
        known = self._known
        keys = [key for key in job_keys(job) if key in known]
        for group in groups:
            if group.by_key:
                group.collect(keys, found)
            else:
                found.extend(group.always)
        return found if len(found) < 2 else sorted(set(found))

    def _place(self, pattern: str, group: Group) -> None:
        tokens = pattern.split(".")
        at = self._root
        for token in tokens[:-1] if tokens[-1] == REST else tokens:
            at = at.children.setdefault(token, _Place())
        if tokens[-1] == REST:
            at.rest = group
        else:
            at.exact = group


def _walk(at: _Place, tokens: list[str], depth: int, groups: list[Group]) -> None:
    if depth == len(tokens):
        if at.exact is not None:
            groups.append(at.exact)
        return
    if at.rest is not None:
        groups.append(at.rest)
    children = at.children
    if children:
        child = children.get(tokens[depth])
        if child is not None:
            _walk(child, tokens, depth + 1, groups)
        child = children.get(ONE)
        if child is not None:
            _walk(child, tokens, depth + 1, groups)


def _group(matches: Sequence[Match], numbers: list[int], used: frozenset[Key], depth: int) -> Group:
    """The rules `numbers` split by the fields that are not `used` yet."""
    if len(numbers) <= GROUP_SMALL or depth == SPLITS_MAX:
        return Group(tuple(numbers))
    choices = {number: _choices(matches[number], used, depth) for number in numbers}
    sizes = Counter(key for sets in choices.values() for keys in sets for key in keys)
    always: list[int] = []
    under: dict[Key, list[int]] = {}
    for number, sets in choices.items():
        best = min(sets, key=lambda keys: _worst(keys, sizes), default=None)
        if best is None or _worst(best, sizes)[0] == len(numbers):
            always.append(number)
            continue
        for key in best:
            under.setdefault(key, []).append(number)
    return Group(
        tuple(always),
        {key: _group(matches, below, used | {key[:-1]}, depth + 1) for key, below in under.items()},
    )


def _choices(match: Match, used: frozenset[Key], depth: int) -> list[frozenset[Key]]:
    return [
        keys
        for keys in match.index_keys()
        if next(iter(keys))[:-1] not in used and (depth == 0 or len(keys) <= COPIES_MAX)
    ]


def _worst(keys: Iterable[Key], sizes: Counter[Key]) -> tuple[int, list[Key]]:
    """How large the largest group is that a rule with these keys would stand in; the keys make the choice stable."""
    return max(sizes[key] for key in keys), sorted(keys)
