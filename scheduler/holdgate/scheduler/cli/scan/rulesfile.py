"""Rules of one's own, beside those that come with Holdgate: in the scanner's form, or detectors as bundles have them.

What always holds: nothing is looked at with rules that the linter finds an error in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random  # noqa: TID251  of a fixed seed: the same file has the same problems

from holdgate.kernel import limits
from holdgate.kernel.errors import HoldgateError
from holdgate.scan.errors import RulesInvalid
from holdgate.scan.ruleset import Examples, Rule, builtin_rules, check_rules, parse_rules
from holdgate.scheduler.cli.scan.sources import said

SEED = 1
_OURS = re.compile(r"^family:", re.MULTILINE)


def rules_with(file: Path | None) -> tuple[Rule, ...]:
    """Those that come with Holdgate, and those of `file`. RulesInvalid."""
    if file is None:
        return builtin_rules()
    rules = rules_of(file)
    errors = [line for line, is_error in problems_of(rules) if is_error]
    if errors:
        raise RulesInvalid(f"`{file}`: {errors[0]}; `holdgate scan lint {file}` tells all")
    return check_rules([*builtin_rules(), *rules])


def rules_of(file: Path) -> list[Rule]:
    """The rules of one file; RulesInvalid where it cannot be read or does not load."""
    try:
        with file.open("rb") as opened:
            data = opened.read(limits.RULES_FILE_BYTES_MAX + 1)
        if len(data) > limits.RULES_FILE_BYTES_MAX:
            raise RulesInvalid(f"`{file}` is larger than {limits.RULES_FILE_BYTES_MAX} bytes")
        text = data.decode("utf-8")
    except OSError as error:
        raise RulesInvalid(f"`{file}`: {said(error)}") from error
    except UnicodeDecodeError as error:
        raise RulesInvalid(f"`{file}` is not UTF-8") from error
    return parse_rules(text, str(file)) if _OURS.search(text) else _detectors(data, file)


def problems_of(rules: Sequence[Rule]) -> list[tuple[str, bool]]:
    """What the linter says, a line each, and whether it is an error."""
    from holdgate.scan.lint import lint_rules

    found = lint_rules(rules, Random(SEED))  # noqa: S311  makes examples, nothing that is to be secret
    return [(f"{each.rule}: `{each.field}`: {each.says}", each.level == "error") for each in found]


def _detectors(data: bytes, file: Path) -> list[Rule]:
    """Of a rules file of a bundle."""
    from holdgate.bundles.documents import load_rules_file
    from holdgate.scan import custom

    try:
        detectors = load_rules_file(file.name, data, "here").detectors
        rules = custom.rules_of(detectors)
    except HoldgateError as error:
        raise RulesInvalid(f"`{file}`: {error}") from error
    if not rules:
        raise RulesInvalid(f"`{file}` has neither `family` with `rules` nor `detectors`")
    return [
        replace(rule, examples=Examples(*detector.examples)) for rule, detector in zip(rules, detectors, strict=True)
    ]
