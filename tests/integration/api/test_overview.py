"""The overview counts what happened to the caller's tenant; lists of jobs are narrowed down."""

from __future__ import annotations

import pytest

from holdgate.scheduler.state.stats import KernelSample
from holdgate.scheduler.state.transitions import State
from support.api import ApiWorld


@pytest.mark.parametrize("who", ["approver", "operator", "auditor", "author"])
async def test_what_was_submitted_is_in_the_last_step(api: ApiWorld, who: str) -> None:
    """Each of these roles sees it; an agent does not."""
    await api.submit()
    shown = (await api.client(who).get("/api/v1/overview")).json()
    assert sum(map(sum, shown["series"]["decisions"].values())) == 1
    assert sum(shown["series"]["decisions"]["allow"][-2:]) == 1
    assert (shown["step_s"], len(shown["series"]["started"])) == (60, 60)
    assert shown["now"]["jobs"]["accepted"] == 1
    assert (await api.client("agent").get("/api/v1/overview")).status_code == 403


async def test_a_level_nobody_looked_at_is_null_and_one_that_was_is_a_number(api: ApiWorld) -> None:
    """An empty queue and a dispatcher that is away are not the same."""
    client = api.client("operator")
    levels = (await client.get("/api/v1/overview")).json()["series"]["levels"]
    assert set(levels["queued"]) == {None}
    await api.deps.stats.sample_kernels(KernelSample(1, True, True, True), api.deps.clock.now_ms())
    series = (await client.get("/api/v1/overview")).json()["series"]
    assert 0 in series["levels"]["queued"]
    assert sum(series["kernel"]["samples"]) == 1
    assert 1 in series["kernel"]["replicas"]


async def test_another_tenant_sees_nothing_of_it(api: ApiWorld) -> None:
    """Its own counts alone."""
    await api.submit()
    shown = (await api.client("stranger").get("/api/v1/overview")).json()
    assert not any(map(sum, shown["series"]["decisions"].values()))


async def test_windows_are_bounded_and_named(api: ApiWorld) -> None:
    """No chart has more than 180 points."""
    client = api.client("operator")
    for window, points in (("6h", 180), ("24h", 180)):
        shown = (await client.get("/api/v1/overview", params={"window": window})).json()
        assert len(shown["series"]["started"]) == points
    refused = await client.get("/api/v1/overview", params={"window": "7d"})
    assert refused.status_code == 422


async def test_jobs_are_found_by_id_actor_and_label(api: ApiWorld) -> None:
    """An id may be given whole or by its beginning; whoever sees only its own finds none of another actor."""
    plain = (await api.submit()).json()["job_id"]
    labelled = (await api.submit(labels={"team": "a=b"})).json()["job_id"]
    operator = api.client("operator")

    async def found(**query: str) -> set[str]:
        reply = await operator.get("/api/v1/jobs", params=query)
        return {item["job_id"] for item in reply.json()["items"]}

    assert await found(id=plain) == {plain}
    assert await found(id="job_") == await found(id=plain[:8]) == {plain, labelled}
    assert await found(id="job_f") == set()
    assert await found(label="team=a=b") == {labelled}
    actor = (await operator.get(f"/api/v1/jobs/{plain}")).json()["actor"]
    assert await found(actor=actor) == {plain, labelled}
    assert await found(actor="nobody") == set()
    other = (await api.submit("agent2")).json()["job_id"]
    others_actor = (await operator.get(f"/api/v1/jobs/{other}")).json()["actor"]
    assert await found(actor=others_actor) == {other}
    hidden = await api.client("agent").get("/api/v1/jobs", params={"actor": others_actor})
    assert hidden.json()["items"] == []


async def test_a_beginning_of_an_id_pages_to_its_end(api: ApiWorld) -> None:
    """The cursor goes on inside what fits."""
    made = {(await api.submit()).json()["job_id"] for _ in range(5)}
    operator, seen, cursor = api.client("operator"), set[str](), None
    for _ in range(5):
        query = {"id": "job_0", "limit": "2", "state": str(State.ACCEPTED), **({"cursor": cursor} if cursor else {})}
        page = (await operator.get("/api/v1/jobs", params=query)).json()
        seen |= {item["job_id"] for item in page["items"]}
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == made


@pytest.mark.parametrize(("name", "value"), [("id", "x"), ("id", "job_*"), ("label", "team"), ("label", "=x")])
async def test_a_search_that_cannot_be_is_refused(api: ApiWorld, name: str, value: str) -> None:
    """By the name of the parameter."""
    refused = await api.client("operator").get("/api/v1/jobs", params={name: value})
    assert refused.json()["errors"][0]["field"] == name
