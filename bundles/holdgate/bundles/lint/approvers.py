"""Whether somebody can release what a rule holds, escalated or signed, too, and whether somebody looks at it then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from holdgate.bundles.lint.catalog import finding
from holdgate.bundles.lint.findings import Finding, LintContext, Severity
from holdgate.kernel.records import SEVERE, ApprovalRequirement
from holdgate.kernel.rules import Rule
from holdgate.kernel.standing import escalation_roles
from holdgate.kernel.trust import ApproverKey


def approver_findings(rule: Rule, context: LintContext) -> Iterator[Finding]:
    """What is worth a look in who releases what the rule holds, and how."""
    if rule.approval is None:
        return
    held = context.roles if context.roles is not None else frozenset(context.vocabulary.roles)
    if context.roles is not None or held:
        yield from _unheld(rule, rule.approval, held)
        yield from _escalation_unheld(rule, rule.approval, held)
    yield from _idle_escalation(rule, rule.approval)
    if rule.approval.signed and context.own_keys is not None:
        yield from _signed_unheld(rule, rule.approval, context.own_keys)
    yield from _unseen(rule, rule.approval)


def _unheld(rule: Rule, approval: ApprovalRequirement, held: frozenset[str]) -> Iterator[Finding]:
    unheld = [role for role in approval.roles if role not in held]
    if not unheld:
        return
    names = ", ".join(f"`{role}`" for role in unheld)
    alone = len(unheld) == len(approval.roles) and not approval.names
    message = f"nobody has the role {names}" + ("; nobody can release what it holds" if alone else "")
    severity = Severity.ERROR if alone else Severity.WARNING
    yield finding("approvers-unheld", rule.bundle, rule.id, f"{message}; name a role that somebody has", severity)


def _escalation_unheld(rule: Rule, approval: ApprovalRequirement, held: frozenset[str]) -> Iterator[Finding]:
    roles = escalation_roles(approval)
    if approval.escalate_after_s is None or approval.escalate_names or not held.isdisjoint(roles):
        return
    names = ", ".join(f"`{role}`" for role in roles)
    message = f"it escalates to {names}, which nobody has, so that it is only shown as urgent"
    severity = None if approval.escalate_roles else Severity.NOTE
    yield finding(
        "escalation-unheld",
        rule.bundle,
        rule.id,
        f"{message}; name a role that somebody has in `escalate_to`",
        severity,
    )


def _idle_escalation(rule: Rule, approval: ApprovalRequirement) -> Iterator[Finding]:
    to = {*approval.escalate_roles, *approval.escalate_names}
    if (
        to
        and set(approval.escalate_roles) <= set(approval.roles)
        and set(approval.escalate_names) <= set(approval.names)
    ):
        message = "it escalates to those who may release it anyway; name others in `escalate_to`"
        yield finding("escalation-unheld", rule.bundle, rule.id, message)


def _signed_unheld(rule: Rule, approval: ApprovalRequirement, own_keys: Iterable[ApproverKey]) -> Iterator[Finding]:
    people = {
        key.actor for key in own_keys if key.actor in approval.names or not set(approval.roles).isdisjoint(key.roles)
    }
    if len(people) < approval.quorum:
        message = (
            f"it wants votes of {approval.quorum} signed with their own keys, and the root lists keys of {len(people)} "
            "who may; list theirs under `approvers` in the root"
        )
        yield finding("signed-unheld", rule.bundle, rule.id, message)


def _unseen(rule: Rule, approval: ApprovalRequirement) -> Iterator[Finding]:
    severe = approval.severity in SEVERE
    if approval.grants and (severe or approval.quorum > 1):
        why = f"is of severity `{approval.severity}`" if severe else f"wants {approval.quorum} people"
        message = f"it {why} and takes standing grants, under which nobody looks; drop `grants`"
    elif approval.bulk and severe:
        message = f"it is of severity `{approval.severity}` and may be released in bulk; drop `bulk`"
    else:
        return
    yield finding("released-unseen", rule.bundle, rule.id, message)
