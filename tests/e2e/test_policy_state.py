"""What a running system says of its policy: fresh by the API's stamp, and in the audit trail what came into force."""

from __future__ import annotations

from typing import Any

import httpx

from support.waiting import eventually_sync
from support.whole import Whole

BACK_S = 75.0
"""A message that was lost is caught up on within a minute."""


def get(whole: Whole, who: str, path: str) -> list[dict[str, Any]]:
    reply = httpx.get(f"{whole.api}/api/v1/{path}", headers={"X-API-Key": whole.key(who)})
    assert reply.status_code == 200, reply.text
    items: list[dict[str, Any]] = reply.json()["items"]
    return items


def test_the_store_is_fresh_by_the_stamp_of_the_api(whole: Whole) -> None:
    def is_fresh() -> bool:
        return all(item["source"]["stamp"]["state"] == "fresh" for item in get(whole, "operator", "policy/snapshots"))

    eventually_sync(is_fresh, BACK_S)
    (source,) = [item["source"] for item in get(whole, "operator", "policy/snapshots")]
    assert source["clock"] == "ok"
    assert source["dropped"] == []
    assert source["freshness"] == {"demo": "fresh"}
    assert source["root_freshness"] == "fresh"


def test_what_came_into_force_is_in_the_systems_own_trail(whole: Whole) -> None:
    def accepted() -> list[dict[str, Any]]:
        return [event for event in get(whole, "auditor", "audit/system") if event["type"] == "policy.accepted"]

    eventually_sync(lambda: bool(accepted()), BACK_S)
    assert accepted()[0]["bundle"] == "demo"
    assert accepted()[0]["replica"].startswith("kernel-")


def test_the_metrics_say_how_fresh_the_policy_is(whole: Whole) -> None:
    text = httpx.get(whole.ready["metrics"]).text
    for name in ("policy_store_frozen", "policy_store_withheld", "policy_clock_back", "policy_dropped_bundles"):
        assert f"holdgate_{name}" in text
    assert "holdgate_policy_freshness{" in text
