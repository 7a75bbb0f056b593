"""What the site is made of: the API for programs, and the console for people on top of it."""

from __future__ import annotations

from holdgate.scheduler.api.app import create_app
from holdgate.scheduler.api.deps import Deps
from holdgate.scheduler.api.inside import AsgiApp, InsideCalls
from holdgate.scheduler.console.app import Console, Site
from holdgate.scheduler.console.pages import PAGES
from holdgate.scheduler.console.render import Renderer
from holdgate.scheduler.console.signin import SignIn
from holdgate.scheduler.console.static import StaticFiles
from holdgate.scheduler.console.visit import Shell


def create_site(deps: Deps) -> AsgiApp:
    """The API over `deps`, and the console over the API."""
    api, files = create_app(deps), StaticFiles()
    shell = Shell(InsideCalls(api), Renderer(files), PAGES, deps.version)
    sign_in = SignIn(shell, deps.sessions, deps.keys)
    return Site(api, Console(shell, deps.sessions, sign_in, files))
