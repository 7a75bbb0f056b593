"""Which mutants of a bundle's rules its cases do not notice. Pure.

What always holds: a mutant is judged by the evaluator, over every case whose decision it can change: those that its
rule matches before or after the change. Rules that match none of these cases are left out of the evaluation, since
they have no part in the decisions. A mutant survives when all cases still pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from holdgate.bundles.testing.cases import Case, JobCase, OutputCase
from holdgate.bundles.testing.mutants import Mutant, mutants
from holdgate.bundles.testing.run import UNNAMED, Bench, Suite
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.output import decide_output
from holdgate.kernel.policy import compile_policy
from holdgate.kernel.rules import BundleRules, Combining, OutputRule, Rule

MUTANTS_MAX = 100_000


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
        self._outputs = [case for case in suite.cases if isinstance(case, OutputCase)]
        self._reached = {rule.id: _matching(rule, self._jobs) for rule in suite.rules.rules}
        self._partners: dict[int, list[str]] = {number: [] for number in range(len(self._jobs))}
        for name, numbers in self._reached.items():
            for number in numbers:
                self._partners[number].append(name)

    def outcomes(self) -> Iterator[Outcome]:
        """One for each of `mutants`, in their order."""
        for mutant in self.mutants:
            before, after = mutant.before, mutant.after
            if isinstance(before, Rule):
                noticed = self._notice(before, after if isinstance(after, Rule) else None)
            else:
                noticed = self._notice_output(before, after if isinstance(after, OutputRule) else None)
            yield Outcome(mutant, noticed)

    def _notice(self, before: Rule, after: Rule | None) -> Case | None:
        numbers = set(self._reached[before.id])
        if after is not None and after.match is not before.match:
            numbers.update(_matching(after, self._jobs))
        if not numbers:
            return None
        needed = {name for number in numbers for name in self._partners[number]} - {before.id}
        rules: list[Rule] = []
        for rule in self._rules.rules:
            if rule.id == before.id and after is not None:
                rules.append(after)
            elif rule.id in needed:
                rules.append(rule)
        bench = Bench.of(replace(self._rules, rules=tuple(rules), output_rules=()))
        return _first_failing(bench, [self._jobs[number] for number in sorted(numbers)])

    def _notice_output(self, before: OutputRule, after: OutputRule | None) -> Case | None:
        changed = [rule for rule in (before, after) if rule is not None]
        cases = _speaking(changed, self._outputs)
        rules = [after if rule.id == before.id else rule for rule in self._rules.output_rules]
        kept = tuple(rule for rule in rules if rule is not None)
        return _first_failing(Bench.of(replace(self._rules, rules=(), output_rules=kept)), cases)


def _matching(rule: Rule, cases: Sequence[JobCase]) -> list[int]:
    """The cases whose decision the rule may have a part in: its `match` holds, whatever `not` and `when` say."""
    holds = rule.match.holds
    return [number for number, case in enumerate(cases) if holds(case.job)]


def _speaking(rules: Sequence[OutputRule], cases: Sequence[OutputCase]) -> list[OutputCase]:
    """The cases with a finding of which one of these rules speaks."""
    named = tuple(replace(rule, id=str(number)) for number, rule in enumerate(rules))
    only = BundleRules("mutation", Combining.DENY_OVERRIDES, (), named)
    policy = compile_policy([only], snapshot=UNNAMED)
    return [case for case in cases if decide_output(policy, case.facts).rules]


def _first_failing(bench: Bench, cases: Sequence[Case]) -> Case | None:
    return next((case for case in cases if bench.ask(case)[0]), None)
