"""Sessions: signed, revocable, ended by time; what somebody tries who has none, an old one, or one of their making."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace

import pytest

from holdgate.kernel.canonical import canonical_bytes, parse_json
from holdgate.kernel.ids import Tenant
from holdgate.kernel.permits import Signer
from holdgate.scheduler.console import eventstream
from holdgate.scheduler.identity.keys import read_keys, revoke_key
from holdgate.scheduler.identity.principals import RELOAD_EVERY_MS, Principal
from holdgate.scheduler.identity.sessions import LIFETIME_S, SessionEnded, SessionKind
from holdgate.scheduler.state.connection import key
from holdgate.scheduler.state.sessions import IDLE_S, PER_PERSON_MAX
from support.api import ApiWorld
from support.visiting import COOKIE, act, signed_in, visitor
from support.waiting import eventually

DEFAULT = Tenant("default")


class Turned:
    """A clock that a test turns ahead of the machine's."""

    def __init__(self, start_ms: int) -> None:
        self.now = start_ms

    def now_ms(self) -> int:
        return self.now


async def listed(api: ApiWorld, who: str, query: str = "") -> list[dict[str, str]]:
    """Sessions as the API shows them to `who`."""
    reply = await api.client(who).get(f"/api/v1/sessions{query}")
    assert reply.status_code == 200, reply.text
    items: list[dict[str, str]] = reply.json()["items"]
    return items


async def test_a_key_is_exchanged_for_a_session_that_the_owner_sees_and_can_end(api: ApiWorld) -> None:
    """Signed in, listed, ended by the API: the browser is sent to the sign-in page."""
    client = await signed_in(api, "approver")
    assert (await client.get("/status")).status_code == 200
    (item,) = await listed(api, "approver")
    assert (item["actor"], item["kind"]) == ("approver", "key")
    assert (await api.client("approver").delete(f"/api/v1/sessions/{item['session_id']}")).status_code == 200
    gone = await client.get("/status")
    assert (gone.status_code, gone.headers["location"]) == (303, "/sign-in?next=/status")
    assert await listed(api, "approver") == []


async def test_sessions_of_others_are_shown_and_ended_by_an_admin_only(api: ApiWorld) -> None:
    """In the tenant; another tenant's do not exist."""
    await signed_in(api, "approver")
    (item,) = await listed(api, "approver")
    path = f"/api/v1/sessions/{item['session_id']}"
    assert await listed(api, "operator") == []
    assert (await api.client("operator").get("/api/v1/sessions?all=true")).status_code == 403
    assert (await api.client("operator").delete(path)).json()["code"] == "session_not_found"
    assert (await api.client("stranger").delete(path)).json()["code"] == "session_not_found"
    assert [one["actor"] for one in await listed(api, "admin", "?all=true")] == ["approver"]
    assert (await api.client("admin").delete(path)).status_code == 200


async def test_signing_out_ends_the_session_and_not_only_the_cookie(api: ApiWorld) -> None:
    """A copy of the cookie is worth nothing afterwards."""
    client = await signed_in(api, "approver")
    stolen = client.cookies[COOKIE]
    assert (await act(client, "/sign-out")).headers["location"] == "/sign-in"
    thief = visitor(api)
    thief.cookies.set(COOKIE, stolen)
    assert (await thief.get("/status")).status_code == 303


async def test_a_revoked_key_ends_its_sessions(api: ApiWorld) -> None:
    """Within the second in which the file of keys is read again."""
    client = await signed_in(api, "approver")
    path = api.settings.api_keys_file
    (record,) = [one for one in read_keys(path) if one.actor == "approver"]
    revoke_key(path, record.key_id)

    async def is_out() -> bool:
        return (await client.get("/status")).status_code == 303

    await eventually(is_out, RELOAD_EVERY_MS / 1000 + 5, why="signed out")


async def test_the_api_never_accepts_the_cookie(api: ApiWorld) -> None:
    """A page of another site that calls the API from a browser is nobody."""
    client = await signed_in(api, "admin")
    assert (await client.get("/api/v1/status")).status_code == 401


@pytest.mark.parametrize("over_s", [IDLE_S, LIFETIME_S], ids=["idle", "age"])
async def test_a_session_ends_when_nobody_uses_it_and_at_its_age(api: ApiWorld, over_s: int) -> None:
    """Used or not, it does not outlive its age; unused, it ends sooner."""
    clock = Turned(api.deps.clock.now_ms())
    sessions = api.deps.sessions
    sessions._clock = clock
    principal = api.deps.keys.principal_of(api.keys["approver"].encode())
    assert principal is not None
    token, _ = await sessions.open(principal, SessionKind.KEY)
    start_ms, step_ms = clock.now, (IDLE_S - 60) * 1000
    if over_s == LIFETIME_S:
        while clock.now + step_ms < start_ms + over_s * 1000:
            clock.now += step_ms
            await sessions.visitor(token)
    clock.now = start_ms + over_s * 1000 - 1
    await sessions.visitor(token) if over_s == LIFETIME_S else None
    clock.now = start_ms + over_s * 1000
    with pytest.raises(SessionEnded):
        await sessions.visitor(token)


async def test_who_writes_to_redis_cannot_make_a_session_last(api: ApiWorld) -> None:
    """Its age stands in the token."""
    clock = Turned(api.deps.clock.now_ms())
    sessions = api.deps.sessions
    sessions._clock = clock
    principal = api.deps.keys.principal_of(api.keys["approver"].encode())
    assert principal is not None
    token, session = await sessions.open(principal, SessionKind.KEY)
    clock.now += LIFETIME_S * 1000
    name = key(DEFAULT, "session", session.sid)
    await api.scripts.command("HSET", name, "seen", clock.now, "expires", clock.now + 10**9)
    await api.scripts.command("PERSIST", name)
    with pytest.raises(SessionEnded):
        await sessions.visitor(token)


async def test_a_token_signed_by_another_key_or_for_another_purpose_is_nobody(api: ApiWorld) -> None:
    """Also one that was altered, and one of a shape that is none."""
    client = await signed_in(api, "approver")
    token = client.cookies[COOKIE]
    body, name, signature = token.split(".")
    raw = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
    content = parse_json(raw)
    assert isinstance(content, dict)
    altered = canonical_bytes({**content, "actor": "admin", "roles": ["admin"], "kind": "oidc"})
    other = Signer.from_seed(b"m" * 32)
    signer = api.deps.sessions.signing.signer
    forged = {
        "altered": f"{text(altered)}.{name}.{signature}",
        "another key": made(other.sign("session", altered)),
        "another purpose": made(signer.sign("vote", altered)),
        "another key under our name": f"{text(altered)}.{name}.{text(other.sign('session', altered).signature)}",
        "empty": "..",
        "long": token + "A" * 8000,
        "not base64": f"!!.{name}.!!",
        "another shape": made(signer.sign("session", canonical_bytes({"actor": "admin"}))),
    }
    for why, value in forged.items():
        thief = visitor(api)
        reply = await thief.get("/status", headers={"Cookie": f"{COOKIE}={value}"})
        assert reply.status_code == 303, why
    assert (await client.get("/status")).status_code == 200


def text(raw: bytes) -> str:
    """As in a token."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def made(signed: object) -> str:
    """A token of a signed body."""
    return f"{text(signed.body)}.{signed.key}.{text(signed.signature)}"  # type: ignore[attr-defined]


async def test_who_writes_to_redis_cannot_sign_in(api: ApiWorld) -> None:
    """A record of a session alone is nobody; another person's name on a live one gives nothing but its end."""
    client = await signed_in(api, "approver")
    (item,) = await listed(api, "approver")
    await api.scripts.command("HSET", key(DEFAULT, "session", item["session_id"]), "actor", "admin", "shown", b"\x80")
    assert "approver" in (await client.get("/sessions")).text
    assert (await client.get("/audit")).status_code in {403, 404}


async def test_a_token_of_a_key_that_is_now_somebody_elses_is_nobody(api: ApiWorld) -> None:
    """The key's record must still name the same person in the same tenant."""
    sessions = api.deps.sessions
    principal = api.deps.keys.principal_of(api.keys["approver"].encode())
    assert principal is not None
    moved = replace(principal, actor="admin")
    token, _ = await sessions.open(moved, SessionKind.KEY)
    with pytest.raises(SessionEnded):
        await sessions.visitor(token)


async def test_without_redis_nobody_is_signed_in_and_the_page_says_so(api: ApiWorld) -> None:
    """Fail closed: neither an old session nor a new one."""
    client = await signed_in(api, "approver")
    await api.scripts.command("CONFIG", "SET", "maxmemory", "1")
    try:
        reply = await visitor(api).post("/sign-in", data={"key": api.keys["approver"]})
    finally:
        await api.scripts.command("CONFIG", "SET", "maxmemory", "0")
    assert (reply.status_code, "state store" in reply.text) == (503, True)
    await api.scripts.close()
    broken = await client.get("/status")
    assert (broken.status_code, "state_unavailable" in broken.text) == (503, True)
    assert "approver" not in broken.text


async def test_nobody_has_more_sessions_than_can_be_overseen(api: ApiWorld) -> None:
    """The oldest ends when one too many begins, and the audit trail says so."""
    first = await signed_in(api, "approver")
    (oldest,) = await listed(api, "approver")
    for _ in range(PER_PERSON_MAX):
        await signed_in(api, "approver")
    assert (await first.get("/status")).status_code == 303
    assert len(await listed(api, "approver")) == PER_PERSON_MAX
    (ended,) = [event.details for event in await api.deps.audit.read(DEFAULT, 0) if event.type == "session.ended"]
    newest = max(item["session_id"] for item in await listed(api, "approver"))
    assert ended == {"actor": "approver", "session": oldest["session_id"], "replaced_by": newest}


async def test_signing_in_and_ending_a_session_are_in_the_audit_trail(api: ApiWorld) -> None:
    """With the person and the session; never the token, the key or the form's token."""
    client = await signed_in(api, "approver")
    (item,) = await listed(api, "approver")
    await api.client("admin").delete(f"/api/v1/sessions/{item['session_id']}")
    events = {event.type: event.details for event in await api.deps.audit.read(DEFAULT, 0)}
    assert events["signin.accepted"]["actor"] == "approver"
    assert events["session.revoked"] == {"actor": "admin", "session": item["session_id"]}
    told = str(events)
    assert client.cookies[COOKIE] not in told
    assert api.keys["approver"] not in told


async def test_a_page_that_only_looks_does_not_keep_its_session_alive(api: ApiWorld) -> None:
    """Events and pieces that a page fetches by itself are not use; what a person opens or sends is."""
    client = await signed_in(api, "approver")
    (before,) = await listed(api, "approver")
    sessions = api.deps.sessions
    sessions._clock = Turned(api.deps.clock.now_ms() + 120_000)
    await client.get("/status", headers={"HX-Request": "true"})
    assert (await listed(api, "approver"))[0]["seen_at"] == before["seen_at"]
    await client.get("/status")
    assert (await listed(api, "approver"))[0]["seen_at"] > before["seen_at"]


async def test_events_end_with_the_session(api: ApiWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is signed out sees nothing more of what is live."""
    monkeypatch.setattr(eventstream, "LOOK_EVERY_S", 0.0)
    client = await signed_in(api, "approver")
    events = client.stream("GET", "/approvals/events", headers={"Accept": "text/event-stream"})
    async with asyncio.timeout(30), events as reply:
        assert reply.status_code == 200
        assert reply.headers["content-type"].startswith("text/event-stream")
        (item,) = await listed(api, "approver")
        await api.client("approver").delete(f"/api/v1/sessions/{item['session_id']}")
        held = await api.submit(topic="job.deploy.site", labels={"env": "prod"}, capability="infra.write")
        assert held.json()["state"] == "held"
        seen = [line async for line in reply.aiter_lines()]  # ends by itself
    assert held.json()["job_id"] not in "".join(seen)
    again = await client.get("/approvals/events", headers={"Accept": "text/event-stream"})
    assert (again.status_code, again.content) == (401, b"")  # no page, which is no stream


async def test_events_end_with_the_rights_that_they_were_asked_for_with(
    api: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A role that somebody lost is lost for what is open, too; the browser asks again, and is told by the new ones."""
    monkeypatch.setattr(eventstream, "LOOK_EVERY_S", 0.0)
    client = await signed_in(api, "approver")
    events = client.stream("GET", "/approvals/events", headers={"Accept": "text/event-stream"})
    async with asyncio.timeout(30), events as reply:
        of_key = api.deps.keys.principal_by_id

        def less(key_id: str) -> Principal | None:
            found = of_key(key_id)
            return None if found is None else replace(found, roles=frozenset({"agent"}))

        monkeypatch.setattr(api.deps.keys, "principal_by_id", less)
        held = await api.submit(topic="job.deploy.site", labels={"env": "prod"}, capability="infra.write")
        seen = [line async for line in reply.aiter_lines()]  # ends by itself
    assert held.json()["job_id"] not in "".join(seen)


async def test_who_tried_too_many_keys_keeps_the_form_and_is_let_in_by_one_that_holds(api: ApiWorld) -> None:
    """With how long to wait; where they wanted to go is not lost."""
    client = visitor(api)
    for _ in range(11):
        reply = await client.post("/sign-in", data={"key": "hgk_wrong", "next": "/sessions"})
    assert (reply.status_code, int(reply.headers["retry-after"]) >= 1) == (429, True)
    assert 'name="key"' in reply.text
    assert 'value="/sessions"' in reply.text
    assert "Too many keys" in reply.text
    reply = await client.post("/sign-in", data={"key": api.keys["approver"], "next": "/sessions"})
    assert (reply.status_code, reply.headers["location"]) == (303, "/sessions")
