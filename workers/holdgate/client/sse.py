"""Server-Sent Events (HTML standard, section 9.2), as far as the API's streams use them; without IO."""

from __future__ import annotations

import json
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from holdgate.client.errors import Unexpected

Told = TypeVar("Told", bound=BaseModel)

DATA_CHARS_MAX = 4 * 1024 * 1024


class EventReader(Generic[Told]):
    """Takes the lines of a stream and gives what each event of the name `event` tells, as `kind`."""

    def __init__(self, event: str, kind: type[Told]) -> None:
        self.last_id: str | None = None
        """The `id` of the last event that was told, to go on from there in another stream."""
        self._wanted = event
        self._kind = kind
        self._id: str | None = None
        self._event = ""
        self._data: list[str] = []
        self._chars = 0

    def feed(self, line: str) -> Told | None:
        """What is told, when `line` ends such an event; Unexpected when it is not a `kind`."""
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._event = value
        elif name == "id":
            self._id = value
        elif name == "data":
            self._chars += len(value)
            if self._chars > DATA_CHARS_MAX:
                raise _unexpected("an event over the limit")
            self._data.append(value)
        return None

    def _dispatch(self) -> Told | None:
        event, data = self._event, "\n".join(self._data)
        self._event, self._data, self._chars = "", [], 0
        if event != self._wanted or not data:
            return None
        self.last_id = self._id
        try:
            return self._kind.model_validate(json.loads(data))
        except (ValueError, ValidationError) as error:
            raise _unexpected(f"an event that is not a {self._kind.__name__}") from error


def _unexpected(detail: str) -> Unexpected:
    return Unexpected(200, {"code": "unexpected", "detail": detail})
