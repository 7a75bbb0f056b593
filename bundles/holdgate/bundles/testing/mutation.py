"""Which mutants of a bundle's rules its cases do not notice. Pure.

What always holds: a mutant is judged by the evaluator, over every case whose decision it can change: those in which its
rule matches, or in which it matches as one and not as the other where only its conditions were changed. Rules that
match in none of these cases are left out, since they have no part in the decisions. A mutant survives when all cases
still pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, TypeAlias

from holdgate.bundles.testing.cases import Case, JobCase, OutputCase
from holdgate.bundles.testing.mutants import Mutant, mutants
from holdgate.bundles.testing.run import UNNAMED, Bench, Suite
from holdgate.kernel import limits
from holdgate.kernel.conditions import Context
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.output import decide_output
from holdgate.kernel.policy import compile_policy
from holdgate.kernel.rules import BundleRules, Combining, OutputRule, Rule

MUTANTS_MAX = 100_000
BATCH = 8
"""Cases that are asked before there is a look whether one noticed; eight times as many each time after."""
COST_MAX = MUTANTS_MAX * limits.EVALUATION_COST_MAX
"""Each mutant may cost what a decision may: they share a job, and are of decisions of their own."""
Answer: TypeAlias = bool | str
"""Of a rule about a job: it matches, or why its `when` could not be evaluated."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A mutant, and the case that noticed it; None: it survived."""

    mutant: Mutant
    noticed_by: Case | None


@dataclass(frozen=True, slots=True)
class MutationReport:
    """How many mutants there were, and those that survived."""

    total: int
    survivors: tuple[Mutant, ...]

    @classmethod
    def of(cls, outcomes: Iterable[Outcome]) -> MutationReport:
        """The report of all outcomes."""
        seen = list(outcomes)
        return cls(len(seen), tuple(outcome.mutant for outcome in seen if outcome.noticed_by is None))

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "mutants": self.total,
            "survived": len(self.survivors),
            "survivors": [
                {"rule": mutant.rule, "change": mutant.change, "hint": mutant.hint} for mutant in self.survivors
            ],
        }


class Mutation:
    """The mutants of a suite, all of whose cases pass."""

    def __init__(self, suite: Suite) -> None:
        """InvalidInput where there are more mutants than are looked at."""
        self.mutants = list(islice(mutants(suite.rules), MUTANTS_MAX + 1))
        if len(self.mutants) > MUTANTS_MAX:
            raise InvalidInput(f"more than {MUTANTS_MAX} mutants; test the files of the bundle as bundles of their own")
        self._rules = suite.rules
        self._jobs = [case for case in suite.cases if isinstance(case, JobCase)]
        self._contexts = [Context(case.job, case.now_ms, cost_max=COST_MAX) for case in self._jobs]
        self._outputs = [case for case in suite.cases if isinstance(case, OutputCase)]
        self._reached = {rule.id: self._reach(rule) for rule in suite.rules.rules}
        self._answers: dict[str, dict[int, Answer]] = {}
        for rule in suite.rules.rules:
            asked = ((number, self._ask(rule, number)) for number in self._reached[rule.id])
            self._answers[rule.id] = {number: answer for number, answer in asked if answer is not None}
        self._matching: list[list[str]] = [[] for _ in self._jobs]
        for name, answers in self._answers.items():
            for number in answers:
                self._matching[number].append(name)

    def outcomes(self) -> Iterator[Outcome]:
        """One for each of `mutants`, in their order."""
        for mutant in self.mutants:
            before, after = mutant.before, mutant.after
            if isinstance(before, Rule):
                noticed = self._notice(before, after if isinstance(after, Rule) else None)
            else:
                noticed = self._notice_output(before, after if isinstance(after, OutputRule) else None)
            yield Outcome(mutant, noticed)

    def _reach(self, rule: Rule) -> dict[int, None]:
        """The numbers of the cases in which its `when` is asked."""
        unless = rule.unless
        return {
            number: None
            for number, case in enumerate(self._jobs)
            if rule.match.holds(case.job) and (unless is None or not unless.holds(case.job))
        }

    def _ask(self, rule: Rule, number: int) -> Answer | None:
        """Whether a rule that the case reached matches, or why that cannot be said; None: it does not."""
        answer = True if rule.when is None else self._contexts[number].test(rule.when)
        return None if answer is False else answer

    def _affected(self, before: Rule, after: Rule | None) -> Iterator[int]:
        """The cases whose decision can differ, first those in which the rule matched."""
        answers = self._answers[before.id]
        if after is None or _conditions(before) == _conditions(after):
            yield from answers
            return
        same_reach = (before.match, before.unless) == (after.match, after.unless)
        reached = self._reached[before.id] if same_reach else self._reach(after)
        for number in (*answers, *(other for other in reached if other not in answers)):
            changed = self._ask(after, number) if same_reach or number in reached else None
            if changed != answers.get(number):
                yield number

    def _notice(self, before: Rule, after: Rule | None) -> Case | None:
        """A few cases at a time, then more, since most mutants are noticed by the first."""
        affected = self._affected(before, after)
        batch = BATCH
        while numbers := list(islice(affected, batch)):
            failing = _first_failing(self._bench(before, after, numbers), [self._jobs[number] for number in numbers])
            if failing is not None:
                return failing
            batch *= BATCH
        return None

    def _bench(self, before: Rule, after: Rule | None, numbers: Iterable[int]) -> Bench:
        needed = {name for number in numbers for name in self._matching[number]} - {before.id}
        rules: list[Rule] = []
        for rule in self._rules.rules:
            if rule.id == before.id and after is not None:
                rules.append(after)
            elif rule.id in needed:
                rules.append(rule)
        return Bench.of(replace(self._rules, rules=tuple(rules), output_rules=()))

    def _notice_output(self, before: OutputRule, after: OutputRule | None) -> Case | None:
        changed = [rule for rule in (before, after) if rule is not None]
        cases = _speaking(changed, self._outputs)
        rules = [after if rule.id == before.id else rule for rule in self._rules.output_rules]
        kept = tuple(rule for rule in rules if rule is not None)
        return _first_failing(Bench.of(replace(self._rules, rules=(), output_rules=kept)), cases)


def _conditions(rule: Rule) -> tuple[object, ...]:
    return rule.match, rule.unless, rule.when


def _speaking(rules: Sequence[OutputRule], cases: Sequence[OutputCase]) -> list[OutputCase]:
    """The cases with a finding of which one of these rules speaks."""
    named = tuple(replace(rule, id=str(number)) for number, rule in enumerate(rules))
    only = BundleRules("mutation", Combining.DENY_OVERRIDES, (), named)
    policy = compile_policy([only], snapshot=UNNAMED)
    return [case for case in cases if decide_output(policy, case.facts, case.now_ms).rules]


def _first_failing(bench: Bench, cases: Sequence[Case]) -> Case | None:
    return next((case for case in cases if bench.ask(case)[0]), None)
