"""Tests of bundles: tables of cases beside the rules, signed with them.

cases     files of tests → cases           expected  what a case expects, and where a decision differs
run       every case, with the evaluator   coverage  what of the rules the cases have seen
mutants   rules made looser or wrong       mutation  which of these the cases do not notice
junit     results for other tools
"""

from holdgate.bundles.testing.report import CaseResult, TestReport
from holdgate.bundles.testing.run import Suite, load_suite, run_suite, run_tests

__all__ = ["CaseResult", "Suite", "TestReport", "load_suite", "run_suite", "run_tests"]
