"""JSON Schema (2020-12) of what authors and operators write: `bundle.yaml`, rules, tests, the root. For editors.

Made from the models that read these files. What always holds: a file that loads, and whose times are RFC 3339, fits its
schema. One that fits may still be refused: a schema cannot parse expressions, compare times or look into another file.
No IO.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from pydantic import BaseModel, TypeAdapter

from holdgate.bundles.manifest import BundleSource
from holdgate.bundles.root import Root
from holdgate.bundles.schematext import TEXTS
from holdgate.bundles.testing.cases import FINDINGS, OUTPUT_FIELDS, CasesFile
from holdgate.bundles.testing.expected import JobExpected, OutputExpected
from holdgate.kernel import limits
from holdgate.kernel.dataclass import DataClass
from holdgate.kernel.records import ALLOWING, Priority, Verdict
from holdgate.kernel.ruleform import CONTENTS, RulesDocument
from holdgate.kernel.ruletypes import Actor, Fingerprint, LabelKey, Name, Pattern, Seconds, SecretName, Tag, Topic

Schema: TypeAlias = dict[str, Any]
DRAFT = "https://json-schema.org/draft/2020-12/schema"
BASE = "https://raw.githubusercontent.com/holdgate/holdgate/main/docs/reference/schema/"
HEADER = "# yaml-language-server: $schema="
TIME = {
    "type": "string",
    "format": "date-time",
    "pattern": r"^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:[Zz]|[+-]\d{2}:\d{2})$",
}
_REFERENCE = "#/$defs/"


def schema_of(kind: str) -> Schema:
    """The schema of a kind of file, one of `SCHEMAS`."""
    return {"$schema": DRAFT, "$id": f"{BASE}{kind}.json", **SCHEMAS[kind]()}


def schema_text(kind: str) -> str:
    """The schema as it is published."""
    return json.dumps(schema_of(kind), indent=2, ensure_ascii=False) + "\n"  # noqa: TID251  for people and editors


def header(kind: str) -> str:
    """The first line of a file of this kind, by which an editor finds the schema."""
    return f"{HEADER}{BASE}{kind}.json"


def _bundle() -> Schema:
    schema = _tidied(BundleSource, "A policy bundle: its name, its scope and its files.")
    own, vocabulary = schema["properties"], schema["$defs"]["Vocabulary"]["properties"]
    own["expires"].update(TIME)
    own["valid_from"] = {**own["valid_from"], "anyOf": [TIME, {"type": "null"}]}
    own["grace"] = {**own["grace"], "anyOf": [_plain(Seconds), {"type": "null"}]}
    vocabulary["topics"]["propertyNames"] = _plain(Pattern)
    _with_patterns(schema)
    return schema


def _rules() -> Schema:
    schema = _tidied(RulesDocument, "Rules of a policy bundle.")
    kinds = schema["$defs"]
    schema["anyOf"] = [{"required": [name]} for name in CONTENTS]
    for name in ("Not", "Mcp", "Constraints", "EscalateTo"):
        kinds[name]["minProperties"] = 1
    kinds["Remediation"]["anyOf"] = [{"required": [name]} for name in ("topic", "capability", "labels")]
    kinds["Rule"]["allOf"] = list(_relations())
    _without_null(schema)
    return schema


def _tests() -> Schema:
    schema = _tidied(CasesFile, "Tests of a policy bundle.")
    job = _definition("Job", {name: _or_null(_JOB[name]) for name in _JOB})
    facts: Schema = {name: _or_null(_JOB[name]) for name in sorted(OUTPUT_FIELDS)}
    said = {name: _plain(Tag) for name in ("category", "severity", "detector")}
    finding = _definition("Finding", {**said, "fingerprints": _list_of(Fingerprint, limits.FINGERPRINTS_MAX)})
    finding["required"] = list(said)
    facts["input_class"] = {"enum": [str(item) for item in DataClass]}
    facts[FINDINGS] = {"type": "array", "maxItems": 1000, "items": {"$ref": f"{_REFERENCE}Finding"}}
    kinds = _without_null(schema)["$defs"]
    schema["properties"]["now"].update(TIME)
    for kind in (kinds["Case"], kinds["Row"]):
        kind["properties"]["now"].update(TIME)
        for name, reference in (("job", "Job"), ("output", "Output"), ("expect", "Expect")):
            said = kind["properties"][name]["description"]
            kind["properties"][name] = {"$ref": f"{_REFERENCE}{reference}", "description": said}
    schema["properties"]["given"] = {"$ref": f"{_REFERENCE}Job", "description": TEXTS["CasesFile"]["given"]}
    kinds.update(_expected(), Job=job, Output=_definition("Output", facts), Finding=finding)
    return schema


def _root() -> Schema:
    schema = _tidied(Root, "The trust root: who may sign what.")
    schema["properties"]["expires"].update(TIME)
    _with_patterns(schema)
    return schema


SCHEMAS: Mapping[str, Callable[[], Schema]] = {"bundle": _bundle, "rules": _rules, "tests": _tests, "root": _root}
"""By kind of file."""


def _relations() -> Iterator[Schema]:
    """What of a rule goes with which decision."""
    allowing = sorted(ALLOWING)
    for decisions, without in (
        ([Verdict.ALLOW, Verdict.DENY], "constraints"),
        (allowing, "remediations"),
        ([*allowing, Verdict.DENY], "approvers"),
        ([*allowing, Verdict.DENY], "severity"),
        ([verdict for verdict in Verdict if verdict is not Verdict.THROTTLE], "throttle"),
    ):
        yield {**_if_decision(*decisions), "then": {"properties": {without: False}}}
    for decision, needed in (
        (Verdict.THROTTLE, "throttle"),
        (Verdict.ALLOW_WITH_CONSTRAINTS, "constraints"),
    ):
        yield {**_if_decision(decision), "then": {"required": [needed]}}


def _if_decision(*decisions: str) -> Schema:
    wanted = {"enum": [str(decision) for decision in decisions]}
    return {"if": {"properties": {"decision": wanted}, "required": ["decision"]}}


def _expected() -> Schema:
    """Definitions of `expect`: for a job or a result, and where it is put together of a case and its row, in parts."""
    job = JobExpected.model_json_schema(ref_template=f"{_REFERENCE}Expected{{model}}")
    output = OutputExpected.model_json_schema()["properties"]
    own = {**output, **job["properties"]}
    verdicts = dict.fromkeys([*job["properties"]["verdict"]["enum"], *output["verdict"]["enum"]])
    own["verdict"] = {"enum": list(verdicts)}
    kinds = {f"Expected{name.removeprefix('_')}": _tidy(kind) for name, kind in job.pop("$defs").items()}
    kinds = {name: _described(name, kind) for name, kind in kinds.items()}
    for name, kind in kinds.items():
        if name != "ExpectedConstraints":
            kinds[name] = _without_null(kind)
    expect = _without_null(_definition("Expect", _tidy(own)))
    for name in ("approvers", "throttle"):
        several = expect["properties"][name]
        said = several.pop("description")
        expect["properties"][name] = {"anyOf": [several["items"], several], "description": said}
    return {**kinds, "Expect": expect}


def _tidied(model: type[BaseModel], description: str) -> Schema:
    """The schema of a model with our names and texts."""
    made = _tidy(model.model_json_schema())
    kinds = {name.removeprefix("_"): kind for name, kind in made.pop("$defs", {}).items()}
    described = {name: _described(name, kind) for name, kind in kinds.items()}
    return {**_described(model.__name__, made), "description": description, "$defs": described}


def _tidy(node: Any) -> Any:
    """Without titles and defaults that say nothing; references by our names; keys of mappings checked."""
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {key: _tidy(value) for key, value in node.items() if not (key == "title" and isinstance(value, str))}
    if kept.get("default", ...) is None:
        del kept["default"]
    if isinstance(reference := kept.get("$ref"), str):
        name = reference.removeprefix(_REFERENCE)
        kept["$ref"] = _REFERENCE + name.replace("_", "")
    if isinstance(patterns := kept.pop("patternProperties", None), dict):
        ((pattern, value),) = patterns.items()
        kept.update(propertyNames={"pattern": pattern}, additionalProperties=value)
    return kept


def _described(name: str, kind: Schema) -> Schema:
    """A definition with the text of each of its keys."""
    texts = TEXTS[name]
    properties = {key: {**value, "description": texts[key]} for key, value in kind["properties"].items()}
    return {**kind, "properties": properties}


def _definition(name: str, properties: Schema) -> Schema:
    return _described(name, {"type": "object", "additionalProperties": False, "properties": properties})


def _without_null(node: Any) -> Any:
    """The same where a key with nothing behind it is refused. In place, for what is inside."""
    if isinstance(node, list):
        for item in node:
            _without_null(item)
    elif isinstance(node, dict):
        choices = node.get("anyOf")
        if isinstance(choices, list) and {"type": "null"} in choices:
            left = [choice for choice in choices if choice != {"type": "null"}]
            del node["anyOf"]
            node.update(left[0] if len(left) == 1 else {"anyOf": left})
        for item in node.values():
            _without_null(item)
    return node


def _with_patterns(schema: Schema) -> None:
    """Scopes with the form of a topic pattern, which their own validator checks."""
    schema["$defs"]["Scope"]["properties"]["topics"]["items"] = _plain(Pattern)


def _plain(kind: Any) -> Schema:
    schema: Schema = _tidy(TypeAdapter(kind).json_schema())
    return schema


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]} if schema else {}


def _texts(chars_max: int) -> Schema:
    return {"type": "string", "maxLength": chars_max}


def _list_of(kind: Any, items_max: int) -> Schema:
    return {"type": "array", "maxItems": items_max, "items": _plain(kind)}


_JOB: Mapping[str, Schema] = {
    "topic": _plain(Topic),
    "prompt": _texts(limits.PROMPT_CHARS_MAX),
    "payload": {},
    "labels": {
        "type": "object",
        "maxProperties": limits.LABELS_MAX,
        "propertyNames": _plain(LabelKey),
        "additionalProperties": _or_null(_texts(limits.LABEL_VALUE_CHARS_MAX)),
    },
    "capability": _plain(Tag),
    "risk_tags": _list_of(Tag, limits.TAGS_MAX),
    "requires": _list_of(Tag, limits.TAGS_MAX),
    "pool": _plain(Name),
    "priority": {"enum": [str(priority) for priority in Priority]},
    "concurrency_key": {**_texts(limits.CONCURRENCY_KEY_CHARS_MAX), "minLength": 1},
    "run_at": TIME,
    "deadline": TIME,
    "max_attempts": {"type": "integer", "minimum": 1, "maximum": limits.ATTEMPTS_MAX},
    "job_id": _texts(128),
    "tenant": _plain(Name),
    "actor": _plain(Actor),
    "actor_type": _plain(Name),
    "principals": _list_of(Actor, limits.PRINCIPALS_MAX),
    "secrets": _list_of(SecretName, limits.SECRETS_MAX),
    "secrets_present": {"type": "boolean"},
    "pii_present": {"type": "boolean"},
}
"""The fields of a job in a file of tests; `payload` is anything."""
