"""What share of orders to a model is marked, by family, and of harmless texts: `python -m bench.instructions`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from holdgate.scan import Scanner
from holdgate.scan.findings import Category

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the texts are made by what the tests use too

from support.harmless import harmless, quoting
from support.orders import positives
from support.paraphrases import held_out, seen


def measure() -> dict[str, Any]:
    """Marked and all, by set and by family."""
    scanner = Scanner()
    sets: dict[str, Iterable[tuple[str, str]]] = {
        "known wordings": positives(),
        "paraphrases that rules were mended with": seen(),
        "held out": held_out(),
        "harmless": harmless(),
        "texts that quote an attack": (("quoting", text) for text in quoting()),
    }
    return {name: _by_family(scanner, texts) for name, texts in sets.items()}


def _by_family(scanner: Scanner, texts: Iterable[tuple[str, str]]) -> dict[str, tuple[int, int]]:
    counts: dict[str, tuple[int, int]] = {}
    for family, text in texts:
        marked, seen = counts.get(family, (0, 0))
        hit = any(finding.category is Category.UNTRUSTED_INSTRUCTIONS for finding in scanner.scan(text))
        counts[family] = (marked + hit, seen + 1)
    return counts


def main() -> int:
    """Print a table for each set."""
    for name, families in measure().items():
        marked, seen = (sum(column) for column in zip(*families.values(), strict=True))
        shown = Table("family", "marked", "texts", "share", title=name)
        for family, (hits, size) in families.items():
            shown.add_row(family, str(hits), str(size), f"{hits / size:.2f}")
        shown.add_section()
        shown.add_row("all", str(marked), str(seen), f"{marked / seen:.3f}")
        Console().print(shown)
    return 0


if __name__ == "__main__":
    sys.exit(main())
