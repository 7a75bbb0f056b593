"""What a check of rules says, and what it is told. Data only."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from holdgate.bundles.manifest import Vocabulary
from holdgate.kernel.trust import ApproverKey


class Severity(StrEnum):
    """How bad it is, worst first: a mistake, a risk that somebody should look at, something that could be shorter."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to look at. `rule` is empty where it is about a whole bundle; `line` counts from 1, 0 is not known."""

    code: str
    severity: Severity
    bundle: str
    rule: str
    message: str
    file: str = ""
    line: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as the CLI and the API show them."""
        return {
            "code": self.code,
            "severity": str(self.severity),
            "bundle": self.bundle,
            "rule": self.rule,
            "message": self.message,
            "file": self.file,
            "line": self.line,
        }


@dataclass(frozen=True, slots=True)
class LintContext:
    """What is known beside the rules; None where it is not known.

    `roles`: the approver roles that somebody holds. `own_keys`: those of approvers that the root lists.
    """

    vocabulary: Vocabulary = field(default_factory=Vocabulary)
    roles: frozenset[str] | None = None
    own_keys: tuple[ApproverKey, ...] | None = None
