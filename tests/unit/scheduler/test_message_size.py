"""The dispatcher's demand on NATS: every job that the api lets in fits into a message."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdgate.kernel import limits
from holdgate.scheduler.cli.processes import require_message_size
from holdgate.scheduler.errors import Misconfigured
from holdgate.scheduler.settings import Stateful


def settings(durability: str) -> Stateful:
    return Stateful(root_file=Path("root"), root_pins="", durability=durability)  # type: ignore[arg-type]


def test_servers_that_take_only_smaller_messages_are_refused_and_told_why() -> None:
    with pytest.raises(Misconfigured, match="max_payload: 16777216"):
        require_message_size(1024 * 1024, settings("strict"))


def test_large_enough_servers_and_a_declared_weakness_pass() -> None:
    require_message_size(limits.ENVELOPE_BYTES_MAX, settings("strict"))
    require_message_size(1024 * 1024, settings("relaxed"))
