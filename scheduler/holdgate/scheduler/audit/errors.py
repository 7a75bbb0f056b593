"""What can go wrong in the archive of the audit log.

HoldgateError
└── AuditError
    ├── AuditGap           the stream lacks an event: nothing of this tenant is sealed or trimmed any more
    ├── ArchiveBroken      the files are not what the auditor left
    └── ArchiveInUse       another auditor writes to this directory
"""

from __future__ import annotations

from holdgate.kernel.errors import HoldgateError


class AuditError(HoldgateError):
    """the audit archive cannot go on"""

    code = "audit_error"


class AuditGap(AuditError):
    """the audit stream lacks an event"""

    code = "audit_gap"


class ArchiveBroken(AuditError):
    """the archive's files are not what the auditor left"""

    code = "archive_broken"


class ArchiveInUse(AuditError):
    """another auditor writes to this directory"""

    code = "archive_in_use"
