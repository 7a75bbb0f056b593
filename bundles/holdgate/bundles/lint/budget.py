"""How much one run of lint may compare: rules are many, and whoever writes them need not mean well."""

from __future__ import annotations

from dataclasses import dataclass

COMPARISONS_MAX = 1_000_000
"""Comparisons of one topic pattern with another, or of one rule with another: some seconds."""


@dataclass(slots=True)
class Budget:
    """Comparisons that are left."""

    left: int = COMPARISONS_MAX

    def spend(self, comparisons: int) -> bool:
        """Whether there is room for some more comparisons. Once there was none, there is none."""
        self.left = max(0, self.left - comparisons)
        return self.left > 0
