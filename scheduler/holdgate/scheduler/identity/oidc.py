"""Signing in by an OpenID provider: authorization code with PKCE (OpenID Connect Core 1.0, RFC 7636, RFC 9207).

    begin   discovery, then the browser goes to the provider with state, nonce and the challenge
    finish  state as begun, answer of this provider, code against verifier, id token verified, claims read

What always holds: what was begun is kept in the browser that began it, signed by the api, for ten minutes; only an id
token that this provider signed with one of its published keys, for us, now, for this sign-in, makes a person; symmetric
and absent signatures are never accepted. Loaded only where a provider is configured.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from pydantic import SecretStr

from holdgate.kernel.clock import Clock
from holdgate.kernel.errors import Forged
from holdgate.kernel.ids import Entropy
from holdgate.scheduler.errors import Misconfigured
from holdgate.scheduler.identity.claims import ClaimRules, SignInRefused, principal_of
from holdgate.scheduler.identity.principals import Principal
from holdgate.scheduler.identity.providerhttp import ProviderHttp, ProviderUnavailable
from holdgate.scheduler.identity.tokens import TokenKeys

DOMAIN = "signin"
BEGUN_KEPT_S = 600
LEEWAY_S = 60
AGE_S_MAX = 600
"""How old an id token may be that comes straight from the token endpoint."""
DISCOVERY_KEPT_S = 600
FAILURE_KEPT_MS = 3_000
"""For so long nobody asks a provider again that did not answer: strangers cost it, and us, one question."""
SCOPE = "openid email profile"
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_BEGUN = frozenset({"state", "nonce", "verifier", "next", "issuer", "expires_ms"})


@dataclass(frozen=True, slots=True)
class OidcConfig:
    """How we are known to the provider. `redirect_uri` is registered there."""

    issuer: str
    client_id: str
    client_secret: SecretStr | None
    redirect_uri: str
    claims: ClaimRules


@dataclass(frozen=True, slots=True)
class Begun:
    """Where the browser goes, and what it keeps meanwhile."""

    url: str
    token: str


class Provider:
    """The provider of `config`."""

    def __init__(self, config: OidcConfig, signing: TokenKeys, clock: Clock, entropy: Entropy) -> None:
        _require_safe(config.issuer)
        self._config = config
        self._signing = signing
        self._clock = clock
        self._entropy = entropy
        self._http = ProviderHttp()
        self._discovering = asyncio.Lock()
        self._found: tuple[int, Mapping[str, Any]] | None = None
        self._failed_ms: int | None = None

    @property
    def host(self) -> str:
        """What people know it by."""
        return urlsplit(self._config.issuer).netloc

    async def begin(self, next_: str) -> Begun:
        """Start a sign-in that leads to the page `next_`. ProviderUnavailable."""
        metadata = await self._metadata()
        state, nonce, verifier = (self._entropy(32).hex() for _ in range(3))
        url = prepare_grant_uri(
            metadata["authorization_endpoint"],
            client_id=self._config.client_id,
            response_type="code",
            redirect_uri=self._config.redirect_uri,
            scope=SCOPE,
            state=state,
            nonce=nonce,
            code_challenge=create_s256_code_challenge(verifier),
            code_challenge_method="S256",
        )
        begun = {
            "state": state,
            "nonce": nonce,
            "verifier": verifier,
            "next": next_,
            "issuer": self._config.issuer,
            "expires_ms": self._clock.now_ms() + BEGUN_KEPT_S * 1000,
        }
        return Begun(url, self._signing.seal(DOMAIN, begun))

    async def finish(self, token: str, answer: Mapping[str, str]) -> tuple[Principal, str]:
        """The person of the provider's `answer` to what was begun, and the page they wanted.

        SignInRefused, ProviderUnavailable.
        """
        begun = self._begun(token)
        code = self._code(begun, answer)
        metadata = await self._metadata()
        if metadata.get("authorization_response_iss_parameter_supported") is True and "iss" not in answer:
            raise SignInRefused("issuer", "the answer does not say which provider it is of")
        tokens = await self._redeem(metadata, code, begun["verifier"])
        keys = await self._http.fetch(metadata["jwks_uri"])
        claims = self._verified(tokens, keys, begun["nonce"])
        return principal_of(claims, self._config.claims), begun["next"]

    def _begun(self, token: str) -> dict[str, Any]:
        try:
            begun = self._signing.open(DOMAIN, token)
        except Forged as error:
            raise SignInRefused("state", "this browser has not begun to sign in, or long ago; begin again") from error
        if begun.keys() != _BEGUN or begun["issuer"] != self._config.issuer:
            raise SignInRefused("state", "the sign-in was begun otherwise; begin again")
        if self._clock.now_ms() >= begun["expires_ms"]:
            raise SignInRefused("state", "the sign-in took too long; begin again")
        return begun

    def _code(self, begun: Mapping[str, Any], answer: Mapping[str, str]) -> str:
        if not hmac.compare_digest(answer.get("state", "").encode(), begun["state"].encode()):
            raise SignInRefused("state", "the answer is not to what this browser began; begin again")
        if answer.get("iss", self._config.issuer) != self._config.issuer:
            raise SignInRefused("issuer", "the answer is of another provider")
        if "error" in answer:
            raise SignInRefused("provider", "the provider did not sign you in")
        code = answer.get("code", "")
        if not code:
            raise SignInRefused("provider", "the answer of the provider holds no code")
        return code

    async def _metadata(self) -> Mapping[str, Any]:
        async with self._discovering:
            now_ms = self._clock.now_ms()
            if self._found is not None and 0 <= now_ms - self._found[0] < DISCOVERY_KEPT_S * 1000:
                return self._found[1]
            if self._failed_ms is not None and 0 <= now_ms - self._failed_ms < FAILURE_KEPT_MS:
                raise ProviderUnavailable
            try:
                found = await self._discovered()
            except ProviderUnavailable:
                self._failed_ms = self._clock.now_ms()
                raise
            self._found = (now_ms, found)
            return found

    async def _discovered(self) -> Mapping[str, Any]:
        issuer = self._config.issuer
        found = await self._http.fetch(issuer.rstrip("/") + "/.well-known/openid-configuration")
        if found.get("issuer") != issuer:
            raise ProviderUnavailable("the provider says that it is another issuer than `HOLDGATE_OIDC_ISSUER`")
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            _require_endpoint(found.get(name), issuer, name)
        return found

    async def _redeem(self, metadata: Mapping[str, Any], code: str, verifier: str) -> Mapping[str, Any]:
        body = prepare_token_request(
            "authorization_code", code=code, redirect_uri=self._config.redirect_uri, code_verifier=verifier
        )
        uri, headers, sent = self._client_auth(metadata).prepare(
            "POST", metadata["token_endpoint"], {"Content-Type": "application/x-www-form-urlencoded"}, body
        )
        status, reply = await self._http.exchange("POST", uri, headers=headers, content=sent)
        if 400 <= status < 500:
            raise SignInRefused("code", "the provider does not take the code: used, too old, or not ours; begin again")
        if status != 200:
            raise ProviderUnavailable
        return reply

    def _client_auth(self, metadata: Mapping[str, Any]) -> ClientAuth:
        secret = self._config.client_secret
        if secret is None:
            return ClientAuth(self._config.client_id, None, "none")
        offered = metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        basic = "client_secret_basic" in offered or "client_secret_post" not in offered
        method = "client_secret_basic" if basic else "client_secret_post"
        return ClientAuth(self._config.client_id, secret.get_secret_value(), method)

    def _verified(self, tokens: Mapping[str, Any], keys: Mapping[str, Any], nonce: str) -> Mapping[str, Any]:
        """The claims of the id token (OpenID Connect Core 1.0, section 3.1.3.7); SignInRefused."""
        now_s = self._clock.now_ms() // 1000
        try:
            token = jwt.decode(str(tokens.get("id_token", "")), KeySet.import_key_set(_keys(keys)), list(ALGORITHMS))
            claims = CodeIDToken(
                token.claims,
                token.header,
                options={
                    "iss": {"essential": True, "value": self._config.issuer},
                    "aud": {"essential": True, "value": self._config.client_id},
                },
                params={
                    "nonce": nonce,
                    "client_id": self._config.client_id,
                    "access_token": tokens.get("access_token"),
                },
            )
            claims.validate(now_s, LEEWAY_S)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise SignInRefused("id_token", f"the id token does not hold ({type(error).__name__})") from error
        if not now_s - AGE_S_MAX - LEEWAY_S <= claims["iat"] <= now_s + LEEWAY_S:
            raise SignInRefused("id_token", "the id token was not made now")
        return dict(claims)


def _keys(found: Mapping[str, Any]) -> Any:
    """The provider's keys that can be public: a shared secret among them would verify what anybody signed."""
    listed = found.get("keys")
    if not isinstance(listed, list):
        raise ValueError("no list of keys")
    return {"keys": [key for key in listed if isinstance(key, dict) and key.get("kty") in {"RSA", "EC", "OKP"}]}


def _require_safe(url: str) -> None:
    """Misconfigured unless `url` is HTTPS, or HTTP on this machine."""
    parts = urlsplit(url)
    if not _is_safe(url) or parts.query or parts.fragment:
        raise Misconfigured("`HOLDGATE_OIDC_ISSUER` must be an https URL without query")


def _require_endpoint(url: Any, issuer: str, name: str) -> None:
    if not isinstance(url, str) or not (url.startswith("https://") or (_is_safe(url) and not _is_https(issuer))):
        raise ProviderUnavailable(f"the provider names no safe `{name}`")


def _is_https(url: str) -> bool:
    return urlsplit(url).scheme == "https"


def _is_safe(url: str) -> bool:
    parts = urlsplit(url)
    is_local = parts.scheme == "http" and parts.hostname in {"localhost", "127.0.0.1", "::1"}
    return bool(parts.hostname) and (parts.scheme == "https" or is_local)
