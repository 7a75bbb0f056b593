"""What only the scanner knows of detectors: the built-in ones, and whether one finds its examples. For lint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random  # noqa: TID251  seeded: the same examples each time

from holdgate.kernel.detectors import Detector

_SEED = 1


class ScanKnowledge:
    """The scanner's own rules and its own linter."""

    def built_in(self) -> dict[str, str]:
        """The category of each built-in detector, by id."""
        from holdgate.scan.ruleset import builtin_rules

        return {rule.id: str(rule.category) for rule in builtin_rules()}

    def problems(self, detectors: Sequence[Detector]) -> Sequence[tuple[str, str, bool]]:
        """What the linter of rules says of `detectors`, whose patterns the kernel has passed."""
        from holdgate.scan.custom import rules_of
        from holdgate.scan.lint import lint_rules
        from holdgate.scan.ruleset import Examples

        examples = {detector.id: Examples(*detector.examples) for detector in detectors}
        rules = [replace(rule, examples=examples[rule.id]) for rule in rules_of(detectors)]
        found = lint_rules(rules, Random(_SEED))  # noqa: S311  examples are no secrets
        return [(each.rule, f"`{each.field}`: {each.says}", each.level == "error") for each in found]
