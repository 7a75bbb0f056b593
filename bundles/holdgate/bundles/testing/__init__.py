"""Tests of bundles: tables of cases beside the rules, signed with them.

cases     files of tests → cases           expected  what a case expects, and where a decision differs
run       every case, with the evaluator   coverage  what of the rules the cases have seen
mutants   rules of which one thing was changed (in fields: their `match`; expressions: `when`; terms: what they demand)
mutation  which of these the cases do not notice
report    what came of it                  junit     the same for other tools
"""

from holdgate.bundles.testing.coverage import Coverage
from holdgate.bundles.testing.junit import junit_xml
from holdgate.bundles.testing.mutation import Mutation, MutationReport
from holdgate.bundles.testing.report import CaseResult, TestReport
from holdgate.bundles.testing.run import Suite, load_suite, run_suite, run_tests

__all__ = [
    "CaseResult",
    "Coverage",
    "Mutation",
    "MutationReport",
    "Suite",
    "TestReport",
    "junit_xml",
    "load_suite",
    "run_suite",
    "run_tests",
]
