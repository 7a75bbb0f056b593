"""The shape of a held job: what jobs have in common that one look can decide together. Pure.

What always holds: jobs of one shape have the same topic, capability, risk tags, requirements, keys of labels and names
of secrets, were held by the same rules, and their payloads have the same keys with values of the same types. A payload
that is too large or too deep to compare is alike only to itself.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from holdgate.kernel.canonical import digest
from holdgate.kernel.records import Job

BYTES_MAX = 64 * 1024
"""Of a payload that is looked into."""
DEPTH_MAX = 8
NODES_MAX = 2000
_TYPES = {str: "text", int: "number", float: "number", bool: "boolean", type(None): "null"}


class _TooLarge(Exception):
    """The structure has more parts, or goes deeper, than is compared."""


def job_shape(job: Job) -> str:
    """What of the shape is the job's own, whoever holds it."""
    return digest(
        {
            "topic": job.topic,
            "capability": job.capability,
            "risk_tags": sorted(job.risk_tags),
            "requires": sorted(job.requires),
            "labels": sorted(job.labels),
            "prompt": job.prompt is not None,
            "payload": _structure(job),
            **({"secrets": sorted(job.secrets)} if job.secrets else {}),
        }
    )


def shape_of(of_job: str, rules: Sequence[str]) -> str:
    """The shape of a job that `rules` hold, `of_job` being its `job_shape`; '' where that is not known."""
    return digest({"job": of_job, "rules": sorted(rules)}) if of_job else ""


def _structure(job: Job) -> Any:
    """Keys and types; the payload's own digest where it is not looked into."""
    if job.payload is None or len(job.payload) > BYTES_MAX:
        return {"digest": job.payload_digest}
    try:
        return {"types": _types(json.loads(job.payload), 0, [NODES_MAX])}
    except (ValueError, RecursionError, _TooLarge):
        return {"digest": job.payload_digest}


def _types(value: Any, depth: int, left: list[int]) -> Any:
    left[0] -= 1
    if depth > DEPTH_MAX or left[0] < 0:
        raise _TooLarge
    if isinstance(value, dict):
        return {name: _types(item, depth + 1, left) for name, item in value.items()}
    if isinstance(value, list):
        # How long a list is may differ, what it is made of may not.
        kinds = [_types(item, depth + 1, left) for item in value]
        return sorted({digest(kind) for kind in kinds})
    return _TYPES[type(value)]
