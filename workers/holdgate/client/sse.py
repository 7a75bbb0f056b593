"""Server-Sent Events (HTML standard, section 9.2), as far as the job stream uses them; without IO."""

from __future__ import annotations

import json

from pydantic import ValidationError

from holdgate.client.errors import Unexpected
from holdgate.client.models import JobInfo

DATA_CHARS_MAX = 4 * 1024 * 1024


class EventReader:
    """Takes the lines of a stream and gives the job at each `state` event."""

    def __init__(self) -> None:
        self._event = ""
        self._data: list[str] = []
        self._chars = 0

    def feed(self, line: str) -> JobInfo | None:
        """The job, when `line` ends an event that tells of its state; Unexpected when the event is not one."""
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._event = value
        elif name == "data":
            self._chars += len(value)
            if self._chars > DATA_CHARS_MAX:
                raise _unexpected("an event over the limit")
            self._data.append(value)
        return None

    def _dispatch(self) -> JobInfo | None:
        event, data = self._event, "\n".join(self._data)
        self._event, self._data, self._chars = "", [], 0
        if event != "state" or not data:
            return None
        try:
            return JobInfo.model_validate(json.loads(data))
        except (ValueError, ValidationError) as error:
            raise _unexpected("an event that is not a job") from error


def _unexpected(detail: str) -> Unexpected:
    return Unexpected(200, {"code": "unexpected", "detail": detail})
