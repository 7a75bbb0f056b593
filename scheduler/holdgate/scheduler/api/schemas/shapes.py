"""What the JSON schemas (2020-12) of the API are made of. The parser of the job form is `kernel.jobform`; the schemas
describe it, and the fuzz test holds the two together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdgate.kernel import limits
from holdgate.scheduler.state.transitions import State

Schema = dict[str, Any]
TAG = f"^[A-Za-z0-9][A-Za-z0-9_.:/@+-]{{0,{limits.TAG_CHARS_MAX - 1}}}$"
LABEL_KEY = (
    f"^(?![Hh][Oo][Ll][Dd][Gg][Aa][Tt][Ee]\\.)[A-Za-z0-9][A-Za-z0-9_.:/@+-]{{0,{limits.LABEL_KEY_CHARS_MAX - 1}}}$"
)
NAME = "^[a-z0-9][a-z0-9_-]{0,62}$"
SECRET_NAME = "^[a-z0-9][a-z0-9._-]{0,62}$"  # noqa: S105  the form of a name
ACTOR = "^[A-Za-z0-9][A-Za-z0-9_.:@/-]{0,127}$"
TOPIC = f"^[A-Za-z0-9_-]+(\\.[A-Za-z0-9_-]+){{0,{limits.TOPIC_TOKENS_MAX - 1}}}$"
PRINTABLE = "^[^\\u0000-\\u001f\\u007f-\\u009f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069\\ufeff]*$"
PROMPT = "^[^\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f]*$"
"""Written without reference to the interpreter's `re`: OpenAPI patterns are ECMA 262."""


def text(**more: Any) -> Schema:
    """A string."""
    return {"type": "string", **more}


def nullable(schema: Schema) -> Schema:
    """That, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def listed(items: Schema, **more: Any) -> Schema:
    """A list of that."""
    return {"type": "array", "items": items, **more}


def record(properties: Mapping[str, Schema], *, optional: frozenset[str] = frozenset(), closed: bool = True) -> Schema:
    """An object with these members, all required but `optional`."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": sorted(set(properties) - optional),
        "additionalProperties": not closed,
    }


def ref(name: str) -> Schema:
    """The component of that name."""
    return {"$ref": f"#/components/schemas/{name}"}


def page(items: Schema, **more: Schema) -> Schema:
    """A list in pieces."""
    return record({"items": listed(items), "next_cursor": nullable(text()), **more})


TIME = text(format="date-time")
DIGEST = text(pattern="^sha256:[0-9a-f]{64}$")
INTEGER = {"type": "integer"}
COUNT = {"type": "integer", "minimum": 0}
BOOLEAN = {"type": "boolean"}
ANY: Schema = {}
OBJECT: Schema = {"type": "object"}
TEXTS = listed(text())
LABELS_OUT: Schema = {"type": "object", "additionalProperties": text()}
TAGS_IN = nullable(listed(text(pattern=TAG), maxItems=limits.TAGS_MAX))
ID_OUT = text(pattern="^job_[0-9a-f-]{36}$")
STATE = text(enum=[str(item) for item in State])
COUNTS: Schema = {"type": "object", "additionalProperties": COUNT}
CHECKS: Schema = {"type": "object", "additionalProperties": text()}
_SAYABLE = "[^\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f]*"
REASON_IN = text(minLength=1, maxLength=limits.REASON_CHARS_MAX, pattern=f"^{_SAYABLE}[^\\s\\u0000-\\u001f]{_SAYABLE}$")
