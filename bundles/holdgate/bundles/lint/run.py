"""All checks over a set of bundles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from holdgate.bundles.lint.findings import Finding, LintContext, Severity
from holdgate.kernel.match import Match
from holdgate.kernel.records import ALLOWING
from holdgate.kernel.rules import BundleRules

_ANYTHING = Match()


def lint(bundles: Sequence[BundleRules], context: LintContext) -> list[Finding]:
    """What is worth a look in `bundles`, taken as being in force together; rules in their order."""
    return list(_open_doors(bundles))


def _open_doors(bundles: Sequence[BundleRules]) -> Iterator[Finding]:
    for bundle in bundles:
        for rule in bundle.rules:
            if rule.decision in ALLOWING and rule.match == _ANYTHING and rule.unless is None and rule.when is None:
                message = "allows every job there is; say in `match` which"
                yield Finding("allow-everything", Severity.ERROR, bundle.name, rule.id, message)
