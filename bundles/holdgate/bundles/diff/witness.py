"""Finding a job that two policies decide differently, near the reach of a rule.

Candidates are made of what the rule, and one by which the job could run, ask for: a topic for each pattern, each value
of a list, as little else as possible; then of what other rules on the way spare (`not`) or test. Each is put before the
one evaluator under both policies. What always holds: what is found is decided differently; the number of candidates is
bounded, so that finding none says nothing.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from typing import Any, TypeAlias

from holdgate.bundles.diff.areas import EVERY_TOPIC, LABEL, Area, Reach, area_of, meet, price
from holdgate.bundles.diff.hints import hints
from holdgate.bundles.diff.samples import PII, SECRETS
from holdgate.bundles.diff.sides import LIFTING, Budget, Placed, Side
from holdgate.bundles.diff.strictness import Loosening, loosened
from holdgate.bundles.simulate import Measured, job_of_facts
from holdgate.kernel.clock import parse_rfc3339
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.evaluate import evaluate
from holdgate.kernel.policy import STRICTNESS
from holdgate.kernel.records import Decision, Job, Phase
from holdgate.kernel.rules import Rule
from holdgate.kernel.topics import ONE, REST

Facts: TypeAlias = dict[str, Any]
NOW = "2026-01-05T12:00:00Z"
"""A Monday: the time of an example that does not say another."""
NOW_MS = parse_rfc3339(NOW)
EVALUATIONS_MAX = 20_000
"""Candidates in one comparison, where rules have few conditions."""
CONDITIONS_PER_COST = 5
"""So many conditions may make a candidate as dear as one more."""
CANDIDATES_MAX = 300
"""Candidates for one rule and one other by which the job could run."""
CANDIDATES_FIRST = 20
"""As many are tried with each other rule before more are with some."""
NEAREST_MAX = 4
"""Rules with which more are tried."""
SAMPLES_MAX = 1000
PARTNERS_MAX = 12
LOOKED_AT_MAX = 20_000
"""Rules that are looked at for being among them."""
LOOKS_PER_COST = 20
"""So many looks take as long as one candidate."""
VALUES_MAX = 6
"""Values tried of one list."""
PARTS_MAX = 80
"""Parts that the candidates of one search are made of."""
WAYS_OUT_MAX = 10
STEPS_MAX = 3
"""Steps from the plainest candidate, each to the best of its neighbours."""
WORST = (-1, 0)
"""The score of what is no job."""
FRESH = "some"


@dataclass(frozen=True, slots=True)
class Witness:
    """A job, as facts for simulate, that `now` lets do more than `was`, and how; `measured`: what is in its prompt."""

    facts: Mapping[str, Any]
    measured: Measured
    was: Decision
    now: Decision
    how: Loosening


class Search:
    """Looks for jobs that may do more under `now` than under `was`. `effort` is shared over a comparison."""

    def __init__(self, was: Side, now: Side, effort: Budget, samples: Sequence[Facts]) -> None:
        self._was = was
        self._now = now
        self._effort = effort
        conditions = sum(rule.when is not None for side in (was, now) for rule in side.policy.rules)
        self._cost = 1 + conditions // CONDITIONS_PER_COST
        self._reads_now = was.policy.reads_now or now.policy.reads_now
        self._samples = samples[:SAMPLES_MAX]
        self._known: list[Witness] | None = None

    def near(self, placed: Placed, twin: Rule | None, aspects: frozenset[str]) -> Witness | None:
        """A job in the reach of the rule, which counts for it, best one that differs in one of `aspects`.

        `twin` is what the rule is or was on the other side.
        """
        second: Witness | None = None
        rules = [placed.rule] if twin is None else [placed.rule, twin]
        if placed.reach.area.is_empty or self._effort.left <= 0:
            return None
        for found in self._of_samples(placed.rule.id):
            if found.how.aspect in aspects:
                return found
            second = second or found
        near = [(placed.reach.area, rules)]
        for partner in self._partners(placed):
            area = meet(placed.reach.area, partner.area)
            if area is not None:
                near.append((area, [*rules, partner.rule]))
        for candidates_max, areas in ((CANDIDATES_FIRST, near), (CANDIDATES_MAX, near[:NEAREST_MAX])):
            for area, asking in areas:
                for found in self._in(area, asking, placed.rule.id, candidates_max):
                    if found.how.aspect in aspects:
                        return found
                    second = second or found
        return second

    def _of_samples(self, counting: str) -> Iterator[Witness]:
        """The samples that may do more, and that the rule counts for."""
        if self._known is None:
            tried = (self._try(facts) for facts in self._samples if self._effort.spend(self._cost))
            self._known = [found for result in tried if result is not None for found in result[2]]
        return (found for found in self._known if counting in (*found.was.rules, *found.now.rules))

    def _partners(self, placed: Placed) -> Iterator[Reach]:
        """Rules by which a job of that reach could run."""
        lifting = (item.reach for item in self._now.placed if item.rule.decision in LIFTING)
        looked_at = Budget(LOOKED_AT_MAX)
        near = (
            reach
            for reach in lifting
            if looked_at.spend(price(reach.area, placed.reach.area)) and not reach.is_apart_from(placed.reach)
        )
        yield from islice(near, PARTNERS_MAX)
        self._effort.spend((LOOKED_AT_MAX - looked_at.left) // LOOKS_PER_COST)

    def _in(self, area: Area, rules: Sequence[Rule], counting: str, candidates_max: int) -> Iterator[Witness]:
        """Jobs of the area that differ: the plainest first, then step by step towards what `now` lets do most."""
        candidates = Candidates(list(_options(area)), rules)
        for draft in islice(candidates, candidates_max):
            if not self._effort.spend(self._cost):
                return
            tried = self._try(draft)
            if tried is None:
                continue
            was, now, found = tried
            if counting in (*was.rules, *now.rules):
                yield from found
            candidates.learn(
                (STRICTNESS[now.verdict], -STRICTNESS[was.verdict]),
                [*(self._was.rules[name] for name in was.rules), *(self._now.rules[name] for name in now.rules)],
            )

    def _try(self, draft: Facts) -> tuple[Decision, Decision, list[Witness]] | None:
        """What both sides decide, and in which respects `now` lets the job do more; None where it is no job."""
        facts = {name: value for name, value in draft.items() if name not in (SECRETS, PII)}
        measured = Measured(bool(draft.get(SECRETS)), bool(draft.get(PII)))
        try:
            job, at_ms = job_of_facts(facts, 1, NOW_MS, lambda _prompt, _payload: measured)
        except InvalidInput:
            return None
        was, now = _decide(self._was, job, at_ms), _decide(self._now, job, at_ms)
        if self._reads_now:
            facts.setdefault("now", NOW)
        how = loosened(was, now, self._was.rules, self._now.rules)
        return was, now, [Witness(facts, measured, was, now, item) for item in how]


def _decide(side: Side, job: Job, at_ms: int) -> Decision:
    return evaluate(side.policy, job, now_ms=at_ms, phase=Phase.SIMULATE)


@dataclass(frozen=True, slots=True)
class _Part:
    """What a candidate says otherwise: another choice of a field, in place of the first, or something besides."""

    facts: Facts
    choice: int | None = None


class Candidates:
    """Facts to try, each told after the one before it what came of that (`learn`).

    First those that say as little as can be, then with one part otherwise; the best of these is where the next step
    starts, and so on; in the end pairs of parts.
    """

    def __init__(self, choices: Sequence[Sequence[Facts]], rules: Sequence[Rule]) -> None:
        self._choices = choices
        hinted = (_Part(hint) for rule in rules if rule.when is not None for hint in hints(rule.when))
        others = (_Part(facts, place) for place, options in enumerate(choices) for facts in options[1:])
        self._parts = [*hinted, *others]
        self._met: set[int] = set()
        self._score = WORST

    def learn(self, score: tuple[int, int], matching: Iterable[Rule]) -> None:
        """How good the last candidate was (larger is better), and which rules matched it."""
        self._score = score
        for rule in matching:
            if id(rule) not in self._met and len(self._parts) < PARTS_MAX:
                self._met.add(id(rule))
                self._parts.extend(map(_Part, islice(_ways_out(rule), WAYS_OUT_MAX)))

    def __iter__(self) -> Iterator[Facts]:
        start: tuple[_Part, ...] = ()
        best = yield from self._scored(start)
        for _ in range(STEPS_MAX):
            step = None
            for part in self._parts:  # grows while it is walked
                score = yield from self._scored((*start, part))
                if score > best:
                    best, step = score, part
            if step is None:
                break
            start = (*start, step)
        for pair in combinations(self._parts, 2):
            yield from self._scored(pair)

    def _scored(self, parts: tuple[_Part, ...]) -> Generator[Facts, None, tuple[int, int]]:
        self._score = WORST
        yield self._draft(parts)
        return self._score

    def _draft(self, parts: tuple[_Part, ...]) -> Facts:
        chosen = {part.choice: part.facts for part in parts if part.choice is not None}
        facts: Facts = {}
        for place, options in enumerate(self._choices):
            facts = _with(facts, chosen.get(place, options[0]))
        for part in parts:
            if part.choice is None:
                facts = _with(facts, part.facts)
        return facts


def _ways_out(rule: Rule) -> Iterator[Facts]:
    """Facts under which the rule might not match: what it spares, and what its condition is about."""
    spared = None if rule.unless is None else area_of(rule.unless)
    if spared is not None and not spared.is_empty:
        options = list(_options(spared))[0 if spared.topics != EVERY_TOPIC else 1 :]
        facts: Facts = {}
        for choice in options:
            facts = _with(facts, choice[0])
        yield facts
        yield from (
            _with(facts, other) for choice in options for other in choice[1:] if not {SECRETS, PII} & other.keys()
        )
    if rule.when is not None:
        yield from hints(rule.when)


def _options(area: Area) -> Iterator[list[Facts]]:
    topics = [topic for pattern in area.topics[: 2 * VALUES_MAX] for topic in plain_topics(pattern)]
    yield [{"topic": topic} for topic in sorted(topics, key=lambda topic: topic.count("."))]
    for name, values in area.one.items():
        chosen = sorted(values)[:VALUES_MAX]
        key = name.removeprefix(LABEL)
        yield [{name: value} if key == name else {"labels": {key: value}} for value in chosen]
    for name, values in area.some:
        yield [{name: [value]} for value in sorted(values)[:VALUES_MAX]]
    if area.requires:
        yield [{"requires": sorted(area.requires)}]
    for name, wanted in ((SECRETS, area.secrets), (PII, area.pii)):
        yield [{}, {name: True}] if wanted is None else [{name: wanted}]
    for name in ("tenant", "actor", "actor_type"):
        if name not in area.one:
            yield [{}, {name: FRESH}]


def plain_topics(pattern: str) -> Iterable[str]:
    """Topics of a pattern, as plain as can be."""
    filled = [FRESH if token == ONE else token for token in pattern.split(".")]
    if filled[-1] != REST:
        return [".".join(filled)]
    stem = filled[:-1]
    return [".".join([*stem, *[FRESH] * count]) for count in (1, 2, 3)]


def _with(facts: Facts, more: Facts) -> Facts:
    """The facts with `more` in them, which wins where both say something."""
    merged = dict(facts)
    for name, value in more.items():
        old = merged.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            merged[name] = _with(old, value)
        elif isinstance(old, list) and isinstance(value, list) and name != "payload":
            merged[name] = [*old, *(item for item in value if item not in old)]
        else:
            merged[name] = value
    return merged
