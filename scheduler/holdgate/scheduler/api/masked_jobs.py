"""A job's prompt and labels with their secrets masked, for those who show jobs to people."""

from __future__ import annotations

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
