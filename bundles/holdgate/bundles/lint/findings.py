"""What a check of rules says, and what it is told. Data only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from holdgate.bundles.manifest import Vocabulary
from holdgate.kernel.detectors import Detector
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


class Scanner(Protocol):
    """What only a scanner knows of detectors."""

    def built_in(self) -> dict[str, str]:
        """The category of each built-in detector, by id."""
        ...

    def problems(self, detectors: Sequence[Detector]) -> Sequence[tuple[str, str, bool]]:
        """(id, what is wrong and what to do, whether it must not be used so) of detectors of bundles."""
        ...


@dataclass(frozen=True, slots=True)
class LintContext:
    """What is known beside the rules; None where it is not known.

    `roles`: the approver roles that somebody holds. `own_keys`: those of approvers that the root lists. `scanner`: what
    outputs are scanned with. `now_ms`: by which what expires is looked at.
    """

    vocabulary: Vocabulary = field(default_factory=Vocabulary)
    roles: frozenset[str] | None = None
    own_keys: tuple[ApproverKey, ...] | None = None
    scanner: Scanner | None = None
    now_ms: int | None = None
