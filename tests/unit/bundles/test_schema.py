"""Schemas for editors: what loads fits its schema, and what an editor should flag does not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from holdgate.bundles.cli.bundle import bundle_app
from holdgate.bundles.documents import load_rules_file, load_yaml
from holdgate.bundles.manifest import BundleSource
from holdgate.bundles.root import ApproverRole, AuthorKey, Root, RootKeys
from holdgate.bundles.schema import BASE, SCHEMAS, header, schema_of
from holdgate.bundles.testing.cases import load_cases
from holdgate.kernel.errors import HoldgateError
from holdgate.kernel.jobform import FACTS_FIELDS, FORM_FIELDS
from holdgate.kernel.match import MEASURED
from support.trust import signer

STARTERS = Path(__file__).parents[3] / "bundles" / "holdgate" / "bundles" / "starter"
FILES = sorted(STARTERS.rglob("*.yaml"))
SCOPED = 'name: a\nversion: 1\nexpires: "2030-01-01T00:00:00Z"\nrules: [a.yaml]\n'
RULE = "rules:\n  - id: r\n    reason: because\n    decision: "
CASE = "cases:\n  - name: a\n    job: {topic: job.a}\n    expect: {verdict: deny}\n"
FULL = """\
combining: first-applicable
rules:
  - id: a.b-c_1
    decision: throttle
    reason: "  spaces around it  "
    match:
      tenants: [acme]
      topics: [">", "job.*.x", "*.>"]
      labels: {command_class: x, env: [a, "b c"]}
      mcp: {servers: [x], actions: ["a b"]}
      secrets: [db]
      secrets_present: false
      pii_present: true
      not: {principals: [Alice@example.com]}
      when: "job.payload.n > 1"
    throttle: {limit: 3, per: 90s, over: hold, key: [actor, topic]}
    approvers: {roles: [x], quorum: 2, escalate_after: 1h, expires: 2d, signed: true}
    constraints: {network: [], max_runtime_s: 5}
    remediations: [{id: x, title: T, labels: {a: b}}]
  - {id: b, decision: allow_with_constraints, reason: r, constraints: {paths: [/etc]}}
  - {id: c, decision: deny, reason: r, not: {risk_tags: [x]}, when: "true"}
output_rules:
  - {id: d, verdict: redact, reason: r, match: {labels: {x: y}, severities: [high]}}
"""
BAD: list[tuple[str, str]] = [
    ("bundle", SCOPED.replace("name: a", "name: A b")),
    ("bundle", SCOPED.replace("version: 1", "version: 0")),
    ("bundle", SCOPED.replace("version: 1", 'version: "1"')),
    ("bundle", SCOPED.replace("T00:00:00Z", "")),
    ("bundle", SCOPED + "grace: 1 week\n"),
    ("bundle", SCOPED + "expire: x\n"),
    ("bundle", SCOPED.replace("[a.yaml]", "[../a.yaml]")),
    ("bundle", SCOPED.replace("[a.yaml]", "[]")),
    ("bundle", SCOPED + "scope: {topics: ['job.>.x']}\n"),
    ("bundle", SCOPED + "vocabulary: {topics: {'a..b': {}}}\n"),
    ("rules", "{}"),
    ("rules", "rule: []"),
    ("rules", RULE + "permit\n"),
    ("rules", RULE + "allow\n    match:\n"),
    ("rules", RULE + "allow\n    match: {topics: [a.>.b]}\n"),
    ("rules", RULE + "allow\n    match: {topics: job.a}\n"),
    ("rules", RULE + "allow\n    match: {topic: [job.a]}\n"),
    ("rules", RULE + "allow\n    match: {labels: {'a b': x}}\n"),
    ("rules", RULE + "allow\n    not: {}\n"),
    ("rules", RULE + "allow\n    constraints: {max_runtime_s: 5}\n"),
    ("rules", RULE + "allow\n    remediations: [{id: x, title: X, topic: a}]\n"),
    ("rules", RULE + "deny\n    approvers: {roles: [x]}\n"),
    ("rules", RULE + "deny\n    remediations: [{id: x, title: X}]\n"),
    ("rules", RULE + "allow_with_constraints\n"),
    ("rules", RULE + "allow_with_constraints\n    constraints: {}\n"),
    ("rules", RULE + "throttle\n"),
    ("rules", RULE + "throttle\n    throttle: {limit: 5, per: 5 minutes}\n"),
    ("rules", RULE + "throttle\n    throttle: {limit: 0, per: 5m}\n"),
    ("rules", RULE + "require_approval\n    approvers: {quorum: 99}\n"),
    ("rules", RULE + "require_approval\n    throttle: {limit: 5, per: 5m}\n"),
    ("rules", RULE.replace("because", "''") + "deny\n"),
    ("rules", "combining: any\nrules: []"),
    ("rules", "output_rules: [{id: x, verdict: deny, reason: x}]"),
    ("tests", "cases: []"),
    ("tests", CASE.replace("deny", "refuse")),
    ("tests", CASE.replace("topic: job.a", "topic: job.*")),
    ("tests", CASE.replace("topic: job.a", "topci: job.a")),
    ("tests", CASE.replace("name: a", "title: a")),
    ("tests", CASE.replace("verdict: deny", "verdict: deny, rule: [x]")),
    ("tests", CASE.replace("verdict: deny", "verdict: deny, rules: x")),
    ("tests", 'now: "2026-01-01"\n' + CASE),
    ("tests", CASE.replace("job: {topic: job.a}", "output: {topic: job.a, findings: [{category: x}]}")),
]


def _faults(kind: str, value: Any) -> list[str]:
    return [f"{list(error.absolute_path)}: {error.message}" for error in _validator(kind).iter_errors(value)]


def _validator(kind: str) -> Draft202012Validator:
    return Draft202012Validator(schema_of(kind))


def _kind(file: Path) -> str:
    return "bundle" if file.name == "bundle.yaml" else file.parent.name


def _load(kind: str, data: bytes) -> None:
    match kind:
        case "bundle":
            BundleSource.model_validate(load_yaml(data, "x"))
        case "rules":
            load_rules_file("x", data, "x")
        case "tests":
            load_cases("x", data)


def _root() -> Root:
    return Root(
        version=1,
        expires="2030-01-01T00:00:00Z",
        root=RootKeys(keys=[signer("root").public_key.hex()], threshold=1),
        authors=[AuthorKey(name="author", public_key=signer("author").public_key.hex())],
        api_keys=[signer("api").public_key.hex()],
        kernel_keys=[signer("kernel").public_key.hex()],
        approver_roles=[ApproverRole(name="dba")],
    )


@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_schema_is_one_and_says_where_it_is(kind: str) -> None:
    schema = schema_of(kind)
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"{BASE}{kind}.json"
    assert header(kind) == f"# yaml-language-server: $schema={schema['$id']}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(STARTERS)))
def test_every_file_of_the_starter_bundles_fits_and_names_its_schema(file: Path) -> None:
    data = file.read_bytes()
    assert _faults(_kind(file), load_yaml(data, file.name)) == []
    assert data.decode().splitlines()[0] == header(_kind(file))


@pytest.mark.parametrize(("kind", "text"), BAD, ids=[f"{n}-{kind}" for n, (kind, _) in enumerate(BAD)])
def test_a_mistake_is_flagged_and_would_be_refused(kind: str, text: str) -> None:
    data = text.encode()
    with pytest.raises((HoldgateError, ValueError)):
        _load(kind, data)
    assert _faults(kind, load_yaml(data, "x"))


@pytest.mark.parametrize(
    ("kind", "text"), [("bundle", SCOPED), ("rules", FULL), ("tests", CASE), ("rules", RULE + "deny")]
)
def test_what_loads_fits(kind: str, text: str) -> None:
    _load(kind, text.encode())
    assert _faults(kind, load_yaml(text.encode(), "x")) == []


def test_a_root_fits_and_one_without_authors_does_not() -> None:
    root = _root().model_dump(mode="json")
    assert _faults("root", root) == []
    assert _faults("root", {**root, "authors": []})
    assert _faults("root", {**root, "api_keys": ["zz"]})
    assert _faults("root", {**root, "default_decision": "maybe"})


def test_the_job_of_a_case_has_the_fields_that_are_read() -> None:
    fields = set(schema_of("tests")["$defs"]["Job"]["properties"])
    assert fields == (FORM_FIELDS | FACTS_FIELDS | set(MEASURED)) - {"now"}


@pytest.mark.parametrize("kind", SCHEMAS)
def test_an_editor_has_something_to_show_for_every_key(kind: str) -> None:
    for properties in _properties(schema_of(kind)):
        assert all(value.get("description") for value in properties.values()), properties


def test_the_command_prints_the_schema() -> None:
    result = CliRunner().invoke(bundle_app, ["schema", "rules"])
    assert json.loads(result.stdout) == schema_of("rules")
    assert CliRunner().invoke(bundle_app, ["schema", "poems"]).exit_code == 2


def _properties(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema["properties"]
    yield from (kind["properties"] for kind in schema["$defs"].values())
