"""One row of the table of pages: from it the route, the navigation and its shortcut are made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.responses import Response

from holdgate.scheduler.identity.keys import Role

if TYPE_CHECKING:
    from holdgate.scheduler.console.visit import Visit

Handler = Callable[["Visit"], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Page:
    """`nav` is its name in the navigation, None where it is not there; `key` goes there after `g`.

    `roles`: who is shown it, an empty set for everybody. What may be read and done is decided by the calls it makes.
    """

    method: str
    path: str
    handler: Handler
    nav: str | None = None
    roles: frozenset[Role] = frozenset()
    key: str | None = None
