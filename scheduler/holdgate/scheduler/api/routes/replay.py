"""`POST /policy/replay`: what a candidate would have decided about what was decided."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from holdgate.bundles.replay import Replay
from holdgate.kernel.canonical import canonical_bytes
from holdgate.kernel.clock import parse_rfc3339
from holdgate.kernel.policy import Policy
from holdgate.scheduler.api.calls import Call, Reply, reply_json
from holdgate.scheduler.api.masked_jobs import masked_labels
from holdgate.scheduler.api.problems import Problem, invalid
from holdgate.scheduler.state.recorded import LAST_MAX, Wanted

LAST_DEFAULT = 10_000
BASELINES = ("recorded", "active")
KNOWN = frozenset({"bundle", "last", "since", "baseline"})


@dataclass(frozen=True, slots=True)
class _Asked:
    bundle: bytes
    last: int
    since_ms: int | None
    baseline: str


async def replay(call: Call) -> Reply:
    """`POST /policy/replay`: decisions of the caller's tenant, decided again by a candidate that nobody need sign"""
    with call.deps.replays.turn():
        asked = await asyncio.to_thread(_asked, call.json)  # of a file of 15 MB it takes a second
        tried, active = await call.deps.candidates.tried(asked.bundle)
        baseline = _baseline(asked, active)
        reads = tried.policy.reads | (frozenset() if baseline is None else baseline.reads)
        wanted = Wanted(last=asked.last, since_ms=asked.since_ms, payloads="payload" in reads)
        run = Replay(tried.policy, baseline=baseline)
        done = await call.deps.replays.run(run, call.principal.tenant, wanted)
    found = done.report.as_dict()
    return reply_json(
        {
            "candidate": {"name": tried.name, "version": tried.version, "digest": tried.digest},
            "baseline": asked.baseline,
            "complete": done.stopped is None,
            "stopped": done.stopped,
            **found,
            "groups": await masked_labels(call.deps.masking, found["groups"], call.principal.tenant),
        }
    )


def _asked(form: Any) -> _Asked:
    if not isinstance(form, dict):
        raise invalid("body", "an object is expected")
    for name in sorted(form.keys() - KNOWN):
        raise invalid(name[:64], "is not known here")
    bundle, last = form.get("bundle"), form.get("last", LAST_DEFAULT)
    if not isinstance(bundle, dict):
        raise invalid("bundle", "the object in a bundle file is expected")
    if type(last) is not int or not 1 <= last <= LAST_MAX:
        raise invalid("last", f"an integer from 1 to {LAST_MAX} is expected")
    baseline = form.get("baseline", BASELINES[0])
    if baseline not in BASELINES:
        raise invalid("baseline", f"one of {', '.join(BASELINES)} is expected")
    return _Asked(canonical_bytes(bundle), last, _since_ms(form.get("since")), baseline)


def _since_ms(since: Any) -> int | None:
    if since is None:
        return None
    try:
        return parse_rfc3339(since)
    except (TypeError, ValueError, OverflowError, AttributeError) as error:
        raise invalid("since", "a time such as `2026-01-02T03:04:05Z` is expected") from error


def _baseline(asked: _Asked, active: Policy | None) -> Policy | None:
    if asked.baseline == "recorded":
        return None
    if active is None:
        raise Problem("no_policy", "nothing is published that could be compared with")
    return active
