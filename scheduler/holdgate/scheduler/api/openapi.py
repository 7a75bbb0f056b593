"""OpenAPI 3.1 from the table of operations."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from holdgate.scheduler.api.calls import JSON_TYPE, Operation, Query
from holdgate.scheduler.api.problems import KINDS, PROBLEM_TYPE
from holdgate.scheduler.api.schemas import COMPONENTS, ref

_IN_PATH = re.compile(r"\{(\w+)\}")
_PATH_SCHEMAS: dict[str, dict[str, Any]] = {
    "session_id": {"type": "string", "pattern": "^ses_[0-9a-f-]{36}$"},
    "job_id": {"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[^/]+$"},
    "artifact": {"type": "string", "minLength": 1, "maxLength": 256, "pattern": "^[^/]+$"},
    "grant_id": {"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[^/]+$"},
    "delegation_id": {"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[^/]+$"},
    "name": {"type": "string", "minLength": 1, "maxLength": 63, "pattern": "^[a-z0-9][a-z0-9_-]{0,62}$"},
    "version": {"type": "string", "minLength": 1, "maxLength": 16, "pattern": "^[1-9][0-9]{0,15}$"},
}
ALWAYS = ("overloaded", "internal_error", "bad_request")
WITH_KEY = ("unauthenticated", "forbidden", "tenant_mismatch", "keys_unavailable", "too_many_attempts")
WITH_BODY = ("malformed_json", "invalid_input", "body_timeout", "body_too_large", "unsupported_media_type")


def openapi(operations: Iterable[Operation], version: str) -> dict[str, Any]:
    """The whole description."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Holdgate",
            "version": version or "0",
            "description": "A job scheduler for AI agents that asks before it acts.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": COMPONENTS,
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def error_codes(operation: Operation) -> tuple[str, ...]:
    """Every problem code that the operation may answer."""
    codes = [*ALWAYS, *operation.errors]
    if operation.roles is not None:
        codes += WITH_KEY
    if operation.request is not None:
        codes += WITH_BODY
    if operation.query or operation.headers:
        codes += ("invalid_input",)
    return tuple(dict.fromkeys(codes))


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.tag],
        "responses": _responses(operation),
    }
    parameters = _parameters(operation)
    if parameters:
        described["parameters"] = parameters
    if operation.request is not None:
        described["requestBody"] = {
            "required": operation.request_required,
            "content": {JSON_TYPE: {"schema": ref(operation.request)}},
        }
    if operation.roles is not None:
        described["security"] = [{"key": []}, {"bearer": []}]
        roles = ", ".join(sorted(operation.roles)) or "any"
        described["description"] = f"Roles: {roles}."
    return described


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    shown = [
        {"name": name, "in": "path", "required": True, "schema": _PATH_SCHEMAS[name]}
        for name in _IN_PATH.findall(operation.path)
    ]
    shown += [_parameter(item, "query") for item in operation.query]
    shown += [_parameter(item, "header") for item in operation.headers]
    return shown


def _parameter(item: Query, where: str) -> dict[str, Any]:
    return {"name": item.name, "in": where, "required": False, "schema": item.schema, "description": item.description}


def _responses(operation: Operation) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    if operation.reply is not None:
        responses[str(operation.status)] = _response(operation.summary, operation.media, operation.reply)
    for status, reply in operation.also:
        responses[str(status)] = _response(operation.summary, operation.media, reply)
    by_status: dict[int, list[str]] = {}
    for code in error_codes(operation):
        by_status.setdefault(KINDS[code].status, []).append(code)
    for status, codes in sorted(by_status.items()):
        responses[str(status)] = _response(" or ".join(f"`{code}`" for code in codes), PROBLEM_TYPE, "Problem")
    return responses


def _response(description: str, media: str, schema: str) -> dict[str, Any]:
    return {"description": description, "content": {media: {"schema": ref(schema)}}}
