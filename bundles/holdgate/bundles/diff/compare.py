"""The comparison of two sets of bundles."""

from __future__ import annotations

from collections.abc import Sequence

from holdgate.bundles.diff.changes import Change, Diff, Direction
from holdgate.kernel.rules import BundleRules


def compare(before: Sequence[BundleRules], after: Sequence[BundleRules]) -> Diff:
    """How the set `after` differs from the set `before`: all bundles in force, before and after.

    The order of bundles, and of rules in a bundle that combines by deny-overrides, makes no difference.
    """
    old, new = {bundle.name: bundle for bundle in before}, {bundle.name: bundle for bundle in after}
    names = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    return Diff(tuple(Change(Direction.UNCLEAR, name, "", "its rules differ") for name in names))
