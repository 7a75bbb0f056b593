"""What can go wrong in a scan. All of it means: the text is not known to be clean.

ScanError                         never read as "nothing found"
├── ScanIncomplete                a budget ended the scan before the end of the text: unscannable
│   └── ScanTooLong             it had its time for itself alone, so another try would end the same
├── ScanTimedOut                  the time ran out; another try may succeed
├── EngineFailed                  the pattern engine did not run over a piece
├── Unscannable                   the value is not what can be scanned (not JSON, nested too deeply)
├── RedactionIncomplete           a second scan still finds something
└── RulesInvalid                  a rules file does not load
"""

from __future__ import annotations

from holdgate.kernel.errors import HoldgateError


class ScanError(HoldgateError):
    """the text could not be scanned"""

    code = "scan_failed"


class ScanIncomplete(ScanError):
    """the scan ended at its budget before the end of the text"""

    code = "scan_incomplete"


class ScanTooLong(ScanIncomplete):
    """the text takes longer to scan than one may"""

    code = "scan_too_long"


class ScanTimedOut(ScanError):
    """the scan took longer than its time"""

    code = "scan_timed_out"


class EngineFailed(ScanError):
    """the pattern engine did not run over a piece of the text"""

    code = "scan_engine_failed"


class Unscannable(ScanError):
    """the value is not JSON that can be scanned"""

    code = "unscannable"


class RedactionIncomplete(ScanError):
    """a second scan of the redacted value still finds something"""

    code = "redaction_incomplete"


class RulesInvalid(ScanError):
    """a rules file does not load"""

    code = "scan_rules_invalid"
