"""What somebody sees when a page cannot be shown: what is wrong, and what they can do."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from holdgate.scheduler.console.cookies import Cookies
from holdgate.scheduler.console.security import PAGE_HEADERS
from holdgate.scheduler.console.visit import ApiProblem, Shell, Visit, theme_of

TITLES: Mapping[int, str] = {
    400: "That was not understood",
    403: "Not allowed",
    404: "Nothing here",
    405: "Not in this way",
    409: "It has changed meanwhile",
    410: "Too late",
    413: "Too large",
    422: "Something is missing or wrong",
    429: "Too much at once",
    503: "Away at the moment",
}
ADVICE: Mapping[int, str] = {
    403: "Ask an administrator for the role you need, or sign in as somebody who has it.",
    404: "Check the address. What another tenant owns is not shown here either.",
    409: "Go back, load the page again, and decide on what it shows now.",
    410: "Nothing was changed. Look at the job for how it ended.",
    413: "Send less.",
    429: "Wait a little, then try again.",
    503: "Nothing was changed. Try again in a few seconds; if it stays so, tell an operator.",
}
ADVICE_BY_CODE: Mapping[str, str] = {
    "forbidden": "Ask an administrator for such a role, or sign in as somebody who has it.",
    "form_expired": "Go back, load the page again, and send the form once more.",
    "not_from_here": "Nothing was changed. Open the console and do it there.",
    "sign_in_refused": "Nobody was signed in. Go to the sign-in page and begin again, or sign in by API key.",
    "provider_unavailable": "Nobody was signed in. Try again in a while, or sign in by API key.",
    "too_many_attempts": "Wait a little. A key that is known works meanwhile.",
    "state_unavailable": "Nobody is signed in while the state store is away. Try again in a while.",
}


class Failures:
    """Pages of what went wrong."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def page(self, request: Request, cookies: Cookies, problem: ApiProblem) -> Response:
        """The page of `problem`; for htmx a notice in the page that is there."""
        context = {
            "problem": problem,
            "title": TITLES.get(problem.status, "Something went wrong"),
            "advice": ADVICE_BY_CODE.get(problem.code, ADVICE.get(problem.status, "Try again, or tell an operator.")),
        }
        headers = dict(PAGE_HEADERS)
        if "retry_after_s" in problem.extra:
            headers["retry-after"] = str(problem.extra["retry_after_s"])
        if "hx-request" in request.headers:
            text = self._shell.renderer.whole("errors/notice.html", context)
            headers |= {"hx-retarget": "#notices", "hx-reswap": "innerHTML"}
            return HTMLResponse(text, problem.status, headers=headers)
        visit = getattr(request.state, "visit", None)
        if isinstance(visit, Visit):
            response = visit.page("errors/problem.html", status=problem.status, **context)
        else:
            bare = {**context, "theme": theme_of(request, cookies), "version": self._shell.version}
            response = HTMLResponse(self._shell.renderer.whole("errors/bare.html", bare), problem.status)
        response.headers.update(headers)
        return response
