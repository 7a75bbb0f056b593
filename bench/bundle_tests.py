"""How long the tests of a bundle take: 1,000 cases, from the files of a bundle to the report with its coverage.

Run alone: `python -m bench.bundle_tests`.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from holdgate.bundles.format import BundleFile, build_bundle, parse_bundle
from holdgate.bundles.testing import Mutation, MutationReport, load_suite, run_suite, run_tests

CASES = 1_000
RULE_COUNTS = (100, 1_000)
ROUNDS = 5
EXAMPLE = """
  - id: allow-{n}
    decision: allow_with_constraints
    reason: "service {n} runs within bounds"
    match: {{topics: ["job.s{n}.*"], labels: {{env: [dev, test]}}}}
    constraints: {{max_runtime_s: 600, max_attempts: 2}}
  - id: hold-{n}
    decision: require_approval
    reason: "a person looks at large changes of service {n}"
    match: {{topics: ["job.s{n}.*"], labels: {{env: [dev, test]}}}}
    when: "has(job.payload.amount) && job.payload.amount > 100"
    approvers: {{roles: [release-manager], quorum: 1}}
"""
CASE = """
  - name: case {n}
    job: {{topic: job.s{service}.apply, labels: {{env: dev, team: t{n}}}, payload: {{amount: {amount}}}}}
    expect: {expect}
"""
HELD = "{verdict: require_approval, rules: [hold-%d], approvers: {roles: [release-manager], quorum: 1, expires: 24h}}"
RUNS = (
    "{verdict: allow_with_constraints, rules: [allow-%d],"
    " constraints: {max_runtime_s: 600, max_attempts: 2, others: none}}"
)


def measure_tests(rule_counts: tuple[int, ...] = RULE_COUNTS) -> dict[str, Any]:
    """`bundle_tests_s` by number of rules (median), the whole command, and mutants a second with all cases passing."""
    result: dict[str, Any] = {"bundle_tests_cases": CASES, "bundle_tests_s": {}}
    with tempfile.TemporaryDirectory() as name:
        for count in rule_counts:
            folder = Path(name) / str(count)
            file = example_bundle(folder, count)
            result["bundle_tests_s"][str(count)] = round(statistics.median(_times_s(file)), 3)
        smallest = Path(name) / str(rule_counts[0])
        result["bundle_test_command_s"] = round(_command_s(smallest), 3)
        result["mutants_per_s"] = round(_mutants_per_s(parse_bundle(build_bundle(smallest))))
    return result


def example_bundle(folder: Path, rules: int) -> BundleFile:
    """A bundle of `rules` rules and `CASES` cases, written to `folder`."""
    (folder / "tests").mkdir(parents=True)
    pairs = rules // 2
    (folder / "rules.yaml").write_text("rules:" + "".join(EXAMPLE.format(n=n) for n in range(pairs)))
    cases = []
    for n in range(CASES):
        service, held = n % pairs, n % 2
        expect = (HELD if held else RUNS) % service
        cases.append(CASE.format(n=n, service=service, amount=500 if held else 5, expect=expect))
    (folder / "tests" / "all.yaml").write_text("given: {actor: agent-1}\ncases:" + "".join(cases))
    (folder / "bundle.yaml").write_text(
        'name: bench\nversion: 1\nexpires: "2040-01-01T00:00:00Z"\nrules: [rules.yaml]\ntests: [tests/all.yaml]\n'
    )
    return parse_bundle(build_bundle(folder))


def _times_s(file: BundleFile) -> list[float]:
    times: list[float] = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        report = run_tests(file)
        times.append(time.perf_counter() - started)
        assert report.passed
        assert len(report.results) == CASES
    return times


def _command_s(folder: Path) -> float:
    """`holdgate bundle test`, with starting the interpreter."""
    command = [str(Path(sys.executable).with_name("holdgate")), "bundle", "test", str(folder)]
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def _mutants_per_s(file: BundleFile) -> float:
    suite = load_suite(file)
    assert run_suite(suite).passed
    started = time.perf_counter()
    report = MutationReport.of(Mutation(suite).outcomes())
    return report.total / (time.perf_counter() - started)


if __name__ == "__main__":
    print(measure_tests())
