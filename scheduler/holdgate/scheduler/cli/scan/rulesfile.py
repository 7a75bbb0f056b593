"""Rules of one's own, beside those that come with Holdgate."""

from __future__ import annotations

from pathlib import Path

from holdgate.kernel import limits
from holdgate.scan.errors import RulesInvalid
from holdgate.scan.ruleset import Rule, builtin_rules, check_rules, parse_rules
from holdgate.scheduler.cli.scan.sources import said


def rules_with(file: Path | None) -> tuple[Rule, ...]:
    """Those that come with Holdgate, and those of `file`. RulesInvalid."""
    return builtin_rules() if file is None else check_rules([*builtin_rules(), *rules_of(file)])


def rules_of(file: Path) -> list[Rule]:
    """The rules of one file; RulesInvalid where it cannot be read or does not load."""
    try:
        with file.open("rb") as opened:
            data = opened.read(limits.RULES_FILE_BYTES_MAX + 1)
        if len(data) > limits.RULES_FILE_BYTES_MAX:
            raise RulesInvalid(f"`{file}` is larger than {limits.RULES_FILE_BYTES_MAX} bytes")
        return parse_rules(data.decode("utf-8"), str(file))
    except OSError as error:
        raise RulesInvalid(f"`{file}`: {said(error)}") from error
    except UnicodeDecodeError as error:
        raise RulesInvalid(f"`{file}` is not UTF-8") from error
