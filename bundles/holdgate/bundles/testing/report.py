"""What came of the tests of a bundle. Plain records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from holdgate.bundles.testing.coverage import Coverage


@dataclass(frozen=True, slots=True)
class CaseResult:
    """One case: what differed from what it expects, in words; nothing when it passed."""

    file: str
    name: str
    line: int
    problems: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Nothing differed."""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "file": self.file,
            "name": self.name,
            "line": self.line,
            "passed": self.passed,
            "problems": list(self.problems),
        }


@dataclass(frozen=True, slots=True)
class TestReport:
    """All cases that ran, in the order of the files, and what of the rules they saw."""

    results: tuple[CaseResult, ...]
    coverage: Coverage

    @property
    def failed(self) -> tuple[CaseResult, ...]:
        """Those that differed."""
        return tuple(result for result in self.results if not result.passed)

    @property
    def passed(self) -> bool:
        """No case differed. So it is, too, where a bundle has no tests: whoever wants some looks at `results`."""
        return not self.failed

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as `--json` prints them."""
        return {
            "passed": self.passed,
            "cases": len(self.results),
            "failed": len(self.failed),
            "results": [result.as_dict() for result in self.results],
            "coverage": self.coverage.as_dict(),
        }
