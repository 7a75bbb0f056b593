"""The cookies of the console: how they are named and sent for one request.

What always holds: no script reads them; they go with `Secure` wherever anything but this machine is between.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from holdgate.scheduler.identity.sessions import LIFETIME_S

SameSite = Literal["strict", "lax"]
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Cookies:
    """How cookies are named and sent for one request: with `Secure` unless all of it is plain HTTP on loopback."""

    secure: bool

    @classmethod
    def of(cls, request: Request, public_url: str) -> Cookies:
        """Those of `request`; `public_url` is empty where nobody said how the console is reached."""
        if public_url:
            return cls(urlsplit(public_url).scheme == "https" or not _is_loopback(request))
        return cls(not _is_loopback(request))

    @property
    def session(self) -> str:
        """`__Host-` binds the cookie to this host, this path and TLS; browsers take it only with `Secure`."""
        return "__Host-holdgate" if self.secure else "holdgate"

    @property
    def signing_in(self) -> str:
        """What was begun with the OpenID provider."""
        return f"{self.session}-signing-in"

    @property
    def notice(self) -> str:
        """A sentence for the next page."""
        return f"{self.session}-notice"

    @property
    def theme(self) -> str:
        """`light` or `dark`, where somebody chose."""
        return f"{self.session}-theme"

    @property
    def shortcuts(self) -> str:
        """`off`, where somebody switched the shortcuts of the keyboard off."""
        return f"{self.session}-shortcuts"

    def keep_session(self, response: Response, token: str) -> None:
        """Hand `token` to the browser."""
        self.keep(response, self.session, token, LIFETIME_S)

    def keep(self, response: Response, name: str, value: str, age_s_max: int, same_site: SameSite = "strict") -> None:
        """Have the browser send `name` with requests of `same_site`, to no script and for `age_s_max`."""
        response.set_cookie(
            name, value, max_age=age_s_max, path="/", secure=self.secure, httponly=True, samesite=same_site
        )

    def drop(self, response: Response, name: str, same_site: SameSite = "strict") -> None:
        """Have the browser forget `name`."""
        response.delete_cookie(name, path="/", secure=self.secure, httponly=True, samesite=same_site)


def browser_of(request: Request) -> str:
    """What the browser says of itself, for the list of sessions; a claim."""
    return request.headers.get("user-agent", "")


def client_of(request: Request) -> str:
    """The address that the request came from: the browser's, or that of the proxy before us."""
    return request.client.host if request.client else ""


def _is_loopback(request: Request) -> bool:
    return client_of(request) in LOOPBACK and (request.url.hostname or "") in LOOPBACK
