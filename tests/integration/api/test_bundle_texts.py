"""The text of published rules, and what one version does otherwise than another."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.api import ApiWorld
from support.holding import publish_rules


async def test_rules_are_told_as_they_are_written(api: ApiWorld) -> None:
    """To who may see bundles."""
    told = (await api.client("author").get("/api/v1/policy/bundles/demo/versions/1/rules")).json()
    assert "require-approval-prod-write" in "".join(item["text"] for item in told["items"])
    assert told["left_out"] == 0
    assert (await api.client("agent").get("/api/v1/policy/bundles/demo/versions/1/rules")).status_code == 403


async def test_a_version_differs_from_itself_in_nothing(api: ApiWorld) -> None:
    """And one that is not there cannot be compared."""
    author = api.client("author")
    told = await author.get("/api/v1/policy/bundles/demo/diff", params={"before": 1, "after": 1})
    assert told.json() == {
        "name": "demo",
        "before": 1,
        "after": 1,
        "widens": False,
        "changes": [],
        "changes_left_out": 0,
    }
    missing = await author.get("/api/v1/policy/bundles/demo/diff", params={"before": 1, "after": 99})
    assert missing.json()["code"] == "bundle_not_found"


@pytest.mark.parametrize("query", [{}, {"before": "1"}, {"before": "1", "after": "x"}, {"before": "0", "after": "1"}])
async def test_both_versions_have_to_be_named(api: ApiWorld, query: dict[str, str]) -> None:
    """By their numbers."""
    refused = await api.client("author").get("/api/v1/policy/bundles/demo/diff", params=query)
    assert refused.status_code == 422


async def test_no_path_reaches_beside_the_bundles(api: ApiWorld) -> None:
    """A name that is none is a bundle that is not there."""
    author = api.client("author")
    for path in ("..%2Fx/versions/1/rules", "demo/versions/0/rules", "UPPER/versions/1/rules"):
        assert (await author.get(f"/api/v1/policy/bundles/{path}")).status_code == 404


DENY = '  - id: r\n    decision: deny\n    reason: "no"\n    match: {topics: ["job.careful"]}\n'
ALLOW = DENY.replace("decision: deny", "decision: allow")


async def test_what_allows_more_is_told_first_with_a_job_that_shows_it(api: ApiWorld, tmp_path: Path) -> None:
    """Each way: back again it allows nothing more."""
    for version, rules in ((1, DENY), (2, ALLOW)):
        await publish_rules(api, tmp_path, rules, version)
    author, path = api.client("author"), "/api/v1/policy/bundles/careful/diff"
    wider = (await author.get(path, params={"before": 1, "after": 2})).json()
    assert wider["widens"]
    assert (wider["changes"][0]["direction"], wider["changes"][0]["rule"]) == ("widens", "r")
    assert wider["changes"][0]["example"]
    back = (await author.get(path, params={"before": 2, "after": 1})).json()
    assert not back["widens"]
    assert [change["direction"] for change in back["changes"]] == ["tightens"]
