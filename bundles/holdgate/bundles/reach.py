"""How far a bundle and its rules may reach: scopes, topic patterns, ids, approvers. No IO.

What always holds: a rule that names no tenant or no topic reaches all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from holdgate.bundles.errors import BundleOutOfScope, BundleRefused
from holdgate.bundles.root import ApproverRole, Scope
from holdgate.kernel import limits
from holdgate.kernel.records import ApprovalRequirement
from holdgate.kernel.rules import AllowFinding, BundleRules, Destination, Detector, DetectorMode, OutputRule, Rule
from holdgate.kernel.standing import ESCALATION_ROLE
from holdgate.kernel.topics import ONE, REST

EVERYWHERE = Scope()
RESERVED_ID = "holdgate."
"""Ids that begin so are of the kernel's own rules."""


def verify_ids(rules: BundleRules) -> None:
    """BundleRefused when a rule takes an id that is kept for the kernel's own rules."""
    for name in rules.ids:
        if name.lower().startswith(RESERVED_ID):
            raise BundleRefused(f"rule `{name}`: no id begins with `{RESERVED_ID}`", code="bundle_rule_id")


def verify_approvers(rules: BundleRules, roles: Sequence[ApproverRole]) -> None:
    """BundleRefused when a rule asks approvals of others than `roles`, outside their scope or of too few people.

    Where the root names no roles, rules may ask of whomever they name.
    """
    allowed = {role.name: role for role in roles}
    for rule in rules.rules if roles else ():
        if rule.approval is not None and (problem := _misasked(rule, rule.approval, allowed)) is not None:
            raise BundleRefused(f"rule `{rule.id}`: {problem}", code="bundle_approvers")


def _misasked(rule: Rule, approval: ApprovalRequirement, allowed: Mapping[str, ApproverRole]) -> str | None:
    if approval.names or approval.escalate_names:
        return "the root says which roles approve, so a rule names no people"
    for name in (*approval.roles, *_escalation(approval, allowed)):
        role = allowed.get(name)
        if role is None:
            return f"the root does not name the approver role `{name}`"
        if approval.quorum < role.quorum_min:
            return f"the root wants at least {role.quorum_min} of `{name}`"
        if not _reaches_within(rule.match.tenants, rule.match.topics, role.scope):
            return f"the root lets `{name}` approve elsewhere only"
    return None


def _escalation(approval: ApprovalRequirement, allowed: Mapping[str, ApproverRole]) -> tuple[str, ...]:
    """The roles that the rule escalates to. The one that it need not name counts only where the root names it."""
    if approval.escalate_after_s is None:
        return ()
    return approval.escalate_roles or tuple({ESCALATION_ROLE} & allowed.keys())


def verify_reach(rules: BundleRules, scope: Scope) -> None:
    """BundleOutOfScope when a rule reaches outside `scope`. One that names no tenant or topic reaches all of them."""
    for rule in rules.rules:
        _verify_rule(rule.id, rule.match.tenants, rule.match.topics, scope)
    others: tuple[OutputRule | AllowFinding | Destination | Detector | DetectorMode, ...] = (
        *rules.output_rules,
        *rules.allow_findings,
        *rules.destinations,
        *rules.detectors,
        *rules.detector_modes,
    )
    for item in others:
        _verify_rule(item.id, item.tenants, item.topics, scope)


def verify_lifts(rules: BundleRules, now_ms: int) -> None:
    """BundleRefused when findings are let through for longer than anybody will remember why."""
    latest_ms = now_ms + limits.ALLOW_FINDINGS_S_MAX * 1000
    for item in rules.allow_findings:
        if item.expires_ms > latest_ms:
            days = limits.ALLOW_FINDINGS_S_MAX // 86_400
            why = f"`{item.id}` expires more than {days} days ahead; say an earlier day, and look at it again then"
            raise BundleRefused(why, code="bundle_allow_expires")


def covers(outer: Scope, inner: Scope) -> bool:
    """Whether everything in `inner` is in `outer`."""
    return _covers_tenants(outer, inner.tenants) and _covers_topics(outer, inner.topics)


def covers_pattern(outer: str, inner: str) -> bool:
    """Whether every topic that the pattern `inner` names is named by `outer`."""
    wide, narrow = outer.split("."), inner.split(".")
    for index, part in enumerate(wide):
        if part == REST:
            return len(narrow) > index
        if index >= len(narrow) or narrow[index] == REST or part not in (ONE, narrow[index]):
            return False
    return len(wide) == len(narrow)


def _verify_rule(rule: str, tenants: Iterable[str], topics: Iterable[str], scope: Scope) -> None:
    if not _covers_tenants(scope, list(tenants) or EVERYWHERE.tenants):
        raise BundleOutOfScope(f"rule `{rule}` reaches tenants outside the bundle's scope", code="bundle_reach")
    if not _covers_topics(scope, list(topics) or EVERYWHERE.topics):
        raise BundleOutOfScope(f"rule `{rule}` reaches topics outside the bundle's scope", code="bundle_reach")


def _reaches_within(tenants: Iterable[str], topics: Iterable[str], scope: Scope) -> bool:
    """Whether a rule for these, where none means all, stays in `scope`."""
    return _covers_tenants(scope, list(tenants) or EVERYWHERE.tenants) and _covers_topics(
        scope, list(topics) or EVERYWHERE.topics
    )


def _covers_tenants(outer: Scope, tenants: Iterable[str]) -> bool:
    return "*" in outer.tenants or set(tenants) <= set(outer.tenants)


def _covers_topics(outer: Scope, topics: Iterable[str]) -> bool:
    return all(any(covers_pattern(wide, narrow) for wide in outer.topics) for narrow in topics)
