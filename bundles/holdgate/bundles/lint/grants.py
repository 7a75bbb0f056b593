"""What rules let through that an author may not have meant to, and what they forbid that was meant to pass."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from holdgate.bundles.lint.budget import Budget
from holdgate.bundles.lint.catalog import finding
from holdgate.bundles.lint.findings import Finding, LintContext, Severity
from holdgate.bundles.lint.placed import Placed, holds_wherever
from holdgate.bundles.lint.regions import Region, common_pattern, region_of
from holdgate.bundles.lint.shadows import Neighbours
from holdgate.kernel.match import Match
from holdgate.kernel.policy import STRICTNESS
from holdgate.kernel.records import NO_CONSTRAINTS, Verdict
from holdgate.kernel.topics import ONE, REST

# fmt: off
WRITE_WORDS = frozenset({
    "admin", "apply", "approve", "cancel", "charge", "commit", "create", "delete", "deploy", "destroy", "disable",
    "drop", "enable", "exec", "execute", "grant", "insert", "install", "invoke", "kill", "merge", "modify", "move",
    "patch", "pay", "post", "publish", "purge", "push", "put", "refund", "remove", "rename", "reset", "restart",
    "revoke", "rollback", "rotate", "run", "scale", "send", "set", "shutdown", "start", "stop", "terminate",
    "transfer", "truncate", "uninstall", "update", "upload", "upsert", "write",
})
# fmt: on
"""A capability, or a topic, whose last word is one of these is taken to change something, where a vocabulary does not
say which do."""
_EVERYTHING = region_of(Match())
_WORDS = re.compile(r"[A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class Together:
    """All rules looked at together: those that can match, and what finds their neighbours.

    `passing`: those by which a job can run, since they allow it or let a person release it. `deep`: those that allow
    topics by a pattern that ends in `>` or `*`.
    """

    alive: Sequence[Placed]
    passing: Sequence[Placed]
    deep: Sequence[Placed]
    neighbours: Neighbours
    budget: Budget
    context: LintContext
    topics: int
    """Of all rules together."""

    @classmethod
    def of(cls, alive: Sequence[Placed], neighbours: Neighbours, context: LintContext) -> Together:
        """Of the rules `alive`."""
        allowing = [item for item in alive if item.allows]
        passing = [item for item in alive if item.allows or item.rule.decision is Verdict.REQUIRE_APPROVAL]
        deep = [item for item in allowing if any(pattern.endswith((REST, ONE)) for pattern in item.region.topics)]
        topics = sum(len(item.region.topics) for item in alive)
        return cls(alive, passing, deep, neighbours, neighbours.budget, context, topics)

    def none_passes(self, region: Region) -> bool:
        """Whether certainly no rule looked at lets a job of `region` run."""
        affordable = self.budget.spend(self.topics * len(region.topics))
        return affordable and all(item.region.is_apart(region) for item in self.passing)


def grant_findings(item: Placed, together: Together) -> Iterator[Finding]:
    """What is worth a look in what one rule lets through or forbids."""
    if item.allows:
        yield from _everything(item)
    if item.rule.decision is Verdict.ALLOW:
        yield from _unconstrained(item, together)
    if not item.allows:
        yield from _shallow(item, together)
    if item.rule.decision is Verdict.THROTTLE:
        yield from _throttle_alone(item, together)
    yield from _remediations(item, together)


def is_write(word: str) -> bool:
    """Whether a capability or topic of this name is taken to change something."""
    words = _WORDS.findall(word.lower())
    return bool(words) and words[-1] in WRITE_WORDS


def _everything(item: Placed) -> Iterator[Finding]:
    if not _EVERYTHING.is_within(item.region):
        return
    rule = item.rule
    open_wide = item.excepted is None and item.when is None
    what = "every job there is" if open_wide else "every job that its `not` and `when` do not take away"
    bounded = not open_wide or rule.decision is not Verdict.ALLOW
    severity = Severity.NOTE if bounded else Severity.WARNING
    yield finding("allow-everything", rule.bundle, rule.id, f"allows {what}; name the topics in `match`", severity)


def _unconstrained(item: Placed, together: Together) -> Iterator[Finding]:
    rule, named = item.rule, _write_named(item, together)
    if named is None or _is_constrained(item, together):
        return
    message = f"allows {named}, which changes something, without constraints; say `allow_with_constraints`"
    yield finding("unconstrained-write", rule.bundle, rule.id, message)


def _write_named(item: Placed, together: Together) -> str | None:
    """A capability that changes something and that the rule allows, as a message names it."""
    known = frozenset(together.context.vocabulary.write_capabilities)
    allowed = item.region.values.get("capability")
    excepted = _excepted_capabilities(item)
    if allowed is not None:
        writes = sorted(name for name in allowed - excepted if (name in known if known else is_write(name)))
        return f"`{writes[0]}`" if writes else None
    if known:
        reached = sorted(_capabilities_reached(item, together) & known - excepted)
        return f"`{reached[0]}`, since it names no capability" if reached else None
    topics = sorted(topic for topic in item.region.topics if is_write(topic))
    return f"`{topics[0]}`" if topics else None


def _excepted_capabilities(item: Placed) -> frozenset[str]:
    """Capabilities that its `not` takes away altogether."""
    unless = item.rule.unless
    if unless is None or unless.checks == () or {name for name, _ in unless.checks} != {"capabilities"}:
        return frozenset()
    return unless.capabilities


def _capabilities_reached(item: Placed, together: Together) -> frozenset[str]:
    topics = together.context.vocabulary.topics.items()
    if not together.budget.spend(len(topics) * len(item.region.topics)):
        return frozenset()
    return frozenset(
        name
        for pattern, words in topics
        if any(common_pattern(pattern, own) is not None for own in item.region.topics)
        for name in words.capabilities
    )


def _is_constrained(item: Placed, together: Together) -> bool:
    """Whether another rule that counts constrains, holds or denies every job that this one allows."""
    return all(
        any(
            (other.rule.constraints is not NO_CONSTRAINTS or other.rule.decision is Verdict.DENY)
            and holds_wherever(other, item, item.at(pattern))
            and together.neighbours.counts(other, item.at(pattern))
            for other in together.neighbours.around(item, pattern)
        )
        for pattern in item.region.topics
    )


def _shallow(item: Placed, together: Together) -> Iterator[Finding]:
    rule = item.rule
    for pattern in sorted(item.region.topics):
        if not (pattern == ONE or pattern.endswith("." + ONE)):
            continue
        deeper = f"{pattern}.{REST}"
        if not together.budget.spend(len(item.region.topics)):
            return
        if not together.deep or any(common_pattern(own, deeper) is not None for own in item.region.topics):
            continue
        if not together.budget.spend(together.topics):
            return
        reaching = (
            (is_both, other)
            for is_both in (True, False)  # the worse first
            for other in together.deep
            if _reaches_past(other, item, pattern, deeper, together, is_both=is_both)
        )
        is_both, through = next(reaching, (False, None))
        if through is not None:
            does = {Verdict.DENY: "denies", Verdict.REQUIRE_APPROVAL: "holds"}.get(rule.decision, "slows down")
            message = (
                f"{does} `{pattern}`, which is one token deep; `{through.rule.id}` allows what lies deeper, such as "
                f"`{_example(through, deeper)}`; say `{pattern[:-1]}{REST}`"
            )
            severity = Severity.ERROR if is_both and through.rule.bundle == rule.bundle else Severity.WARNING
            yield finding("shallow-restriction", rule.bundle, rule.id, message, severity)


def _reaches_past(other: Placed, item: Placed, pattern: str, deeper: str, together: Together, *, is_both: bool) -> bool:
    """Whether `other` allows below `pattern` what `item` is about, and nothing stops it.

    `is_both`: by one pattern that allows topics of the depth of `pattern`, too; else by one that does not, and is not
    `deeper` itself, by which an author says that it is meant.
    """
    reaching = [
        own
        for own in other.region.topics
        if own != deeper and own.endswith((REST, ONE)) and (common_pattern(own, pattern) is not None) == is_both
    ]
    below = other.region.at(c for own in reaching if (c := common_pattern(own, deeper)) is not None)
    if below.is_empty or below.is_apart(item.region.at({REST})):
        return False
    if not together.budget.spend(together.topics * len(below.topics)):
        return False
    return not any(
        not rival.allows
        and STRICTNESS[rival.rule.decision] <= STRICTNESS[item.rule.decision]
        and not rival.region.is_apart(below)
        for rival in together.alive
        if rival is not item
    )


def _example(through: Placed, deeper: str) -> str:
    common = next(c for own in sorted(through.region.topics) if (c := common_pattern(own, deeper)) is not None)
    return common.replace(REST, "a").replace(ONE, "a")


def _throttle_alone(item: Placed, together: Together) -> Iterator[Finding]:
    if together.none_passes(item.region):
        rule = item.rule
        message = "slows down what no rule looked at allows or holds; add the rule that does, or look at its bundle too"
        yield finding("throttle-alone", rule.bundle, rule.id, message)


def _remediations(item: Placed, together: Together) -> Iterator[Finding]:
    rule = item.rule
    for remediation in rule.remediations:
        region = item.region.after(remediation)
        why = _denied(region, together)
        if why is not None:
            message = f"the job of its remediation `{remediation.id}` is denied, too: {why}; change one of them"
            yield finding("remediation-denied", rule.bundle, rule.id, message)


def _denied(region: Region, together: Together) -> str | None:
    """Why every job of `region` is denied; None where one may pass."""
    if not together.budget.spend(together.topics * len(region.topics)):
        return None
    for deny in together.alive:
        certain = deny.rule.decision is Verdict.DENY and deny.excepted is None and deny.when is None
        if certain and region.is_within(deny.region) and together.neighbours.counts(deny, region):
            return f"`{deny.rule.id}` matches it"
    return "no rule looked at allows it" if together.none_passes(region) else None
