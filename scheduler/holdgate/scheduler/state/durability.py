"""What a 202 rests on: start-up compares the servers with the declared profile and refuses when they are weaker.

What always holds: a process looks with `INFO`, which tells no secret; `CONFIG GET` tells the passwords of replicas, so
that only `holdgate setup` looks with it. What a process cannot see, it says so: `UNSEEN`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import httpx

from holdgate.scheduler.errors import DurabilityMismatch, LogUnavailable, StateBroken, StateUnavailable
from holdgate.scheduler.state.address import Endpoint, Kind
from holdgate.scheduler.state.connection import Scripts
from holdgate.scheduler.state.lanes import Call, Wire, packed

REDIS_STRICT = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
UNSEEN = ("appendfsync",)
"""What `INFO` does not tell."""
UNKNOWN = "unknown"
MONITOR_TIMEOUT_S = 5.0
REPLICA_TIMEOUT_S = 1.0


class Profile(StrEnum):
    """How durable an operator wants it."""

    STRICT = "strict"
    RELAXED = "relaxed"


@dataclass(frozen=True, slots=True)
class Look:
    """How to see what a Redis does: `calls`, and the settings by name that are in their replies, None while it reads
    its data."""

    calls: tuple[Call, ...]
    settings: Callable[[Sequence[Any]], Mapping[str, str] | None]


def _shown(replies: Sequence[Any]) -> Mapping[str, str] | None:
    lines = [line for reply in replies for line in bytes(reply).decode("utf-8", "replace").splitlines()]
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    if facts.get("loading") == "1":
        return None
    appends = {"1": "yes", "0": "no"}.get(facts.get("aof_enabled", ""), UNKNOWN)
    return {"appendonly": appends, "maxmemory-policy": facts.get("maxmemory_policy", UNKNOWN)}


def _configured(replies: Sequence[Any]) -> Mapping[str, str] | None:
    return {name: _config_value(reply) for name, reply in zip(REDIS_STRICT, replies, strict=True)}


BY_INFO = Look((("INFO", "persistence"), ("INFO", "memory")), _shown)
"""As processes do."""
BY_CONFIG = Look(tuple(("CONFIG", "GET", name) for name in REDIS_STRICT), _configured)
"""As `holdgate setup` does."""


async def verify_durability(
    scripts: Scripts,
    nats_monitor_url: str | None,
    *,
    profile: Profile,
    tls: ssl.SSLContext | None = None,
    look: Look = BY_INFO,
) -> list[str]:
    """What is less durable than `strict`, in words, for log and metric.

    Under STRICT: DurabilityMismatch naming every difference, but for replicas that need not confirm: that is told only.
    StateUnavailable when fewer replicas are there than must confirm. JetStream's part is checked where
    `nats_monitor_url` (such as `http://127.0.0.1:8222`) is known, at each of several servers that answers, comma
    separated: one that is down keeps nobody from starting. LogUnavailable when none answers. `tls`: whom to believe of
    `https:`; None: the authorities that this machine trusts.
    """
    found = await _redis_differences(scripts, look)
    replicas = await _replicas(scripts)
    found += await _differences_of(scripts, replicas, look)
    if nats_monitor_url is not None:
        found += await _any_nats_differences(nats_monitor_url.split(","), tls)
    if found and profile is Profile.STRICT:
        raise DurabilityMismatch(
            f"not as durable as `strict`: {'; '.join(found)}; change the servers, or declare `relaxed`"
        )
    address = scripts.address
    if address.replicas == 0 and (replicas or address.kind is Kind.SENTINEL):
        found.append(
            "a failover of Redis may lose the last changes: none must be confirmed (`HOLDGATE_REDIS_REPLICAS`)"
        )
    return found


async def _redis_differences(scripts: Scripts, look: Look) -> list[str]:
    try:
        replies = await asyncio.gather(*(scripts.everywhere(*call) for call in look.calls))
    except StateBroken as error:
        return [f"Redis does not show how it is set: {error}"]
    found: set[str] = set()
    for of_one in zip(*replies, strict=True):
        settings = look.settings(of_one)
        if settings is None:
            raise StateUnavailable("the state store reads its data")
        found |= {f"Redis {difference}" for difference in _differences(settings)}
    return sorted(found)


def _differences(settings: Mapping[str, str]) -> list[str]:
    return [
        f"`{name}` is `{value}`, not `{REDIS_STRICT[name]}`"
        for name, value in settings.items()
        if value != REDIS_STRICT[name]
    ]


async def _replicas(scripts: Scripts) -> list[Endpoint]:
    """Of all primaries; StateUnavailable when one has fewer than must confirm: it may have them soon."""
    found = []
    for _, _, replicas, *_ in await scripts.everywhere("ROLE"):
        if len(replicas) < scripts.address.replicas:
            raise StateUnavailable(
                f"{scripts.address.replicas} replicas of the state store must confirm a change; it has {len(replicas)}"
            )
        found += [Endpoint(bytes(host).decode(), int(port)) for host, port, *_ in replicas]
    return found


async def _differences_of(scripts: Scripts, replicas: list[Endpoint], look: Look) -> list[str]:
    """Those of replicas that can be asked: each may be the primary tomorrow."""
    found = set()
    for endpoint in replicas:
        wire = Wire(endpoint, scripts.address, timeout_s=REPLICA_TIMEOUT_S)
        try:
            replies = await wire.exchange(b"".join(map(packed, look.calls)), len(look.calls))
        except StateUnavailable:
            continue  # not in our sight, as behind a translation of addresses
        finally:
            await wire.drop()
        if any(isinstance(reply, Exception) for reply in replies):
            found.add("a replica's Redis does not show how it is set")
        elif (settings := look.settings(replies)) is not None:
            found |= {f"a replica's Redis {difference}" for difference in _differences(settings)}
    return sorted(found)


def _config_value(reply: Any) -> str:
    values = list(reply.values()) if isinstance(reply, dict) else reply[1::2]
    return bytes(values[0]).decode() if values else UNKNOWN


async def _any_nats_differences(monitor_urls: list[str], tls: ssl.SSLContext | None) -> list[str]:
    asked = [_nats_differences(url.strip(), tls) for url in monitor_urls]
    replies = await asyncio.gather(*asked, return_exceptions=True)
    told: list[str] = []
    away: list[LogUnavailable] = []
    for reply in replies:
        if isinstance(reply, LogUnavailable):
            away.append(reply)
        elif isinstance(reply, BaseException):
            raise reply
        else:
            told += [difference for difference in reply if difference not in told]
    if len(away) == len(replies):
        raise away[0]
    return told


async def _nats_differences(monitor_url: str, tls: ssl.SSLContext | None) -> list[str]:
    verify = tls or _tls(monitor_url)
    try:
        async with httpx.AsyncClient(timeout=MONITOR_TIMEOUT_S, trust_env=False, verify=verify) as client:
            reply = await client.get(f"{monitor_url.rstrip('/')}/jsz")
            config = reply.raise_for_status().json().get("config") or {}
    except (httpx.HTTPError, ValueError) as error:
        raise LogUnavailable(f"the monitoring of NATS did not answer: {type(error).__name__}") from error
    if config.get("sync_always") is True:
        return []
    return ["JetStream does not sync on every write (`sync_interval: always`)"]


def _tls(url: str) -> ssl.SSLContext:
    """For `url`: the world's authorities, megabytes in each process, only where `https:` asks for them."""
    https = url.startswith("https:")
    return httpx.create_ssl_context(trust_env=False) if https else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
