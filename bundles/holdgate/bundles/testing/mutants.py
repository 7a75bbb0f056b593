"""Mutants: rules of which one thing was changed so that they allow more, or something else. Pure.

Of every rule: the rule dropped; its decision flipped; its `when` negated, and changed within (`expressions.py`). Of one
that allows: its match wider, or its `not` narrower or gone, or its `when` gone. Of one that denies, holds or throttles:
its match narrower, or its `not` wider. Of what a rule demands (`terms.py`): each demand looser. Of an output rule:
dropped, its verdict one weaker, its match narrower; of one that allows: quarantined, its match wider.

What always holds: a mutant differs from its rule, and two mutants of a rule differ from each other. But for those
within a `when`, which differ as texts, they do so for some job that a bundle may meet. Left out for that: `when`
replaced by false and a list without its only value (the rule dropped), a field that another one implies, a pattern that
another one covers, verdicts about what is always quarantined.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from holdgate.bundles.testing.expressions import edits
from holdgate.bundles.testing.fields import Step, narrower, wider
from holdgate.bundles.testing.terms import looser_approval, looser_constraints, looser_rate
from holdgate.kernel.conditions import Condition, parse_condition
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.match import Match
from holdgate.kernel.output import FLOOR
from holdgate.kernel.records import ALLOWING, NO_CONSTRAINTS, Over, Verdict
from holdgate.kernel.rules import BundleRules, OutputRule, OutputVerdict, Rule

_WEAKER = {OutputVerdict.QUARANTINE: OutputVerdict.REDACT, OutputVerdict.REDACT: OutputVerdict.ALLOW}


@dataclass(frozen=True, slots=True)
class Mutant:
    """`after` in place of `before`, or nothing. `hint`: a test that would notice."""

    change: str
    hint: str
    before: Rule | OutputRule
    after: Rule | OutputRule | None

    @property
    def rule(self) -> str:
        """The id of the rule that was changed."""
        return self.before.id


def mutants(rules: BundleRules) -> Iterator[Mutant]:
    """Every mutant of every rule, in the order of the rules."""
    for rule in rules.rules:
        yield from _of_rule(rule)
    for output_rule in rules.output_rules:
        yield from _of_output_rule(output_rule)


def _of_rule(rule: Rule) -> Iterator[Mutant]:
    yield Mutant("dropped", f"a job that `{rule.id}` decides, with `rules: [{rule.id}]`", rule, None)
    yield from _flipped(rule)
    yield from _allows_more(rule) if rule.decision in ALLOWING else _restricts_less(rule)
    yield from _conditions(rule)
    yield from _demands_less(rule)


def _flipped(rule: Rule) -> Iterator[Mutant]:
    hint = f"a job that `{rule.id}` decides, with its `verdict`"
    for verdict in (Verdict.ALLOW, Verdict.DENY):
        if verdict is not rule.decision and (verdict is Verdict.ALLOW or rule.decision in ALLOWING):
            bare = replace(rule, constraints=NO_CONSTRAINTS, remediations=(), approval=None, throttle=None)
            yield Mutant(
                f"decision `{rule.decision}` turned into `{verdict}`", hint, rule, replace(bare, decision=verdict)
            )


def _allows_more(rule: Rule) -> Iterator[Mutant]:
    for step, match in wider(rule.match):
        hint = f"a job like one that `{rule.id}` allows{step.told_by}, with its `verdict` and `rules`"
        yield Mutant(step.change, hint, rule, replace(rule, match=match.with_checks()))
    if rule.unless is None:
        return
    hint = f"a job like one that `{rule.id}` allows, but excluded by its `not`"
    yield Mutant("`not` removed", hint, rule, replace(rule, unless=None))
    for step, match in narrower(rule.unless):
        yield _in_not(step, rule, match, hint + step.told_by)


def _restricts_less(rule: Rule) -> Iterator[Mutant]:
    for step, match in narrower(rule.match):
        hint = f"a job that `{rule.id}` decides{step.told_by}"
        yield Mutant(step.change, hint, rule, replace(rule, match=match.with_checks()))
    if rule.unless is None:
        return
    for step, match in wider(rule.unless):
        if match.with_checks().checks:  # without any field the rule never matches: the same as dropped
            hint = f"a job that `{rule.id}` decides since only `{step.field}` of its `not` does not hold"
            yield _in_not(step, rule, match, hint)


def _in_not(step: Step, rule: Rule, unless: Match, hint: str) -> Mutant:
    return Mutant(f"in `not`: {step.change}", hint, rule, replace(rule, unless=unless.with_checks()))


def _conditions(rule: Rule) -> Iterator[Mutant]:
    if rule.when is None:
        return
    if rule.decision in ALLOWING:
        hint = f"a job like one that `{rule.id}` allows, for which its `when` is false"
        yield Mutant("`when` removed", hint, rule, replace(rule, when=None))
    negated = _parsed(f"!({rule.when.source})")
    if negated is not None:
        hint = f"two jobs, one for which `when` of `{rule.id}` is true and one for which it is false"
        yield Mutant("`when` negated", hint, rule, replace(rule, when=negated))
    for edit in edits(rule.when.source):
        changed = _parsed(edit.source)
        if changed is not None:
            hint = (
                f"a job like one that `{rule.id}` decides, {edit.told_by}, with its `verdict`, `rules` and `matching`"
            )
            yield Mutant(f"in `when`: {edit.change}", hint, rule, replace(rule, when=changed))


def _parsed(source: str) -> Condition | None:
    """None where it is no condition, such as one that is longer than an expression may be."""
    try:
        return parse_condition(source)
    except InvalidInput:
        return None


def _demands_less(rule: Rule) -> Iterator[Mutant]:
    for change, constraints in looser_constraints(rule.constraints):
        hint = f"a job that `{rule.id}` decides, with `constraints` and `others: none`"
        yield Mutant(change, hint, rule, replace(rule, constraints=constraints))
    if rule.approval is not None:
        for change, approval in looser_approval(rule.approval):
            hint = (
                f"a job that `{rule.id}` holds, with `approvers`: roles, names, quorum, expires, and what else it says"
            )
            yield Mutant(change, hint, rule, replace(rule, approval=approval))
    if rule.throttle is not None:
        for change, rate in looser_rate(rule.throttle):
            hint = f"a job that `{rule.id}` throttles, with `throttle`: limit, per, key, over"
            releases = rule.approval if rate.over is Over.HOLD else None
            yield Mutant(change, hint, rule, replace(rule, throttle=rate, approval=releases))


def _of_output_rule(rule: OutputRule) -> Iterator[Mutant]:
    yield Mutant("dropped", f"a finding that `{rule.id}` speaks of, with `rules: [{rule.id}]`", rule, None)
    allows = rule.verdict is OutputVerdict.ALLOW
    verdict = OutputVerdict.QUARANTINE if allows else _WEAKER[rule.verdict]
    if not rule.categories or not rule.categories <= FLOOR:
        hint = f"a finding that `{rule.id}` speaks of, with its `verdict`"
        change = f"verdict `{rule.verdict}` turned into `{verdict}`"
        yield Mutant(change, hint, rule, replace(rule, verdict=verdict))
    for step, changed in wider(rule) if allows else narrower(rule):
        hint = (
            f"a result like one that `{rule.id}` allows{step.told_by}, with its `verdict` and `rules`"
            if allows
            else f"a finding that `{rule.id}` speaks of{step.told_by}"
        )
        yield Mutant(step.change, hint, rule, changed)
