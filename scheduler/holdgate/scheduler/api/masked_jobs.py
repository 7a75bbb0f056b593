"""What agents wrote about jobs with its secrets masked, for those who show jobs to people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic_core import from_json

from holdgate.kernel.records import Job
from holdgate.scheduler.gates.masking import Masking


async def masked_part(masking: Masking, job: Job) -> dict[str, Any]:
    """The members `labels`, `prompt` and `masked`, the count; nothing of them where they could not be searched."""
    found = await masking.mask(None, job.prompt, job.labels)
    if found.data is None:
        return {"labels": {}, "prompt": None, "masked": None}
    shown = from_json(found.data)
    return {"labels": shown["labels"], "prompt": shown["prompt"], "masked": found.count}


async def masked_labels(masking: Masking, groups: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """`groups` of a replay with the labels of each example masked; who writes policy need not see jobs."""
    return [
        {**group, "examples": [await _masked_example(masking, one) for one in group["examples"]]} for group in groups
    ]


async def _masked_example(masking: Masking, example: Mapping[str, Any]) -> dict[str, Any]:
    found = await masking.mask(None, None, example["labels"])
    return {**example, "labels": {} if found.data is None else from_json(found.data)["labels"]}
