"""How processes come to Redis where little is said."""

from __future__ import annotations

import pytest

from holdgate.scheduler.cli.processes import redis_address
from holdgate.scheduler.settings import SetupSettings


@pytest.mark.parametrize(
    ("url", "said", "replicas"),
    [
        ("redis://127.0.0.1:1/0", None, 0),
        ("redis+sentinel://127.0.0.1:1/main/0", None, 1),
        ("redis+cluster://127.0.0.1:1", None, 1),
        ("redis+cluster://127.0.0.1:1", 0, 0),
        ("redis+sentinel://127.0.0.1:1/main/0", 2, 2),
    ],
)
def test_where_a_failover_can_be_a_replica_confirms_unless_somebody_said_otherwise(
    url: str, said: int | None, replicas: int
) -> None:
    settings = SetupSettings.model_construct(redis_url=url, redis_replicas=said)
    assert redis_address(settings).replicas == replicas
