"""What the command line knows of detectors: the scanner's own rules, and its own linter."""

from __future__ import annotations

from typing import Any

from holdgate.kernel.detectors import PREFIX
from holdgate.kernel.outputrules import DEFAULTS, FLOOR
from holdgate.kernel.ruleform import parse_rules
from holdgate.scheduler.cli.detectors import ScanKnowledge

WRITTEN: dict[str, Any] = {
    "id": "custom.project",
    "category": "pii",
    "severity": "high",
    "regex": r"\bPRJ-\d{6}\b",
    "max_len": 10,
    "examples": {"true": ["see PRJ-%{[0-9]{6}} there"], "false": ["PRJ-12"]},
}


def problems(**parts: Any) -> list[tuple[str, bool]]:
    detectors = parse_rules({"detectors": [{**WRITTEN, **parts}]}, "house").detectors
    return [(message, is_error) for _, message, is_error in ScanKnowledge().problems(detectors)]


def test_examples_are_looked_for_with_the_scanners_own_engine() -> None:
    assert problems() == []
    ((message, is_error),) = problems(examples={"true": ["PRJ-12"], "false": ["x"]})
    assert is_error
    assert "is not found" in message
    ((message, is_error),) = problems(examples={"true": ["PRJ-%{[0-9]{6}}"], "false": ["PRJ-%{[0-9]{6}}"]})
    assert is_error
    assert "must not be" in message


def test_no_built_in_detector_has_the_name_of_a_custom_one_or_a_category_of_its_own() -> None:
    built_in = ScanKnowledge().built_in()
    assert not [name for name in built_in if name.startswith(PREFIX)]
    assert set(built_in.values()) <= FLOOR | {category for category, _ in DEFAULTS}
