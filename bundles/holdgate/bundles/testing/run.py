"""Runs the tests of a bundle with the functions that decide: `evaluate` and `decide_output`. No IO, no clock.

What always holds: a bundle is tested alone (its own rules, and deny where none allows); every case of every file runs,
or nothing does and the problems are told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from time import perf_counter

from holdgate.bundles.errors import BundleTestsFailed, DocumentInvalid
from holdgate.bundles.format import BundleFile
from holdgate.bundles.testing.cases import Case, JobCase, load_cases
from holdgate.bundles.testing.coverage import measure
from holdgate.bundles.testing.report import CaseResult, TestReport
from holdgate.bundles.trusted import parse_bundle_rules
from holdgate.kernel.evaluate import evaluate
from holdgate.kernel.ids import Digest
from holdgate.kernel.output import decide_output
from holdgate.kernel.policy import Policy, compile_policy
from holdgate.kernel.records import Phase
from holdgate.kernel.rules import BundleRules, RateLimit

LOOKS_MAX = 5_000_000
"""Cases times rules: a few seconds where rules look at fields, half a minute where each has a condition as well and
every job reaches all of them."""
UNNAMED = Digest("sha256:" + "0" * 64)
"""Stands for the snapshot and the hash of a job, of which a test says nothing."""


@dataclass(frozen=True, slots=True)
class Suite:
    """The rules of a bundle and its cases, loaded."""

    rules: BundleRules
    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class Bench:
    """Rules ready to be asked, and the rate limits among them by rule."""

    policy: Policy
    rates: Mapping[str, RateLimit]

    @classmethod
    def of(cls, rules: BundleRules) -> Bench:
        """Of the rules of one bundle, alone."""
        rates = {rule.id: rule.throttle for rule in rules.rules if rule.throttle is not None}
        return cls(compile_policy([rules], snapshot=UNNAMED), rates)

    def ask(self, case: Case) -> tuple[list[str], Sequence[str]]:
        """What differs from what `case` expects, and the ids of the rules that counted."""
        if isinstance(case, JobCase):
            decision = evaluate(self.policy, case.job, now_ms=case.now_ms, phase=Phase.SIMULATE, job_hash=UNNAMED)
            return case.expected.problems(decision, self.rates), decision.rules
        output = decide_output(self.policy, case.facts, case.now_ms)
        return case.expected.problems(output), output.rules


def load_suite(file: BundleFile, *, only: str | None = None) -> Suite:
    """The rules and cases of `file`; `only` is a pattern of the names of cases, such as `*refund*`.

    PolicyInvalid or BundleRefused where the rules do not load, DocumentInvalid where a file of tests does not.
    """
    rules = parse_bundle_rules(file)
    cases = [case for path, data in file.tests.items() for case in load_cases(path, data)]
    if len(cases) * (len(rules.rules) + len(rules.output_rules)) > LOOKS_MAX:
        why = f"too many cases for so many rules: their product is over {LOOKS_MAX}"
        raise DocumentInvalid(file.manifest.tests[-1], [(1, ("cases",), why)])
    return Suite(rules, tuple(case for case in cases if only is None or fnmatchcase(case.name, only)))


def run_suite(suite: Suite, *, limit_s: float | None = None) -> TestReport:
    """Every case, and the coverage of the rules. BundleTestsFailed once that took `limit_s` seconds."""
    in_time = _Timer(limit_s).check
    bench = Bench.of(suite.rules)
    results: list[CaseResult] = []
    counted: list[Sequence[str]] = []
    for case in suite.cases:
        in_time()
        problems, rules = bench.ask(case)
        results.append(CaseResult(case.file, case.name, case.line, tuple(problems)))
        counted.append(rules)
    return TestReport(tuple(results), measure(suite.rules, suite.cases, counted, in_time=in_time))


def run_tests(file: BundleFile, *, only: str | None = None, limit_s: float | None = None) -> TestReport:
    """The tests of `file`, or those whose names match `only`; errors as in `load_suite` and `run_suite`."""
    return run_suite(load_suite(file, only=only), limit_s=limit_s)


class _Timer:
    """Runs from when it is made."""

    def __init__(self, limit_s: float | None) -> None:
        self._limit_s = limit_s
        self._since = perf_counter()

    def check(self) -> None:
        """BundleTestsFailed when the time is over."""
        if self._limit_s is not None and perf_counter() - self._since > self._limit_s:
            raise BundleTestsFailed(
                f"the tests take longer than {self._limit_s:g} s; have fewer cases, or fewer and simpler conditions", ()
            )
