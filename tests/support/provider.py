"""A real OpenID provider for tests: idpyoidc's, over HTTP on a free port, which does wrong what a test asks it to.

Its sign-in page has a button and no password: who presses it is `alice`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import uvicorn
from cryptojwt.jws.jws import JWS
from cryptojwt.key_jar import KeyJar
from idpyoidc.server import Server
from idpyoidc.server.configure import OPConfiguration
from idpyoidc.server.oidc.authorization import Authorization
from idpyoidc.server.oidc.provider_config import ProviderConfiguration
from idpyoidc.server.oidc.token import Token
from idpyoidc.server.user_info import UserInfo
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from holdgate.scheduler.console.oidc import BACK
from holdgate.scheduler.up.children import free_port
from support.api import ApiWorld, running_api
from support.waiting import eventually

CLIENT_ID = "holdgate"
SECRET = "for-tests-only-but-long-enough-for-a-key"
ALICE = {"email": "Alice@Example.com", "email_verified": True, "roles": ["approver", "release-manager"]}


@dataclass
class OpenIdProvider:
    """A running provider. `alter` changes the claims of each id token before it is signed again by its own key."""

    issuer: str
    server: Server
    people: dict[str, dict[str, Any]]
    alter: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    algorithm: str = "RS256"
    stranger: KeyJar | None = None
    """Keys to sign with that are not published."""
    configuration: dict[str, Any] = field(default_factory=dict)
    """Members of the discovery document that are to be other than they are."""
    away: bool = False
    asked: list[str] = field(default_factory=list)
    """Paths of the requests it got."""

    def resigned(self, id_token: str) -> str:
        """`id_token` with its claims altered."""
        own = self.server.context.keyjar
        body = id_token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        changed = self.alter(claims) if self.alter else claims
        key_type = {"ES": "EC", "HS": "oct"}.get(self.algorithm[:2], "RSA")
        issuer = CLIENT_ID if key_type == "oct" else ""
        keys = [] if self.algorithm == "none" else (self.stranger or own).get_signing_key(key_type, issuer)
        signed: str = JWS(json.dumps(changed), alg=self.algorithm).sign_compact(keys)
        return signed


@contextlib.asynccontextmanager
async def running_provider(folder: Path, redirect_uri: str) -> AsyncIterator[OpenIdProvider]:
    """A provider that knows us, for the block."""
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    server = Server(OPConfiguration(conf=_configuration(issuer), base_path=str(folder)), cwd=str(folder))
    server.context.cdb[CLIENT_ID] = {
        "client_id": CLIENT_ID,
        "client_secret": SECRET,
        "client_salt": "salt",
        "redirect_uris": [(redirect_uri, "")],
        "response_types_supported": ["code"],
        "token_endpoint_auth_method": "client_secret_basic",
        "allowed_scopes": ["openid", "email", "profile"],
    }
    server.context.keyjar.add_symmetric(CLIENT_ID, SECRET)
    provider = OpenIdProvider(issuer, server, server.context.userinfo.db)
    config = uvicorn.Config(_app(provider), port=port, log_config=None, lifespan="off", ws="none")
    http = uvicorn.Server(config)
    task = asyncio.create_task(http.serve())
    try:
        await eventually(lambda: http.started, why="the provider listens")
        yield provider
    finally:
        http.should_exit = True
        await task


@dataclass
class Both:
    """The system and its provider."""

    api: ApiWorld
    provider: OpenIdProvider


@contextlib.asynccontextmanager
async def running_both(nats_url: str, redis_url: str, folder: Path, **settings: Any) -> AsyncIterator[Both]:
    """A running API that knows a running provider; `settings` are to be other than usual."""
    address, secret = f"127.0.0.1:{free_port()}", folder / "secret"
    secret.touch(mode=0o600)
    secret.write_text(SECRET + "\n")
    async with running_provider(folder, f"http://{address}{BACK}") as provider:
        known = {
            "api_listen": address,
            "public_url": f"http://{address}",
            "oidc_issuer": provider.issuer,
            "oidc_client_id": CLIENT_ID,
            "oidc_client_secret_file": secret,
            "oidc_tenant": "default",
            **settings,
        }
        async with running_api(nats_url, redis_url, folder / "home", known) as api:
            yield Both(api, provider)


def _app(provider: OpenIdProvider) -> Starlette:
    def seen(request: Request) -> None:
        provider.asked.append(request.url.path)
        if provider.away:
            raise ConnectionError

    async def discovery(request: Request) -> Response:
        seen(request)
        endpoint = provider.server.get_endpoint("provider_config")
        shown = json.loads(endpoint.do_response(**endpoint.process_request())["response"])
        return _json({**shown, **provider.configuration})

    async def keys(request: Request) -> Response:
        seen(request)
        return _json(provider.server.context.keyjar.export_jwks())

    async def authorize(request: Request) -> Response:
        seen(request)
        asked = dict(request.query_params)
        if asked.pop("as", None) != "alice":
            fields = "".join(f'<input type="hidden" name="{name}" value="{value}">' for name, value in asked.items())
            return HTMLResponse(
                f'<form action="/authorization">{fields}<button name="as" value="alice">I am Alice</button></form>'
            )
        endpoint = provider.server.get_endpoint("authorization")
        done = endpoint.do_response(**endpoint.process_request(endpoint.parse_request(asked)))
        return RedirectResponse(done["response"], 302)

    async def token(request: Request) -> Response:
        seen(request)
        endpoint = provider.server.get_endpoint("token")
        form = dict(parse_qsl((await request.body()).decode()))
        info = {"headers": {"authorization": request.headers.get("authorization", "")}}
        parsed = endpoint.parse_request(form, http_info=info)
        if "error" in parsed:
            return _json(parsed.to_dict(), 400)
        done = endpoint.process_request(request=parsed, issue_refresh=False)
        if "response_args" not in done:
            return _json({"error": "invalid_grant"}, 400)
        reply = json.loads(endpoint.do_response(request=parsed, **done)["response"])
        if provider.alter or provider.stranger or provider.algorithm != "RS256":
            reply["id_token"] = provider.resigned(reply["id_token"])
        return _json(reply)

    routes = [
        Route("/.well-known/openid-configuration", discovery),
        Route("/jwks.json", keys),
        Route("/authorization", authorize),
        Route("/token", token, methods=["POST"]),
    ]
    return Starlette(routes=routes)


def _json(value: Any, status: int = 200) -> Response:
    return Response(json.dumps(value), status, media_type="application/json")


def _configuration(issuer: str) -> dict[str, Any]:
    signing = [{"type": "RSA", "use": ["sig"]}, {"type": "EC", "crv": "P-256", "use": ["sig"]}]
    sealing = [{"type": "OCT", "use": ["enc"], "kid": "password"}, {"type": "OCT", "use": ["enc"], "kid": "salt"}]
    claims = dict.fromkeys(("email", "email_verified", "roles", "tenant", "preferred_username", "realm_access"))
    return {
        "issuer": issuer,
        "preference": {"id_token_signing_alg_values_supported": ["RS256", "ES256"]},
        "key_conf": {"key_defs": signing, "uri_path": "jwks.json"},
        "token_handler_args": {
            "jwks_def": {"key_defs": [{"type": "oct", "bytes": 24, "use": ["enc"], "kid": "code"}]},
            "code": {"kwargs": {"lifetime": 600}},
            "token": {
                "class": "idpyoidc.server.token.jwt_token.JWTToken",
                "kwargs": {"lifetime": 3600, "aud": [issuer]},
            },
            "id_token": {
                "class": "idpyoidc.server.token.id_token.IDToken",
                "kwargs": {"lifetime": 3600, "base_claims": claims},
            },
        },
        "endpoint": {
            "provider_config": {
                "path": ".well-known/openid-configuration",
                "class": ProviderConfiguration,
                "kwargs": {"client_authn_method": None},
            },
            "authorization": {
                "path": "authorization",
                "class": Authorization,
                "kwargs": {"client_authn_method": None},
            },
            "token": {
                "path": "token",
                "class": Token,
                "kwargs": {"client_authn_method": ["client_secret_basic", "client_secret_post"]},
            },
        },
        "add_on": {
            "pkce": {"function": "idpyoidc.server.oauth2.add_on.pkce.add_support", "kwargs": {"essential": True}}
        },
        "authentication": {
            "button": {
                "acr": "urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified",
                "class": "idpyoidc.server.user_authn.user.NoAuthn",
                "kwargs": {"user": "alice"},
            }
        },
        "userinfo": {"class": UserInfo, "kwargs": {"db": {"alice": dict(ALICE)}}},
        "session_params": {"encrypter": {"kwargs": {"keys": {"key_defs": sealing}, "iterations": 1}}},
    }
