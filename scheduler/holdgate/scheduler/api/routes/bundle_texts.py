"""What stands in published bundles: the text of their rules, and what one version does otherwise than another."""

from __future__ import annotations

import asyncio

from holdgate.bundles.format import parse_bundle
from holdgate.scheduler.api.calls import Call, Reply, reply_json
from holdgate.scheduler.api.problems import Problem, invalid
from holdgate.scheduler.api.routes.bundles import BUNDLE_NAME, VERSION

FILES_MAX = 100
TEXT_CHARS_MAX = 200_000
"""Of one file; the bundle file itself has all of it."""


async def get_rules(call: Call) -> Reply:
    """`GET /policy/bundles/{name}/versions/{version}/rules`: by path, as written"""
    version = call.path["version"]
    if VERSION.match(version) is None:
        raise Problem("bundle_not_found")
    data = await call.deps.bundles.file(_name(call), int(version))
    texts = await asyncio.to_thread(rules_of, data)
    items = [
        {"path": path, "text": text[:TEXT_CHARS_MAX], "cut": len(text) > TEXT_CHARS_MAX}
        for path, text in sorted(texts.items())[:FILES_MAX]
    ]
    return reply_json({"items": items, "left_out": len(texts) - len(items)})


async def get_diff(call: Call) -> Reply:
    """`GET /policy/bundles/{name}/diff`: as `holdgate bundle diff` says it of the two files"""
    name, before, after = _name(call), _version(call, "before"), _version(call, "after")
    told = await call.deps.bundles.diff(name, before, after)
    return reply_json({"name": name, "before": before, "after": after, **told})


def rules_of(data: bytes) -> dict[str, str]:
    """The files of rules in a bundle file."""
    return {path: written.decode("utf-8", "replace") for path, written in parse_bundle(data).rules.items()}


def _name(call: Call) -> str:
    name = call.path["name"]
    if BUNDLE_NAME.match(name) is None:
        raise Problem("bundle_not_found")
    return name


def _version(call: Call, which: str) -> int:
    text = call.query.get(which, "")
    if VERSION.match(text) is None:
        raise invalid(which, "the number of a version is expected")
    return int(text)
