"""The fields of a form: `application/x-www-form-urlencoded`, bounded in bytes, fields and time."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qsl

from starlette.requests import Request

from holdgate.scheduler.api.body import read_body
from holdgate.scheduler.api.problems import Problem

FORM_BYTES_MAX = 1024 * 1024
FORM_FIELDS_MAX = 1000
FORM_TIMEOUT_S = 10.0


async def read_form(request: Request) -> list[tuple[str, str]]:
    """The fields in order; Problem when it is too large, too slow or no form."""
    body = await read_body(request.receive, _uncounted, bytes_max=FORM_BYTES_MAX, timeout_s=FORM_TIMEOUT_S)
    if not body:
        return []
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Problem("unsupported_media_type", "a form is expected")
    try:
        text = body.decode("utf-8")
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=FORM_FIELDS_MAX)
    except ValueError as error:
        raise Problem("bad_request", "the form cannot be read") from error


def field_map(fields: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The last of each name."""
    return dict(fields)


def _uncounted(_size: int) -> None:
    """A form is small and has a bound of its own: it takes nothing of what bodies may hold together."""
