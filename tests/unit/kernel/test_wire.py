"""Messages and stored records say their version."""

from __future__ import annotations

import msgpack
import pytest

from holdgate.kernel.errors import InvalidInput, RecordNewer
from holdgate.kernel.wire import VERSION, pack, unpack


def test_a_record_of_a_newer_release_is_told_from_one_that_is_broken() -> None:
    """It is not lost, only not for us; who reads it may keep it for somebody who can."""
    with pytest.raises(RecordNewer) as caught:
        unpack(msgpack.packb({"v": VERSION + 1, "job": b""}))
    assert caught.value.code == "record_newer"


@pytest.mark.parametrize("version", [None, 0, -1, True, 1.0, "1"])
def test_what_has_no_version_of_ours_is_no_record(version: object) -> None:
    """`True` is no 1."""
    with pytest.raises(InvalidInput) as caught:
        unpack(msgpack.packb({"v": version}))
    assert not isinstance(caught.value, RecordNewer)


def test_keys_that_a_later_release_added_are_there_to_be_passed_over() -> None:
    """Adding is no new version."""
    assert unpack(pack({"known": 1, "added": 2})) == {"known": 1, "added": 2}
