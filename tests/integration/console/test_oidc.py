"""Signing in by an OpenID provider, and what somebody tries who is none of its people."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import pytest_asyncio
from cryptojwt.key_jar import build_keyjar

from holdgate.kernel.ids import SYSTEM, Tenant
from holdgate.scheduler.console.oidc import BACK
from support.provider import ALICE, CLIENT_ID, Both, running_both
from support.servers import Servers
from support.visiting import COOKIE, visitor
from support.waiting import eventually

DEFAULT = Tenant("default")
BEGUN = f"{COOKIE}-signing-in"


@pytest.fixture
async def both(nats_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Both]:
    """A running API that knows a running provider, this test's own."""
    async with running_both(nats_url, redis_url, tmp_path) as pair:
        yield pair


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Both]:
    """One for all tests that only try in vain."""
    folder = tmp_path_factory.mktemp("shared")
    async with running_both(servers.take_nats_url(), servers.take_redis_url(), folder) as pair:
        yield pair


async def begin(both: Both, next_: str = "/status") -> tuple[httpx.AsyncClient, str]:
    """A browser that was sent to the provider, and where."""
    client = visitor(both.api)
    reply = await client.get("/sign-in/oidc", params={"next": next_})
    assert reply.status_code == 303, reply.text
    return client, reply.headers["location"]


async def answered(url: str) -> dict[str, str]:
    """What the provider has the browser say here, once Alice pressed the button."""
    async with httpx.AsyncClient() as there:
        reply = await there.get(url + "&as=alice")
    assert reply.status_code == 302, reply.text
    return {name: values[0] for name, values in parse_qs(urlsplit(reply.headers["location"]).query).items()}


async def back(client: httpx.AsyncClient, answer: dict[str, str]) -> httpx.Response:
    """The provider led the browser back here: another site did, so that no strict cookie is sent."""
    return await client.get(BACK, params=answer, headers={"Sec-Fetch-Site": "cross-site"})


async def tried(both: Both) -> httpx.Response:
    """A whole sign-in."""
    client, url = await begin(both)
    return await back(client, await answered(url))


async def test_a_person_of_the_provider_signs_in_with_the_roles_that_it_says(both: Both) -> None:
    """Their mailbox is their name; the page goes on to what was wanted; the API shows their session."""
    client, url = await begin(both)
    asked = parse_qs(urlsplit(url).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["response_type"] == ["code"]
    reply = await back(client, await answered(url))
    assert reply.status_code == 200
    assert 'content="0;url=/status"' in reply.text
    assert BEGUN not in client.cookies
    page = await client.get("/sessions")
    assert "alice@example.com" in page.text
    assert "release-manager" in page.text
    (event,) = [one for one in await both.api.deps.audit.read(DEFAULT, 0) if one.type == "signin.accepted"]
    assert event.details["actor"] == "alice@example.com"
    assert event.details["kind"] == "oidc"


async def test_a_state_that_this_browser_did_not_begin_is_refused(both: Both) -> None:
    """Login CSRF: another's answer is put into this browser; and an answer in a browser that began nothing."""
    client, _ = await begin(both)
    _, other = await begin(both)
    answer = await answered(other)
    for browser in (client, visitor(both.api)):
        reply = await back(browser, answer)
        assert (reply.status_code, COOKIE in browser.cookies) == (403, False)
    assert "/token" not in both.provider.asked


async def test_a_code_counts_once(both: Both) -> None:
    """Replayed with the cookie that was deleted, it gives nothing."""
    client, url = await begin(both)
    begun = client.cookies[BEGUN]
    answer = await answered(url)
    assert (await back(client, answer)).status_code == 200
    thief = visitor(both.api)
    thief.cookies.set(BEGUN, begun)
    reply = await back(thief, answer)
    assert (reply.status_code, COOKIE in thief.cookies) == (403, False)


async def test_a_code_of_another_verifier_is_refused(both: Both) -> None:
    """A stolen code is put into a sign-in that the thief began: the challenge is another."""
    client, _ = await begin(both)
    _, victim = await begin(both)
    stolen = (await answered(victim))["code"]
    begun = both.api.deps.sessions.signing.open("signin", client.cookies[BEGUN])
    reply = await back(client, {"code": stolen, "state": begun["state"]})
    assert (reply.status_code, COOKIE in client.cookies) == (403, False)


async def test_an_answer_of_another_provider_is_refused(both: Both) -> None:
    """Mix-up (RFC 9207): `iss` is not the provider that was asked, or is left out by one that says it always."""
    both.provider.configuration = {"authorization_response_iss_parameter_supported": True}
    for iss in ("https://evil.example", None):
        client, url = await begin(both)
        answer = await answered(url)
        answer.pop("iss", None)
        reply = await back(client, answer if iss is None else {**answer, "iss": iss})
        assert (reply.status_code, COOKIE in client.cookies) == (403, False)
    assert "/token" not in both.provider.asked


ALTERED: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "nonce of another sign-in": lambda claims: {**claims, "nonce": "other"},
    "no nonce": lambda claims: {name: value for name, value in claims.items() if name != "nonce"},
    "another audience": lambda claims: {**claims, "aud": ["somebody-else"]},
    "several audiences, another party": lambda claims: {**claims, "aud": [CLIENT_ID, "other"], "azp": "other"},
    "several audiences, no party": lambda claims: {**claims, "aud": [CLIENT_ID, "other"]},
    "another party": lambda claims: {**claims, "azp": "other"},
    "another issuer": lambda claims: {**claims, "iss": "https://evil.example"},
    "expired": lambda claims: {**claims, "exp": claims["iat"] - 120},
    "made long ago": lambda claims: {**claims, "iat": claims["iat"] - 3600},
    "made in the future": lambda claims: {**claims, "iat": claims["iat"] + 3600},
    "not yet": lambda claims: {**claims, "nbf": claims["iat"] + 3600},
    "never expires": lambda claims: {name: value for name, value in claims.items() if name != "exp"},
    "no subject": lambda claims: {name: value for name, value in claims.items() if name != "sub"},
    "email not verified": lambda claims: {**claims, "email_verified": False},
    "email verified in words": lambda claims: {**claims, "email_verified": "true"},
    "no email": lambda claims: {name: value for name, value in claims.items() if name != "email"},
    "email with what is no name": lambda claims: {**claims, "email": "al ice\n@example.com"},
    "no roles": lambda claims: {**claims, "roles": []},
    "roles that are none": lambda claims: {**claims, "roles": ["Not A Role!", 7, None]},
}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("why", ALTERED)
async def test_an_id_token_that_is_not_for_this_sign_in_makes_nobody(shared: Both, why: str) -> None:
    """Signed by the provider's own key, and refused all the same."""
    shared.api.deps.attempts._by_address.clear()
    shared.provider.alter = ALTERED[why]
    client, url = await begin(shared)
    reply = await back(client, await answered(url))
    assert (reply.status_code, COOKIE in client.cookies) == (403, False), reply.text


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
async def test_an_id_token_without_a_signature_by_a_published_key_makes_nobody(both: Both, algorithm: str) -> None:
    """`none`, and a shared secret: whoever knows ours could sign with it."""
    both.provider.algorithm = algorithm
    both.provider.alter = dict
    reply = await tried(both)
    assert reply.status_code == 403


async def test_an_id_token_by_a_key_that_is_not_published_makes_nobody(both: Both) -> None:
    """Any published key will do, and no other, whatever name it goes by."""
    both.provider.algorithm = "ES256"
    assert (await tried(both)).status_code == 200
    both.provider.algorithm = "RS256"
    both.provider.stranger = build_keyjar([{"type": "RSA", "use": ["sig"]}])
    assert (await tried(both)).status_code == 403
    (key,) = both.provider.stranger.get_signing_key("RSA", "")
    (published,) = both.provider.server.context.keyjar.get_signing_key("RSA", "")
    key.kid = published.kid
    assert (await tried(both)).status_code == 403


async def test_without_the_provider_nobody_signs_in_by_it_and_a_key_still_does(both: Both) -> None:
    """503 with what to do, before and after the browser went there."""
    client, url = await begin(both)
    answer = await answered(url)
    both.provider.away = True
    reply = await back(client, answer)
    assert (reply.status_code, "provider" in reply.text) == (503, True)
    signed = await visitor(both.api).post("/sign-in", data={"key": both.api.keys["approver"]})
    assert signed.status_code == 303


@pytest.mark.parametrize("says", [{"issuer": "https://evil.example"}, {"token_endpoint": "http://evil.example/token"}])
async def test_a_provider_that_says_it_is_another_is_not_asked(both: Both, says: dict[str, str]) -> None:
    """Its document names the issuer that was configured, and endpoints that are safe."""
    both.provider.configuration = says
    assert (await visitor(both.api).get("/sign-in/oidc")).status_code == 503


async def test_a_provider_that_is_away_is_asked_once_however_many_set_out(both: Both) -> None:
    """Strangers cannot have us ask it for each of them, nor pile up here; then one asks again."""
    both.provider.away = True
    replies = await asyncio.gather(*(visitor(both.api).get("/sign-in/oidc") for _ in range(10)))
    assert {reply.status_code for reply in replies} == {503}
    assert len(both.provider.asked) == 1
    both.provider.away = False

    async def is_asked_again() -> bool:
        return (await visitor(both.api).get("/sign-in/oidc")).status_code == 303

    await eventually(is_asked_again, 10, why="the provider is asked again")
    assert len(both.provider.asked) == 2


async def test_where_somebody_is_sent_afterwards_is_here(both: Both) -> None:
    """Whatever `next` says."""
    for next_ in ("https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", '/"><script>'):
        client, url = await begin(both, next_)
        reply = await back(client, await answered(url))
        assert reply.status_code == 200
        assert "evil" not in reply.text
        assert "<script>" not in reply.text.replace("<script src", "")


async def test_roles_may_be_mapped_and_found_deeper_and_the_tenant_may_be_a_claim(
    nats_url: str, redis_url: str, tmp_path: Path
) -> None:
    """With a map no other name counts; the tenant must be a name, and never that of the system's own trail."""
    roles = tmp_path / "roles.json"
    roles.write_text('{"Holdgate Approvers": ["approver", "security"]}')
    settings = {
        "oidc_tenant": "",
        "oidc_tenant_claim": "tenant",
        "oidc_roles_claim": "realm_access.roles",
        "oidc_roles_file": roles,
        "oidc_actor_claim": "preferred_username",
    }
    async with running_both(nats_url, redis_url, tmp_path, **settings) as both:
        person = {**ALICE, "preferred_username": "alice", "tenant": "acme"}
        both.provider.people["alice"] = {**person, "realm_access": {"roles": ["Holdgate Approvers", "admin"]}}
        client, url = await begin(both)
        assert (await back(client, await answered(url))).status_code == 200
        page = (await client.get("/sessions")).text
        assert "acme" in page
        assert "<code>security</code>" in page
        assert "<code>admin</code>" not in page
        for tenant in (SYSTEM, "", "Not A Tenant", None, ["acme"]):
            both.provider.alter = lambda claims, tenant=tenant: {**claims, "tenant": tenant}
            assert (await tried(both)).status_code == 403


async def test_refused_sign_ins_are_counted_audited_and_limited(both: Both) -> None:
    """Eleven from one address at once are one too many; the trail gets one event, with no name in it."""
    client, _ = await begin(both)
    replies = [await back(client, {"state": "x", "code": "y"}) for _ in range(11)]
    assert [reply.status_code for reply in replies] == [403] * 10 + [429]
    assert int(replies[-1].headers["retry-after"]) >= 1
    events = [one for one in await both.api.deps.audit.read(SYSTEM, 0) if one.type == "signin.refused"]
    assert [(one.details["kind"], one.details["reason"]) for one in events] == [("oidc", "state")]
    assert "127.0.0.1" not in str(events)


async def test_nobodys_failures_keep_others_at_the_same_address_from_signing_in(both: Both) -> None:
    """Behind a proxy everybody is one client: a stranger there fails as often as they like."""
    stranger = visitor(both.api)
    wrong = [await stranger.get("/api/v1/status", headers={"X-API-Key": "hgk_wrong"}) for _ in range(12)]
    assert wrong[-1].status_code == 429
    assert (await back(stranger, {"state": "x", "code": "y"})).status_code == 429
    assert (await tried(both)).status_code == 200
    signed = await visitor(both.api).post("/sign-in", data={"key": both.api.keys["approver"]})
    assert signed.status_code == 303
