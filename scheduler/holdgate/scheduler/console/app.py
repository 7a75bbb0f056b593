"""The console as an ASGI application, and the site: the API under its paths, the console everywhere else.

What always holds: nothing but the sign-in page and the static files is shown to somebody who is not signed in; a POST
is refused before its page is called unless it comes from a page of ours and carries the session's token; whatever goes
wrong becomes a page that says what to do, with nothing of an exception's text that the API would not have told.
"""

from __future__ import annotations

import traceback
from collections.abc import Container, MutableMapping
from typing import Any
from urllib.parse import quote

import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

from holdgate.kernel.errors import HoldgateError
from holdgate.scheduler.api.body import Disconnected
from holdgate.scheduler.api.inside import AsgiApp
from holdgate.scheduler.api.problems import problem_of
from holdgate.scheduler.console.cookies import Cookies
from holdgate.scheduler.console.failures import Failures
from holdgate.scheduler.console.form import field_map, read_form
from holdgate.scheduler.console.notices import read_notice
from holdgate.scheduler.console.page import Page
from holdgate.scheduler.console.security import (
    CSRF_FIELD,
    CSRF_HEADER,
    PAGE_HEADERS,
    is_ours,
    is_token,
    local_path,
)
from holdgate.scheduler.console.signin import SignIn
from holdgate.scheduler.console.static import PREFIX, StaticFiles
from holdgate.scheduler.console.visit import OFF, THEMES, ApiProblem, Around, Shell, Visit, may_see
from holdgate.scheduler.identity.principals import Principal
from holdgate.scheduler.identity.sessions import SessionEnded, Sessions, Visitor

log = structlog.get_logger("holdgate.console")
API_PATHS = frozenset({"/api", "/healthz", "/readyz", "/openapi.json"})
START = ("/overview", "/status")
"""Where `/` leads: the first of these that there is."""
CHOICE_KEPT_S = 365 * 24 * 3600
HSTS = (b"strict-transport-security", b"max-age=31536000")


class Site:
    """One port: the API for programs, the console for people. `tls_only`: it is known to people by `https`."""

    def __init__(self, api: AsgiApp, console: AsgiApp, *, tls_only: bool = False) -> None:
        self._api = api
        self._console = console
        self._tls_only = tls_only

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = scope.get("path", "")
        is_api = scope["type"] != "http" or path.startswith("/api/") or path in API_PATHS
        await (self._api if is_api else self._console)(scope, receive, _told_tls_only(send) if self._tls_only else send)


class Console:
    """Finds the page of a request and the person who asks for it."""

    def __init__(self, shell: Shell, sessions: Sessions, sign_in: SignIn, files: StaticFiles) -> None:
        self._shell = shell
        self._sessions = sessions
        self._sign_in = sign_in
        self._files = files
        self._failures = Failures(shell)
        self._exact = {(page.method, page.path): page for page in shell.pages if "{" not in page.path}
        self._routes = [
            (Route(page.path, _unused, methods=[page.method]), page) for page in shell.pages if "{" in page.path
        ]
        paths = {page.path for page in shell.pages}
        self._start = next((path for path in START if path in paths), "/status")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        try:
            response = await self._response(request)
        except Disconnected:
            return
        await response(scope, receive, send)

    async def _response(self, request: Request) -> Response:
        if request.url.path.startswith(PREFIX):
            return self._files.reply(request) or Response(status_code=404, headers=PAGE_HEADERS)
        cookies = Cookies.of(request, self._shell.public_url)
        try:
            return await self._answered(request, cookies)
        except ApiProblem as problem:
            return self._failures.page(request, cookies, problem)
        except HoldgateError as error:
            return self._failures.page(request, cookies, _told(error))
        except Disconnected:
            raise
        except Exception as error:  # noqa: BLE001  the door: everything unknown is a page that says nothing of it
            _log_failure(request, error)
            return self._failures.page(request, cookies, ApiProblem(500, "internal_error", "something went wrong"))

    async def _answered(self, request: Request, cookies: Cookies) -> Response:
        if (response := await self._sign_in.response(request, cookies)) is not None:
            return response
        page = self._page_of(request)
        visitor = await self._visitor(request, cookies)
        if visitor is None:
            return _to_sign_in(request)
        fields = await self._checked_fields(request, visitor)
        notice = read_notice(request.cookies.get(cookies.notice), visitor.session.csrf)
        token = request.cookies.get(cookies.session, "")
        around = Around(request, cookies, lambda: self._is_signed_in(token, visitor.principal), notice, fields)
        request.state.visit = visit = Visit(self._shell, visitor.session, visitor.principal, around)
        if isinstance(page, Page):
            if not may_see(visitor.principal, page):
                raise ApiProblem(403, "forbidden", _who_may_see(page, visitor))
            return await page.handler(visit)
        return await self._own(request, visit, cookies, page)

    async def _own(self, request: Request, visit: Visit, cookies: Cookies, allowed: frozenset[str]) -> Response:
        """What belongs to the shell itself."""
        match (request.method, request.url.path):
            case ("GET" | "HEAD", "/"):
                return visit.go(self._start)
            case ("POST", "/sign-out"):
                return await self._sign_in.sign_out(visit, cookies)
            case ("POST", "/theme"):
                return await _chosen(visit, cookies, "theme", cookies.theme, THEMES)
            case ("POST", "/shortcuts"):
                return await _chosen(visit, cookies, "shortcuts", cookies.shortcuts, {OFF})
            case _:
                pass
        if allowed:
            raise ApiProblem(405, "method_not_allowed", "this page cannot be asked for in this way")
        raise ApiProblem(404, "not_found", "there is no such page")

    async def _visitor(self, request: Request, cookies: Cookies) -> Visitor | None:
        token = request.cookies.get(cookies.session)
        if not token:
            return None
        try:
            return await self._sessions.visitor(token, counts=_is_used(request))
        except SessionEnded:
            return None

    async def _is_signed_in(self, token: str, principal: Principal) -> bool:
        """Whether the session lives and gives exactly the rights that it gave when `principal` came."""
        try:
            return (await self._sessions.visitor(token, counts=False)).principal == principal
        except HoldgateError:
            return False

    async def _checked_fields(self, request: Request, visitor: Visitor) -> list[tuple[str, str]]:
        if request.method in {"GET", "HEAD"}:
            return []
        if not is_ours(request, self._shell.public_url):
            raise ApiProblem(403, "not_from_here", "the request does not come from a page of this console")
        fields = await read_form(request)
        shown = (request.headers.get(CSRF_HEADER), field_map(fields).get(CSRF_FIELD))
        if not is_token(shown, visitor.session.csrf):
            raise ApiProblem(403, "form_expired", "the form does not carry the token of your session")
        return [(name, value) for name, value in fields if name != CSRF_FIELD]

    def _page_of(self, request: Request) -> Page | frozenset[str]:
        """The page, or the methods that its path would be answered for."""
        method = "GET" if request.method == "HEAD" else request.method
        if (page := self._exact.get((method, request.url.path))) is not None:
            return page
        allowed = {page_method for page_method, path in self._exact if path == request.url.path}
        for route, page in self._routes:
            match, found = route.matches(request.scope)
            if match is Match.FULL and method == page.method:
                request.scope["path_params"] = found["path_params"]
                return page
            if match is not Match.NONE:
                allowed.add(page.method)
        return frozenset(allowed)


def _told_tls_only(send: Send) -> Send:
    """Browsers that came over TLS come so from now on (RFC 6797); over plain HTTP they do not listen to this."""

    async def told(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], HSTS]}
        await send(message)

    return told


def _is_used(request: Request) -> bool:
    """Whether somebody is there: what a page fetches by itself does not keep a session alive."""
    by_itself = "hx-request" in request.headers or "text/event-stream" in request.headers.get("accept", "")
    return request.method not in {"GET", "HEAD"} or not by_itself


async def _chosen(visit: Visit, cookies: Cookies, field: str, cookie: str, choices: Container[str]) -> Response:
    """Keep what somebody chose in `field`; whatever is none of the choices is what holds without one."""
    form = await visit.form()
    response = visit.go(local_path(form.get("back", "/")))
    choice = form.get(field, "")
    if choice in choices:
        cookies.keep(response, cookie, choice, CHOICE_KEPT_S)
    else:
        cookies.drop(response, cookie)
    return response


def _who_may_see(page: Page, visitor: Visitor) -> str:
    own = ", ".join(sorted(visitor.principal.roles)) or "none"
    return f"this page needs one of the roles: {', '.join(sorted(page.roles))}; yours: {own}"


def _to_sign_in(request: Request) -> Response:
    if "hx-request" in request.headers:
        return Response(status_code=401, headers={**PAGE_HEADERS, "hx-redirect": "/sign-in"})
    if request.headers.get("accept", "") == "text/event-stream":
        return Response(status_code=401, headers=PAGE_HEADERS)  # ends the stream, where another page would confuse it
    if request.method not in {"GET", "HEAD"}:
        return RedirectResponse("/sign-in", 303, headers=PAGE_HEADERS)
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    further = "" if wanted == "/" else f"?next={quote(wanted, safe='/')}"
    return RedirectResponse(f"/sign-in{further}", 303, headers=PAGE_HEADERS)


def _told(error: HoldgateError) -> ApiProblem:
    """`error` as the API would tell it."""
    known = problem_of(error)
    wait = {} if known.retry_after_s is None else {"retry_after_s": known.retry_after_s}
    return ApiProblem(known.status, known.code, str(known), {**known.extra, **wait})


def _log_failure(request: Request, error: BaseException) -> None:
    """Where it failed; never the text of the exception, which may hold what somebody sent."""
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    path = request.url.path[:200]
    log.error("a page failed", action="page_failed", path=path, error=type(error).__name__, frames=frames[-12:])


async def _unused(_request: Request) -> Response:
    raise AssertionError("unreachable: routes are matched here, and called by the table of pages")
