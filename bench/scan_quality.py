"""How much of a labelled set of texts the scanner finds: `python -m bench.scan --vectors FILE`.

A set is lines of JSON: `rule_id`, `label` (`tp`: there is something to find; `fp`: this rule should find nothing),
`text_b64`, where known `secret_b64`, and on `fp` rows `clean_all_rules`: only then the row counts as one in which
nothing is to be found.
"""

from __future__ import annotations

import base64
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from holdgate.scan import Finding

Scan = Callable[[str], Iterable[Finding]]


@dataclass(slots=True)
class Quality:
    """Counts of one set. Many rows are one secret in many syntaxes, so recall is the mean over rules."""

    found: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))
    covered: list[bool] = field(default_factory=list)
    false: list[bool] = field(default_factory=list)

    @property
    def macro_recall(self) -> float:
        """Mean over rules of the share of their texts in which something was found."""
        return sum(map(_share, self.found.values())) / max(1, len(self.found))

    @property
    def missed(self) -> list[tuple[float, str, int]]:
        """Rules that were not found in each of their texts: share, name, texts; the worst first."""
        return sorted((_share(rows), rule, len(rows)) for rule, rows in self.found.items() if not all(rows))

    def as_dict(self) -> dict[str, Any]:
        """For `results.json`: shares and counts, no texts."""
        return {
            "rules": len(self.found),
            "macro_recall": round(self.macro_recall, 4),
            "span_cover": round(_share(self.covered), 4),
            "false_positive_rate": round(_share(self.false), 4),
            "clean_texts": len(self.false),
        }


def score(scan: Scan, path: Path) -> Quality:
    """Scan each text once; a text that is to be found under any rule is no clean one."""
    rows = list(_rows(path))
    positive = {row["text"] for row in rows if row["label"] == "tp"}
    quality, seen = Quality(), set()
    for row in rows:
        text, label = row["text"], row["label"]
        unclean = label == "fp" and (row.get("clean_all_rules") is False or text in positive)
        if (text, label) in seen or unclean:
            continue
        seen.add((text, label))
        findings = list(scan(text))
        if label == "fp":
            quality.false.append(bool(findings))
            continue
        quality.found[row["rule_id"]].append(bool(findings))
        if row["secret"] and (start := text.find(row["secret"])) >= 0:
            end = start + len(row["secret"])
            quality.covered.append(any(finding.start < end and start < finding.end for finding in findings))
    return quality


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            secret = row.get("secret_b64")
            yield {**row, "text": _decoded(row["text_b64"]), "secret": _decoded(secret) if secret else None}


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode("utf-8", "surrogatepass")


def _share(rows: list[bool]) -> float:
    return sum(rows) / max(1, len(rows))
