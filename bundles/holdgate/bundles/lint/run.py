"""All checks over a set of bundles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from holdgate.bundles.lint.approvers import approver_findings
from holdgate.bundles.lint.budget import Budget
from holdgate.bundles.lint.catalog import finding
from holdgate.bundles.lint.conditions import condition_findings, never_holds
from holdgate.bundles.lint.detectors import detector_findings
from holdgate.bundles.lint.findings import Finding, LintContext
from holdgate.bundles.lint.grants import Together, grant_findings
from holdgate.bundles.lint.outputs import output_findings
from holdgate.bundles.lint.placed import Placed, placed
from holdgate.bundles.lint.shadows import Neighbours, shadow_findings
from holdgate.bundles.lint.words import reason_findings, word_findings
from holdgate.bundles.trusted import covers_pattern
from holdgate.kernel.rules import BundleRules, Combining

ORDER_RULES_MAX = 500
"""Largest bundle of which it is asked whether the order of its rules means something: each is compared with each."""


def lint(bundles: Sequence[BundleRules], context: LintContext) -> list[Finding]:
    """What is worth a look in `bundles`, taken as being in force together; bundles and rules in their order."""
    order = {
        (bundle.name, name): (place, position)
        for place, bundle in reversed(list(enumerate(bundles)))
        for position, name in enumerate(bundle.ids, 1)
    }
    whole = {bundle.name: (place, 0) for place, bundle in enumerate(bundles)}
    budget = Budget()
    found = [*_of_rules(bundles, context, budget), *_of_outputs(bundles, context, budget), *_of_bundles(bundles)]
    if budget.left <= 0:
        message = "too many rules and topics to compare each with each; some pairs were not looked at"
        found.append(finding("not-compared", bundles[0].name, "", message))
    return sorted(dict.fromkeys(found), key=lambda item: order.get((item.bundle, item.rule), whole[item.bundle]))


def _of_rules(bundles: Sequence[BundleRules], context: LintContext, budget: Budget) -> Iterator[Finding]:
    by_bundle = {bundle.name: placed(bundle) for bundle in bundles}
    alive: list[Placed] = []
    for item in (item for items in by_bundle.values() for item in items):
        dead = never_holds(item)
        if dead is None:
            alive.append(item)
        else:
            yield dead
    neighbours = Neighbours.of(by_bundle, alive, budget)
    together = Together.of(alive, neighbours, context)
    for item in alive:
        yield from condition_findings(item)
        yield from shadow_findings(item, neighbours)
        yield from grant_findings(item, together)
        yield from _redundant_topics(item, budget)
    for item in (item for items in by_bundle.values() for item in items):
        yield from reason_findings(item.rule)
        yield from approver_findings(item.rule, context)
        yield from word_findings(item.rule, item.tree, context, budget)


def _of_outputs(bundles: Sequence[BundleRules], context: LintContext, budget: Budget) -> Iterator[Finding]:
    yield from output_findings(bundles)
    yield from detector_findings(bundles, context)
    for entry in (item for bundle in bundles for item in bundle.allow_findings):
        yield from reason_findings(entry)
    for rule in (rule for bundle in bundles for rule in bundle.output_rules):
        yield from reason_findings(rule)
        yield from word_findings(rule, None, context, budget)


def _of_bundles(bundles: Sequence[BundleRules]) -> Iterator[Finding]:
    owner: dict[str, str] = {}
    for bundle in bundles:
        for name in bundle.ids:
            other = owner.setdefault(name, bundle.name)
            if other != bundle.name:
                message = f"bundle `{other}` has a rule of this id, too, and the set is refused; rename one"
                yield finding("clashing-id", bundle.name, name, message)
        if bundle.combining is Combining.FIRST_APPLICABLE and _order_means_nothing(placed(bundle)):
            message = "says `first-applicable`, and the order of its rules means nothing; drop `combining`"
            yield finding("dead-combining", bundle.name, "", message)


def _order_means_nothing(items: Sequence[Placed]) -> bool:
    return len(items) <= ORDER_RULES_MAX and all(
        one.region.is_apart(other.region) for place, one in enumerate(items) for other in items[place + 1 :]
    )


def _redundant_topics(item: Placed, budget: Budget) -> Iterator[Finding]:
    topics = item.rule.match.topics
    if not budget.spend(len(topics) * (len(topics) - 1)):
        return
    for narrow in dict.fromkeys(topics):
        wide = next((other for other in topics if other != narrow and covers_pattern(other, narrow)), None)
        if wide is not None:
            message = f"its topic `{wide}` includes `{narrow}`; drop one of them"
            yield finding("redundant-topic", item.rule.bundle, item.rule.id, message)
