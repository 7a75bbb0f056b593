"""Signing in by the OpenID provider: to it, and back.

What always holds: the way back ends only in the browser that set out; the session's cookie is first sent by a page of
this console, since browsers keep a strict cookie from every request that another site led to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from holdgate.scheduler.console.cookies import Cookies, browser_of, client_of
from holdgate.scheduler.console.security import PAGE_HEADERS, local_path
from holdgate.scheduler.console.visit import ApiProblem, Shell, theme_of
from holdgate.scheduler.identity.attempts import Attempts
from holdgate.scheduler.identity.claims import SignInRefused
from holdgate.scheduler.identity.principals import Principal
from holdgate.scheduler.identity.sessions import SessionKind, Sessions

START = "/sign-in/oidc"
BACK = "/sign-in/oidc/callback"
BEGUN_KEPT_S = 600


class Begun(Protocol):
    """Where the browser goes, and what it keeps meanwhile."""

    @property
    def url(self) -> str: ...
    @property
    def token(self) -> str: ...


class Provider(Protocol):
    """`identity.oidc.Provider`, which is loaded only where one is configured."""

    @property
    def host(self) -> str: ...
    async def begin(self, next_: str) -> Begun: ...
    async def finish(self, token: str, answer: Mapping[str, str]) -> tuple[Principal, str]: ...


class OidcSignIn:
    """The pages between here and the provider."""

    def __init__(self, shell: Shell, sessions: Sessions, attempts: Attempts, provider: Provider) -> None:
        self._shell = shell
        self._sessions = sessions
        self._attempts = attempts
        self._provider = provider

    @property
    def host(self) -> str:
        """What people know the provider by."""
        return self._provider.host

    async def response(self, request: Request, cookies: Cookies) -> Response | None:
        """The answer to a request that is for these pages; None for every other."""
        if request.method not in {"GET", "HEAD"} or request.url.path not in {START, BACK}:
            return None
        return await (self._begin if request.url.path == START else self._finish)(request, cookies)

    async def _begin(self, request: Request, cookies: Cookies) -> Response:
        begun = await self._provider.begin(local_path(request.query_params.get("next", "/")))
        response = RedirectResponse(begun.url, 303, headers=PAGE_HEADERS)
        # Lax: the provider leads back here from another site.
        cookies.keep(response, cookies.signing_in, begun.token, BEGUN_KEPT_S, "lax")
        return response

    async def _finish(self, request: Request, cookies: Cookies) -> Response:
        begun = request.cookies.get(cookies.signing_in, "")
        try:
            principal, next_ = await self._provider.finish(begun, dict(request.query_params))
        except SignInRefused as error:
            await self._attempts.failed("oidc", client_of(request), error.kind)
            raise ApiProblem(403, error.code, str(error)) from error
        token, _ = await self._sessions.open(principal, SessionKind.OIDC, browser_of(request))
        self._attempts.accepted("oidc")
        context = {"next": local_path(next_), "theme": theme_of(request, cookies), "version": self._shell.version}
        response = HTMLResponse(self._shell.renderer.whole("signed-in.html", context), headers=PAGE_HEADERS)
        cookies.drop(response, cookies.signing_in, "lax")
        cookies.keep_session(response, token)
        return response
