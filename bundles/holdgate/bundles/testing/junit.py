"""Results as JUnit XML, for tools that read it: a suite a file of tests, a case a case. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from holdgate.bundles.testing.report import CaseResult, TestReport

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML 1.0 document may hold, escaped or not."""


def junit_xml(report: TestReport, bundle: str) -> bytes:
    """One `testsuites` with everything in `report`; `bundle` is its name."""
    root = ET.Element("testsuites", _counts(report.results, bundle))
    for file in dict.fromkeys(result.file for result in report.results):
        results = [result for result in report.results if result.file == file]
        suite = ET.SubElement(root, "testsuite", _counts(results, file))
        for result in results:
            _case(suite, result, bundle)
    ET.indent(root)
    text: str = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'.encode()


def _case(suite: ET.Element, result: CaseResult, bundle: str) -> None:
    names = {
        "name": _text(result.name),
        "classname": f"{bundle}.{result.file.removesuffix('.yaml').replace('/', '.')}",
        "file": result.file,
        "line": str(result.line),
    }
    case = ET.SubElement(suite, "testcase", names)
    if result.problems:
        failure = ET.SubElement(case, "failure", {"message": _text(result.problems[0]), "type": "expectation"})
        failure.text = _text("\n".join([f"{result.file}:{result.line}", *result.problems]))


def _counts(results: Sequence[CaseResult], name: str) -> dict[str, str]:
    failures = sum(not result.passed for result in results)
    return {"name": name, "tests": str(len(results)), "failures": str(failures), "errors": "0", "skipped": "0"}


def _text(text: str) -> str:
    return _NOT_XML.sub("?", text)
