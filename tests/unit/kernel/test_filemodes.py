"""Which files may hold a secret."""

from __future__ import annotations

import os

import pytest

from holdgate.kernel.filemodes import is_private

OURS, ROOT, OTHER = 65532, 0, 1000
CASES = [
    (0o600, OURS, OURS, True),
    (0o400, OURS, OURS, True),
    (0o640, OURS, OURS, False),
    (0o604, OURS, OURS, False),
    (0o400, ROOT, OURS, True),
    # As Kubernetes mounts a Secret for a pod with `fsGroup`.
    (0o440, ROOT, OURS, True),
    (0o444, ROOT, OURS, False),
    (0o460, ROOT, OURS, False),
    (0o640, ROOT, OURS, False),
    (0o450, ROOT, OURS, False),
    (0o440, OTHER, OURS, False),
    # The superuser's own process has no need of a group.
    (0o440, ROOT, ROOT, False),
    (0o600, ROOT, ROOT, True),
]


@pytest.mark.parametrize(("mode", "owner", "reader", "private"), CASES)
def test_a_file_of_a_mode_and_an_owner(mode: int, owner: int, reader: int, private: bool) -> None:
    """Its owner alone reads it, or a group that the superuser chose does, and nobody of them writes."""
    status = os.stat_result((0o100000 | mode, 0, 0, 1, owner, OURS, 0, 0, 0, 0))
    assert is_private(status, reader) is private
