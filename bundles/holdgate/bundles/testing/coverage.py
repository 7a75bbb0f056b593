"""What of the rules the cases have seen. Pure.

A rule is covered when it counted in a case: it is among the rules of the decision. A condition is one field of
`match`, each label and each kind of `mcp` by itself, `not` as a whole, and `when`. Conditions are asked in the order
in which the kernel asks them, and one is looked at only where all before it held. It is covered when it was seen to
hold in one case and not to hold in another. A `when` that could not be evaluated was seen neither way.

Conditions of an output rule are looked at for each finding of each result, in the order of `OUTPUT_FIELDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from holdgate.bundles.testing.cases import Case, JobCase, OutputCase
from holdgate.kernel.conditions import Context
from holdgate.kernel.ids import Digest
from holdgate.kernel.index import Index
from holdgate.kernel.match import Match
from holdgate.kernel.output import OutputFacts, decide_output
from holdgate.kernel.policy import Policy, compile_policy
from holdgate.kernel.records import Job
from holdgate.kernel.rules import BundleRules, Combining, OutputRule, Rule

TOPICS = "topics"
NOT = "not"
WHEN = "when"
OUTPUT_FIELDS = (
    "tenants",
    TOPICS,
    "classifications",
    "destinations",
    "data_classes",
    "categories",
    "detectors",
    "severities",
)
"""Fields of an output rule, in the order in which they are looked at; after them its labels."""


@dataclass(frozen=True, slots=True)
class ConditionCoverage:
    """How often a condition held, and how often not."""

    name: str
    held: int
    failed: int

    @property
    def covered(self) -> bool:
        """It was seen both ways."""
        return self.held > 0 and self.failed > 0

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"name": self.name, "held": self.held, "failed": self.failed, "covered": self.covered}


@dataclass(frozen=True, slots=True)
class RuleCoverage:
    """In how many cases a rule counted, and its conditions."""

    id: str
    is_output: bool
    counted: int
    conditions: tuple[ConditionCoverage, ...]

    @property
    def covered(self) -> bool:
        """It counted in a case."""
        return self.counted > 0

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "rule": self.id,
            "output": self.is_output,
            "counted": self.counted,
            "covered": self.covered,
            "conditions": [item.as_dict() for item in self.conditions],
        }


@dataclass(frozen=True, slots=True)
class Coverage:
    """Every rule of a bundle, in the order in which they were written."""

    rules: tuple[RuleCoverage, ...]

    @property
    def conditions(self) -> tuple[ConditionCoverage, ...]:
        """Those of all rules."""
        return tuple(item for rule in self.rules for item in rule.conditions)

    @property
    def rules_percent(self) -> float:
        """Rules that counted; 100 where there are none."""
        return _percent([rule.covered for rule in self.rules])

    @property
    def conditions_percent(self) -> float:
        """Conditions that were seen both ways; 100 where there are none."""
        return _percent([item.covered for item in self.conditions])

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        conditions = self.conditions
        return {
            "rules": {
                "total": len(self.rules),
                "covered": sum(rule.covered for rule in self.rules),
                "percent": round(self.rules_percent, 1),
            },
            "conditions": {
                "total": len(conditions),
                "covered": sum(item.covered for item in conditions),
                "percent": round(self.conditions_percent, 1),
            },
            "by_rule": [rule.as_dict() for rule in self.rules],
        }


@dataclass(slots=True)
class _Tally:
    """What was seen of one rule: how often it counted, and of each condition how often it failed and held."""

    counted: int = 0
    seen: dict[str, list[int]] = field(default_factory=dict)

    def of(self, rule: Rule | OutputRule, *, is_output: bool) -> RuleCoverage:
        conditions = (ConditionCoverage(name, held, failed) for name, (failed, held) in self.seen.items())
        return RuleCoverage(rule.id, is_output, self.counted, tuple(conditions))


def measure(
    rules: BundleRules,
    cases: Sequence[Case],
    counted: Iterable[Sequence[str]],
    *,
    in_time: Callable[[], None] = lambda: None,
) -> Coverage:
    """The coverage of `rules` by `cases`; `counted` has the ids of the rules of each case's decision.

    `in_time` is called before each look and raises when there is no time left.
    """
    tallies = {rule.id: _Tally(seen={name: [0, 0] for name in _conditions(rule)}) for rule in rules.rules}
    outputs = {rule.id: _Tally(seen={name: [0, 0] for name in _output_conditions(rule)}) for rule in rules.output_rules}
    for ids in counted:
        for name in ids:
            tally = tallies.get(name) or outputs.get(name)  # of none: a rule of the kernel's own
            if tally is not None:
                tally.counted += 1
    _see_jobs(rules.rules, [case for case in cases if isinstance(case, JobCase)], tallies, in_time)
    results = [case for case in cases if isinstance(case, OutputCase)]
    _see_outputs(rules.output_rules, results, outputs, in_time)
    return Coverage(
        (
            *(tallies[rule.id].of(rule, is_output=False) for rule in rules.rules),
            *(outputs[rule.id].of(rule, is_output=True) for rule in rules.output_rules),
        )
    )


def _conditions(rule: Rule) -> Iterator[str]:
    yield from (name for name, _ in rule.match.checks)
    if rule.unless is not None:
        yield NOT
    if rule.when is not None:
        yield WHEN


def _see_jobs(
    rules: Sequence[Rule], cases: Sequence[JobCase], tallies: Mapping[str, _Tally], in_time: Callable[[], None]
) -> None:
    """Topics by the kernel's index, since that is what most rules do not get past; then the other conditions."""
    index = Index([Match(topics=rule.match.topics) for rule in rules])
    for case in cases:
        context = Context(case.job, case.now_ms)
        for number in index.candidates(case.job):
            in_time()
            rule = rules[number]
            seen = tallies[rule.id].seen
            if rule.match.topics:
                seen[TOPICS][True] += 1
            _see_job(rule, case.job, context, seen)
    for rule in rules:
        if rule.match.topics:
            counts = tallies[rule.id].seen[TOPICS]
            counts[False] = len(cases) - counts[True]


def _see_job(rule: Rule, job: Job, context: Context, seen: dict[str, list[int]]) -> None:
    """Every condition but the topic, up to the first that does not hold."""
    for name, check in rule.match.checks:
        if name == TOPICS:
            continue
        holds = check(job)
        seen[name][holds] += 1
        if not holds:
            return
    if rule.unless is not None:
        excluded = rule.unless.holds(job)
        seen[NOT][excluded] += 1
        if excluded:
            return
    if rule.when is not None:
        answer = context.test(rule.when)
        if isinstance(answer, bool):
            seen[WHEN][answer] += 1


def _output_conditions(rule: OutputRule) -> Iterator[str]:
    yield from (name for name in OUTPUT_FIELDS if getattr(rule, name))
    yield from (f"labels.{key}" for key, _ in rule.labels)


def _see_outputs(
    rules: Sequence[OutputRule],
    results: Sequence[OutputCase],
    tallies: Mapping[str, _Tally],
    in_time: Callable[[], None],
) -> None:
    """Asks rules that have only the first so many conditions of a rule: where such a one matches, these hold."""
    if not rules or not results:
        return
    steps = {rule.id: list(_up_to(rule)) for rule in rules}
    policy = _policy([step for part in steps.values() for step in part])
    for case in results:
        for facts in _parts(case):
            in_time()
            matching = set(decide_output(policy, facts, case.now_ms).rules)
            for rule in (rule for rule in rules if facts.findings or rule.keeps_whole):
                for step, counts in zip(steps[rule.id], tallies[rule.id].seen.values(), strict=True):
                    holds = step.id in matching
                    counts[holds] += 1
                    if not holds:
                        break


def _parts(case: OutputCase) -> Iterator[OutputFacts]:
    """The output as it would be with one of its findings alone, its data class as it is; whole where it has none."""
    facts = case.facts
    whole = decide_output(_policy(()), facts, case.now_ms)
    for finding in facts.findings:
        yield replace(facts, findings=(finding,), fingerprints=(), input_class=str(whole.data_class))
    if not facts.findings:
        yield facts


def _up_to(rule: OutputRule) -> Iterator[OutputRule]:
    """For every condition a rule with it and those before it."""
    step = OutputRule(rule.id, rule.bundle, rule.verdict, rule.reason)
    for number, name in enumerate(_output_conditions(rule)):
        if name in OUTPUT_FIELDS:
            step = replace(step, **{name: getattr(rule, name)})
        else:
            step = replace(step, labels=rule.labels[: len(step.labels) + 1])
        yield replace(step, id=f"{rule.id} {number}")


def _policy(output_rules: Sequence[OutputRule]) -> Policy:
    rules = BundleRules("coverage", Combining.DENY_OVERRIDES, (), tuple(output_rules))
    return compile_policy([rules], snapshot=Digest("sha256:" + "0" * 64))


def _percent(covered: Sequence[bool]) -> float:
    return 100 * sum(covered) / len(covered) if covered else 100.0
