"""What a request must be to change something, what every page is sent with, and where API and console part."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdgate.scheduler.console.security import CSP
from support.api import ApiWorld, running_api
from support.visiting import COOKIE, act, signed_in, token_of, visitor

FOREIGN = {
    "another origin": {"Origin": "https://evil.example"},
    "no origin that can be named": {"Origin": "null"},
    "the same host on another port": {"Origin": "http://127.0.0.1:1"},
    "a host that begins alike": {"Origin": "http://127.0.0.1.evil.example"},
    "another site, as the browser says": {"Sec-Fetch-Site": "cross-site"},
    "a sister site, as the browser says": {"Sec-Fetch-Site": "same-site"},
    "an address typed in": {"Sec-Fetch-Site": "none"},
}


@pytest.mark.parametrize("why", FOREIGN)
async def test_a_request_from_elsewhere_changes_nothing_even_with_the_token(api: ApiWorld, why: str) -> None:
    """Neither signs out nor in: the browser's own headers decide before the form is read."""
    client = await signed_in(api, "approver")
    form = {"csrf": await token_of(client)}
    reply = await client.post("/sign-out", data=form, headers=FOREIGN[why])
    assert (reply.status_code, "not_from_here" in reply.text) == (403, True)
    other = visitor(api)
    reply = await other.post("/sign-in", data={"key": api.keys["approver"]}, headers=FOREIGN[why])
    assert (reply.status_code, COOKIE in other.cookies) == (403, False)
    assert (await client.get("/status")).status_code == 200


async def test_a_request_that_says_nothing_of_where_it_is_from_is_refused(api: ApiWorld) -> None:
    """Browsers say it with every POST."""
    client = await signed_in(api, "approver")
    form = {"csrf": await token_of(client)}
    del client.headers["origin"]
    assert (await client.post("/sign-out", data=form)).status_code == 403
    assert (await client.post("/sign-out", data=form, headers={"Sec-Fetch-Site": "same-origin"})).status_code == 303


async def test_the_token_is_that_of_the_session_in_the_form_or_in_the_header(api: ApiWorld) -> None:
    """None, an empty one, another person's and another session's of the same person are refused."""
    client, same, other = [await signed_in(api, who) for who in ("approver", "approver", "operator")]
    for token in ("", "0" * 32, "é", await token_of(same), await token_of(other)):
        reply = await client.post("/sign-out", data={"csrf": token})
        assert (reply.status_code, "form_expired" in reply.text) == (403, True), token
    assert (await client.post("/sign-out")).status_code == 403
    header = {"X-CSRF-Token": await token_of(client)}
    assert (await client.post("/sign-out", headers=header)).status_code == 303


async def test_every_page_says_what_it_may_load_and_who_may_frame_it(api: ApiWorld) -> None:
    """Signed in or not, found or not, and when something went wrong."""
    client = await signed_in(api, "approver")
    for browser, path in ((visitor(api), "/sign-in"), (client, "/status"), (client, "/nowhere"), (visitor(api), "/x")):
        headers = (await browser.get(path)).headers
        assert headers["content-security-policy"] == CSP
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "same-origin"
        assert "strict-transport-security" not in headers  # this one is known by plain HTTP
    assert "unsafe" not in CSP
    assert "http" not in CSP


async def test_where_people_come_by_https_browsers_are_told_to_stay_with_it(
    nats_url: str, redis_url: str, tmp_path: Path
) -> None:
    """Pages, files and the API alike."""
    known = {"public_url": "https://holdgate.example"}
    async with running_api(nats_url, redis_url, tmp_path / "home", known) as secure:
        for path in ("/sign-in", "/healthz", "/api/v1/status", "/nowhere"):
            headers = (await visitor(secure).get(path)).headers
            assert headers["strict-transport-security"] == "max-age=31536000", path


@pytest.mark.parametrize(("trusted", "addresses"), [("", 1), ("192.0.2.0/24", 1), ("127.0.0.1", 2), ("127.0.0.0/8", 2)])
async def test_only_a_proxy_that_is_trusted_says_who_the_client_is(
    nats_url: str, redis_url: str, tmp_path: Path, trusted: str, addresses: int
) -> None:
    """Failures count against the last address that it did not write itself; what stands before that is anybody's."""
    async with running_api(nats_url, redis_url, tmp_path / "home", {"trusted_proxies": trusted}) as world:
        for said in ("198.51.100.7", "198.51.100.8", "203.0.113.1, 198.51.100.8"):
            wrong = {"X-API-Key": "hgk_wrong", "X-Forwarded-For": said}
            assert (await visitor(world).get("/api/v1/status", headers=wrong)).status_code == 401
        assert len(world.deps.attempts._by_address) == addresses


@pytest.mark.parametrize(
    "next_", ["https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil", "javascript:alert(1)", "/a\r\nb"]
)
async def test_signing_in_leads_nowhere_else(api: ApiWorld, next_: str) -> None:
    """Nor does the choice of colours."""
    reply = await visitor(api).post("/sign-in", data={"key": api.keys["approver"], "next": next_})
    assert (reply.status_code, reply.headers["location"]) == (303, "/")
    client = await signed_in(api, "approver")
    assert (await act(client, "/theme", theme="dark", back=next_)).headers["location"] == "/"


async def test_the_cookie_is_secure_unless_all_of_it_is_on_this_machine(api: ApiWorld) -> None:
    """By a name of another host, as behind a proxy, it is bound to the host and to TLS."""
    reply = await visitor(api).post("/sign-in", data={"key": api.keys["approver"]})
    assert reply.headers["set-cookie"].startswith("holdgate=")
    host = {"Host": "holdgate.example.com", "Origin": "https://holdgate.example.com"}
    reply = await visitor(api).post("/sign-in", data={"key": api.keys["approver"]}, headers=host)
    cookie = reply.headers["set-cookie"]
    assert cookie.startswith("__Host-holdgate=")
    assert all(part in cookie for part in ("Secure", "HttpOnly", "SameSite=strict", "Path=/"))
    assert "Domain" not in cookie
    token = cookie.partition("=")[2].partition(";")[0]
    plain = await visitor(api).get("/status", headers={**host, "Cookie": f"holdgate={token}"})
    assert plain.status_code == 303  # a cookie that anybody on the way could have set is not looked at
    bound = await visitor(api).get("/status", headers={**host, "Cookie": f"__Host-holdgate={token}"})
    assert bound.status_code == 200


async def test_a_notice_is_shown_once_and_only_if_it_is_ours(api: ApiWorld) -> None:
    """Words that somebody else put into the cookie are not shown; ours are shown as text."""
    client, other = await signed_in(api, "approver"), await signed_in(api, "approver")
    items = (await api.client("approver").get("/api/v1/sessions")).json()["items"]
    await act(client, f"/sessions/{items[0]['session_id']}/end")
    assert "The session was ended." in (await client.get("/sessions")).text
    assert "The session was ended." not in (await client.get("/sessions")).text
    client.cookies.set(f"{COOKIE}-notice", "WW91IHdvbg==.0000000000000000000000000000000f")
    assert "You won" not in (await client.get("/sessions")).text
    assert (await other.get("/status")).status_code == 303


async def test_programs_are_answered_as_programs_and_people_as_people(api: ApiWorld) -> None:
    """Under `/api` and at the health checks nothing is a page; elsewhere nothing is a problem document."""
    anybody = visitor(api)
    for path in ("/api/v1/nothing", "/api/", "/api"):
        reply = await anybody.get(path)
        assert reply.status_code in {401, 404}
        assert reply.headers["content-type"] == "application/problem+json"
    for path in ("/healthz", "/readyz", "/openapi.json"):
        assert (await anybody.get(path)).headers["content-type"] == "application/json"
    client = await signed_in(api, "approver")
    lost = await client.get("/nothing")
    assert (lost.status_code, lost.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert (await client.post("/status", data={"csrf": await token_of(client)})).status_code == 405
    assert (await anybody.get("/")).headers["location"] == "/sign-in"
    assert (await client.get("/")).status_code == 303


async def test_a_form_that_is_none_is_refused(api: ApiWorld) -> None:
    """Too long, too many fields, another type, not UTF-8."""
    client = await signed_in(api, "approver")
    header = {"X-CSRF-Token": await token_of(client)}
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await client.post("/theme", content=b"a" * 1_100_000, headers={**header, **kind})).status_code == 413
    assert (await client.post("/theme", content=b"a=1&" * 1100, headers={**header, **kind})).status_code == 400
    assert (await client.post("/theme", content=b"a=\xff\xfe", headers={**header, **kind})).status_code == 400
    assert (await client.post("/theme", json={"a": 1}, headers=header)).status_code == 415


async def test_untrusted_words_in_an_address_are_shown_as_text(api: ApiWorld) -> None:
    """In the sign-in page and in pages of errors."""
    attack = '/"><script>alert(1)</script>'
    page = await visitor(api).get("/sign-in", params={"next": attack})
    assert "<script>alert" not in page.text
    client = await signed_in(api, "approver")
    assert "<script>alert" not in (await client.get("/x%3Cscript%3Ealert(1)%3C/script%3E")).text
