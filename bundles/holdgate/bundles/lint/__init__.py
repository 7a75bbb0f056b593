"""Lint: what a careful author would want to be told of rules that load. Pure.

What always holds: findings come in the order of the rules; a finding that says that a rule cannot count is true of
every job there can be. What cannot be shown is not said.
"""

from holdgate.bundles.lint.findings import Finding, LintContext, Severity
from holdgate.bundles.lint.run import lint

__all__ = ["Finding", "LintContext", "Severity", "lint"]
