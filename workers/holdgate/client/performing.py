"""What operations share: one request, tried again where that is safe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdgate.client.exchange import Operation, Request, Retries, json_body, perform

API = "/api/v1"


class Performing:
    """Builds operations of one request. `retries` says for how long they are tried again."""

    def __init__(self, retries: Retries) -> None:
        self._retries = retries

    def _get(self, path: str, query: Mapping[str, str | None] | None = None) -> Operation[dict[str, Any]]:
        given = {name: value for name, value in (query or {}).items() if value is not None}
        return (yield from perform(Request("GET", path, query=given), self._retries))

    def _post(
        self,
        path: str,
        body: Mapping[str, Any],
        *,
        headers: Mapping[str, str] | None = None,
        is_repeatable: bool = True,
    ) -> Operation[dict[str, Any]]:
        request = Request("POST", path, body=json_body(body), headers=headers or {}, is_repeatable=is_repeatable)
        return (yield from perform(request, self._retries))

    def _delete(self, path: str) -> Operation[dict[str, Any]]:
        return (yield from perform(Request("DELETE", path), self._retries))
