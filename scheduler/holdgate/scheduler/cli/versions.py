"""The versions of what this release stores and sends, from where each stands."""

from __future__ import annotations

from holdgate.bundles import shelf
from holdgate.kernel import wire
from holdgate.scheduler.backup import archive
from holdgate.scheduler.state import records

RECORDS = {
    "messages and packed records": wire.VERSION,
    "state in Redis": records.VERSION,
    "directory of a kernel": shelf.RECORD,
    "backups": archive.VERSION,
}
"""What is signed carries its version in the signature, and bundles and API keys in their files; each has one so far."""
