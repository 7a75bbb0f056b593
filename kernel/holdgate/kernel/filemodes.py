"""Which files may hold a secret, by their mode and owner. No IO."""

from __future__ import annotations

import os
import stat

SUPERUSER = 0
GROUP_READS = stat.S_IRUSR | stat.S_IRGRP


def is_private(status: os.stat_result, reader: int) -> bool:
    """Whether only `reader` (a user id) and the superuser can read a file; its group, where the superuser chose it.

    A file of mode 0440 or less that belongs to the superuser is how Kubernetes hands a secret to one that is not: by
    the group of the pod. Its reader can neither change it nor its mode.
    """
    mode = stat.S_IMODE(status.st_mode)
    if mode & (stat.S_IRWXG | stat.S_IRWXO) == 0:
        return True
    return status.st_uid == SUPERUSER != reader and mode & ~GROUP_READS == 0
