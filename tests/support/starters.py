"""The starter bundles, built and compiled once."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from holdgate.bundles.format import BundleFile, build_bundle, parse_bundle
from holdgate.bundles.testing import load_suite
from holdgate.bundles.testing.cases import JobCase
from holdgate.bundles.trusted import parse_bundle_rules
from holdgate.kernel.evaluate import compile_policy, evaluate
from holdgate.kernel.ids import Digest
from holdgate.kernel.policy import Policy
from holdgate.kernel.records import Decision, Job, Phase, Verdict
from holdgate.kernel.rules import BundleRules
from support.trust import NOW_MS, STARTER

FOLDER = STARTER.parent
NAMES = sorted(path.name for path in FOLDER.iterdir() if (path / "bundle.yaml").exists())
STARTERS = [name for name in NAMES if name != "demo"]
UNNAMED = Digest("sha256:" + "0" * 64)


@cache
def built(name: str) -> BundleFile:
    return parse_bundle(build_bundle(FOLDER / name))


@cache
def rules_of(name: str) -> BundleRules:
    return parse_bundle_rules(built(name))


@cache
def together(*names: str) -> Policy:
    """The policy of these bundles; of all without a name."""
    return compile_policy([rules_of(name) for name in names or NAMES], snapshot=UNNAMED)


def decide(policy: Policy, asked: Job, now_ms: int = NOW_MS) -> Decision:
    return evaluate(policy, asked, now_ms=now_ms, phase=Phase.SUBMIT, job_hash=UNNAMED)


def effective(decision: Decision) -> Verdict:
    """What holds within the rates."""
    return decision.within or decision.verdict


def cases_of(name: str) -> Iterator[JobCase]:
    return (case for case in load_suite(built(name)).cases if isinstance(case, JobCase))
