"""What agents wrote about jobs with its secrets masked, for those who show jobs to people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic_core import from_json

from holdgate.kernel.ids import Tenant
from holdgate.kernel.records import Job
from holdgate.scheduler.gates.masking import Masking, around_of

_HIDDEN: dict[str, Any] = {
    "topic": "not shown",
    "capability": None,
    "risk_tags": [],
    "requires": [],
    "secrets": [],
    "concurrency_key": None,
    "labels": {},
    "prompt": None,
}


async def masked_part(masking: Masking, job: Job) -> dict[str, Any]:
    """What its submitter wrote but the payload, and `masked`, the count; nothing of it that could not be searched."""
    found = await masking.mask(None, job.prompt, job.labels, around_of(job), tenant=job.tenant)
    if found.data is None:
        return {**_HIDDEN, "masked": None}
    shown = from_json(found.data)
    del shown["payload"]
    return {**shown, "masked": found.count}


async def masked_labels(masking: Masking, groups: Iterable[Mapping[str, Any]], tenant: Tenant) -> list[dict[str, Any]]:
    """`groups` of a replay with the labels of each example masked; who writes policy need not see jobs."""
    return [
        {**group, "examples": [await _masked_example(masking, one, tenant) for one in group["examples"]]}
        for group in groups
    ]


async def _masked_example(masking: Masking, example: Mapping[str, Any], tenant: Tenant) -> dict[str, Any]:
    found = await masking.mask(None, None, example["labels"], tenant=tenant)
    return {**example, "labels": {} if found.data is None else from_json(found.data)["labels"]}
