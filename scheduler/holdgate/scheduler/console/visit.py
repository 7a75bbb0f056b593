"""One request of somebody who is signed in: what a page may ask for, and how it answers.

What always holds: everything a page reads or changes is a call of the API, made as the person who is signed in, with
the rights that they have at that moment; there is no other way to the system from here.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from holdgate.kernel.errors import HoldgateError
from holdgate.scheduler.api.inside import InsideCalls, InsideReply
from holdgate.scheduler.console.cookies import Cookies
from holdgate.scheduler.console.eventstream import EventsOn, Watched
from holdgate.scheduler.console.form import field_map
from holdgate.scheduler.console.notices import write_notice
from holdgate.scheduler.console.page import Page
from holdgate.scheduler.console.render import Renderer
from holdgate.scheduler.console.security import PAGE_HEADERS
from holdgate.scheduler.identity.principals import Principal
from holdgate.scheduler.identity.sessions import Session

API = "/api/v1"
PARSE_INLINE_BYTES_MAX = 128 * 1024
"""A longer reply is parsed in a thread."""
THEMES = frozenset({"light", "dark"})
OFF = "off"


class ApiProblem(HoldgateError):
    """a call of the API was answered with a problem

    `extra` are the other members of the problem document: `errors`, `decision`, `retry_after_s`, …
    """

    def __init__(self, status: int, code: str, detail: str, extra: Mapping[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.extra = extra or {}


@dataclass(frozen=True, slots=True)
class Shell:
    """What is around every page: the same for all visits."""

    calls: InsideCalls
    renderer: Renderer
    pages: Sequence[Page]
    version: str
    public_url: str = ""


@dataclass(frozen=True, slots=True)
class Around:
    """What is around this page: where it is, what the browser said, and what was told by the page before."""

    request: Request
    cookies: Cookies
    is_signed_in: Callable[[], Awaitable[bool]]
    notice: str = ""
    fields: Sequence[tuple[str, str]] = ()


class Visit:
    """See the module. `path` holds the parameters of the page's path, `query` the first of each name."""

    def __init__(self, shell: Shell, session: Session, principal: Principal, around: Around) -> None:
        self.principal = principal
        self.session = session
        self.request = around.request
        self.path: Mapping[str, str] = around.request.path_params
        self.query: Mapping[str, str] = around.request.query_params
        self.is_htmx = "hx-request" in around.request.headers and "hx-history-restore-request" not in (
            around.request.headers
        )
        self._shell = shell
        self._around = around

    async def get(self, path: str, **query: str | None) -> Any:
        """The JSON of a GET of `path` under `/api/v1`; a parameter that is None or empty is left out. ApiProblem."""
        asked = {name: value for name, value in query.items() if value}
        return await _json_of(await self._shell.calls.call(self.principal, "GET", API + path, asked))

    async def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The JSON that POST of `body` to `path` gives; None when it gives nothing. ApiProblem."""
        return await self.send("POST", path, body)

    async def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Any:
        """As `post`, with PUT or DELETE, or with a query."""
        return await _json_of(await self._shell.calls.call(self.principal, method, API + path, query, body))

    async def form(self) -> dict[str, str]:
        """The fields of the form, the last of each name. Its token was checked before the page was called."""
        return field_map(self._around.fields)

    async def fields(self) -> list[tuple[str, str]]:
        """The fields of the form in order, as checkboxes of one name need it."""
        return list(self._around.fields)

    def page(self, template: str, *, status: int = 200, **context: Any) -> Response:
        """A whole page in the shell; for htmx its block `main` alone, with the title."""
        known = {**self._around_context(), **context}
        renderer = self._shell.renderer
        if self.is_htmx:
            title = renderer.block(template, "title", known)
            text = f"<title>{title}</title>{renderer.block(template, 'main', known)}"
        else:
            text = renderer.whole(template, known)
        response = HTMLResponse(text, status, headers=PAGE_HEADERS)
        if self._around.notice and not self.is_htmx:
            self._around.cookies.drop(response, self._around.cookies.notice)
        return response

    def part(self, template: str, *, status: int = 200, **context: Any) -> Response:
        """A piece of a page."""
        text = self._shell.renderer.whole(template, {**self._around_context(), **context})
        return HTMLResponse(text, status, headers=PAGE_HEADERS)

    def go(self, path: str, notice: str = "") -> Response:
        """On to the page at `path`, which shows `notice`."""
        if not path.startswith("/") or path.startswith(("//", "/\\")):
            raise ValueError("a page of this console is meant")
        response: Response
        if self.is_htmx:
            response = Response(status_code=200, headers={**PAGE_HEADERS, "hx-redirect": path})
        else:
            response = RedirectResponse(path, 303, headers=PAGE_HEADERS)
        if notice:
            write_notice(response, self._around.cookies, self.session.csrf, notice)
        return response

    async def stream(self, path: str, **query: str | None) -> Response:
        """The events of `path` under `/api/v1`, as they come."""
        asked = {name: value for name, value in query.items() if value}
        return EventsOn(self._shell.calls, self.principal, Watched(API + path, asked, self._around.is_signed_in))

    def _around_context(self) -> dict[str, Any]:
        request = self.request
        return {
            "visit": self,
            "principal": self.principal,
            "session": self.session,
            "csrf": self.session.csrf,
            "nav": [page for page in self._shell.pages if page.nav and may_see(self.principal, page)],
            "here": request.url.path,
            "back": request.url.path + (f"?{request.url.query}" if request.url.query else ""),
            "notice": self._around.notice,
            "theme": theme_of(request, self._around.cookies),
            "shortcuts": request.cookies.get(self._around.cookies.shortcuts) != OFF,
            "version": self._shell.version,
        }


def may_see(principal: Principal, page: Page) -> bool:
    """Whether `page` is for somebody with these roles."""
    return not page.roles or principal.has(*page.roles)


def theme_of(request: Request, cookies: Cookies) -> str:
    """`light`, `dark`, or `auto` where nobody chose."""
    chosen = request.cookies.get(cookies.theme)
    return chosen if chosen in THEMES else "auto"


async def _json_of(reply: InsideReply) -> Any:
    large = len(reply.body) > PARSE_INLINE_BYTES_MAX
    found = await asyncio.to_thread(json.loads, reply.body) if large else json.loads(reply.body or b"null")
    if reply.status < 400:
        return found
    problem = found if isinstance(found, dict) else {}
    extra = {
        name: value for name, value in problem.items() if name not in {"type", "title", "status", "code", "detail"}
    }
    detail = str(problem.get("detail") or problem.get("title") or "something went wrong")
    raise ApiProblem(reply.status, str(problem.get("code", "internal_error")), detail, extra)
