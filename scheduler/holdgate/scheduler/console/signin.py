"""Signing in by API key, and out.

What always holds: the key is sent once, over POST, kept nowhere and shown nowhere; where somebody is sent afterwards is
a page of this console.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from holdgate.scheduler.console.cookies import Cookies, browser_of, client_of
from holdgate.scheduler.console.form import field_map, read_form
from holdgate.scheduler.console.oidc import OidcSignIn
from holdgate.scheduler.console.security import PAGE_HEADERS, is_ours, local_path
from holdgate.scheduler.console.visit import ApiProblem, Shell, Visit, theme_of
from holdgate.scheduler.errors import TooManyAttempts
from holdgate.scheduler.identity.attempts import Attempts
from holdgate.scheduler.identity.principals import ApiKeys
from holdgate.scheduler.identity.sessions import SessionKind, Sessions

PATH = "/sign-in"
KEY_CHARS_MAX = 512


class SignIn:
    """The sign-in page."""

    def __init__(
        self,
        shell: Shell,
        sessions: Sessions,
        keys: ApiKeys,
        attempts: Attempts,
        oidc: OidcSignIn | None,
    ) -> None:
        self._shell = shell
        self._sessions = sessions
        self._keys = keys
        self._attempts = attempts
        self._oidc = oidc

    async def response(self, request: Request, cookies: Cookies) -> Response | None:
        """The answer to a request that is for this page; None for every other."""
        if request.url.path != PATH:
            return None if self._oidc is None else await self._oidc.response(request, cookies)
        if request.method == "POST":
            return await self._by_key(request, cookies)
        return self._page(request, cookies, next_=request.query_params.get("next", "/"))

    async def sign_out(self, visit: Visit, cookies: Cookies) -> Response:
        """End the session of `visit`."""
        await self._sessions.sign_out(visit.session)
        response = RedirectResponse(PATH, 303, headers=PAGE_HEADERS)
        cookies.drop(response, cookies.session)
        return response

    async def _by_key(self, request: Request, cookies: Cookies) -> Response:
        if not is_ours(request, self._shell.public_url):
            raise ApiProblem(403, "not_from_here", "the request does not come from a page of this console")
        form = field_map(await read_form(request))
        key, next_ = form.get("key", "").strip(), local_path(form.get("next", "/"))
        principal = self._keys.principal_of(key.encode()) if 0 < len(key) <= KEY_CHARS_MAX else None
        if principal is None:
            return await self._refused(request, cookies, next_, is_tried=bool(key))
        token, _ = await self._sessions.open(principal, SessionKind.KEY, browser_of(request))
        self._attempts.accepted("key")
        response = RedirectResponse(next_, 303, headers=PAGE_HEADERS)
        cookies.keep_session(response, token)
        return response

    async def _refused(self, request: Request, cookies: Cookies, next_: str, *, is_tried: bool) -> Response:
        """The page once more, with why; a key that is known is taken however often others were not."""
        if not is_tried:
            return self._page(request, cookies, next_=next_, refused="Enter an API key.")
        try:
            await self._attempts.failed("key", client_of(request))
        except TooManyAttempts as error:
            wait_s = -(-error.retry_after_ms // 1000)
            said = f"Too many keys were tried in vain. Try again in {wait_s} s; a key that is known is taken at once."
            response = self._page(request, cookies, next_=next_, refused=said, status=429)
            response.headers["retry-after"] = str(wait_s)
            return response
        return self._page(request, cookies, next_=next_, refused="This key is not known, or it was revoked.")

    def _page(
        self, request: Request, cookies: Cookies, *, next_: str, refused: str = "", status: int = 401
    ) -> Response:
        context = {
            "next": local_path(next_),
            "refused": refused,
            "provider": "" if self._oidc is None else self._oidc.host,
            "theme": theme_of(request, cookies),
            "version": self._shell.version,
        }
        text = self._shell.renderer.whole("sign-in.html", context)
        return HTMLResponse(text, status if refused else 200, headers=PAGE_HEADERS)
