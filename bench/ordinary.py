"""False findings in 10 MB of ordinary text, by detector: `python -m bench.ordinary [MB]`. All of them are false."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from holdgate.scan import Scanner

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the texts are made by what the tests use too

from support.ordinary import ordinary

GRAVE = ("high", "critical")


def measure(megabytes: float = 10) -> dict[str, Any]:
    """Findings by severity and detector, and how many a megabyte."""
    scanner, found, size = Scanner(), Counter[tuple[str, str]](), 0
    for _, text in ordinary(int(megabytes * 1e6)):
        size += len(text)
        found.update((str(finding.severity), finding.detector) for finding in scanner.scan(text))
    return {
        "bytes": size,
        "grave": sum(count for (severity, _), count in found.items() if severity in GRAVE),
        "by_detector": {
            f"{severity} {name}": round(count / size * 1e6, 2) for (severity, name), count in found.items()
        },
    }


def main() -> int:
    """Print the table."""
    result = measure(float(sys.argv[1]) if len(sys.argv) > 1 else 10)
    shown = Table("severity and detector", "a MB", title=f"{result['bytes']:,} bytes of ordinary text, all views")
    for name, rate in sorted(result["by_detector"].items(), key=lambda item: -item[1]):
        shown.add_row(name, f"{rate:.2f}")
    Console().print(shown)
    Console().print(f"high or critical: {result['grave']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
