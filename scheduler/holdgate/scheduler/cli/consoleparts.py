"""What the site is made of: the API for programs, and the console for people on top of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from holdgate.scheduler.api.app import create_app
from holdgate.scheduler.api.deps import Deps
from holdgate.scheduler.api.inside import AsgiApp, InsideCalls
from holdgate.scheduler.console.app import Console, Site
from holdgate.scheduler.console.oidc import BACK, OidcSignIn
from holdgate.scheduler.console.pages import PAGES
from holdgate.scheduler.console.render import Renderer
from holdgate.scheduler.console.signin import SignIn
from holdgate.scheduler.console.static import StaticFiles
from holdgate.scheduler.console.visit import Shell
from holdgate.scheduler.errors import Misconfigured
from holdgate.scheduler.settings import ApiSettings, read_secret

if TYPE_CHECKING:
    from holdgate.scheduler.identity.oidc import Provider


def create_site(deps: Deps, settings: ApiSettings) -> AsgiApp:
    """The API over `deps`, and the console over the API. Misconfigured when sign-in is not set up whole."""
    api, files = create_app(deps), StaticFiles()
    public_url = (settings.public_url or "").rstrip("/")
    shell = Shell(InsideCalls(api), Renderer(files), PAGES, deps.version, public_url)
    provider = _provider(deps, settings)
    oidc = None if provider is None else OidcSignIn(shell, deps.sessions, deps.attempts, provider)
    sign_in = SignIn(shell, deps.sessions, deps.keys, deps.attempts, oidc)
    return Site(api, Console(shell, deps.sessions, sign_in, files), tls_only=public_url.startswith("https:"))


def _provider(deps: Deps, settings: ApiSettings) -> Provider | None:
    if settings.oidc_issuer is None:
        return None
    from holdgate.scheduler.identity.claims import ClaimRules, read_roles
    from holdgate.scheduler.identity.oidc import OidcConfig, Provider

    if settings.public_url is None or not settings.oidc_client_id:
        raise Misconfigured("`HOLDGATE_OIDC_ISSUER` needs `HOLDGATE_PUBLIC_URL` and `HOLDGATE_OIDC_CLIENT_ID` too")
    if bool(settings.oidc_tenant) == bool(settings.oidc_tenant_claim):
        raise Misconfigured(
            "`HOLDGATE_OIDC_ISSUER` needs one of `HOLDGATE_OIDC_TENANT` and `HOLDGATE_OIDC_TENANT_CLAIM`"
        )
    secret_file, roles_file = settings.oidc_client_secret_file, settings.oidc_roles_file
    config = OidcConfig(
        issuer=settings.oidc_issuer,
        client_id=settings.oidc_client_id,
        client_secret=None if secret_file is None else read_secret(secret_file),
        redirect_uri=settings.public_url.rstrip("/") + BACK,
        claims=ClaimRules(
            tenant=settings.oidc_tenant,
            tenant_claim=settings.oidc_tenant_claim,
            actor_claim=settings.oidc_actor_claim,
            roles_claim=settings.oidc_roles_claim,
            roles=None if roles_file is None else read_roles(roles_file),
        ),
    )
    return Provider(config, deps.sessions.signing, deps.clock, os.urandom)
