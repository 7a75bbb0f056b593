"""What a 202 rests on: start-up compares the servers with the declared profile and refuses when they are weaker."""

from __future__ import annotations

import asyncio
import ssl
from enum import StrEnum
from typing import Any

import httpx

from holdgate.scheduler.errors import DurabilityMismatch, LogUnavailable, StateUnavailable
from holdgate.scheduler.state.address import Endpoint, Kind
from holdgate.scheduler.state.connection import Scripts
from holdgate.scheduler.state.lanes import Wire, packed

REDIS_STRICT = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
MONITOR_TIMEOUT_S = 5.0
REPLICA_TIMEOUT_S = 1.0


class Profile(StrEnum):
    """How durable an operator wants it."""

    STRICT = "strict"
    RELAXED = "relaxed"


async def verify_durability(
    scripts: Scripts, nats_monitor_url: str | None, *, profile: Profile, tls: ssl.SSLContext | None = None
) -> list[str]:
    """What is less durable than `strict`, in words, for log and metric.

    Under STRICT: DurabilityMismatch naming every difference, but for replicas that need not confirm: that is told only.
    StateUnavailable when fewer replicas are there than must confirm. JetStream's part is checked where
    `nats_monitor_url` (such as `http://127.0.0.1:8222`) is known, at each of several servers that answers, comma
    separated: one that is down keeps nobody from starting. LogUnavailable when none answers. `tls`: whom to believe of
    `https:`; None: the authorities that this machine trusts.
    """
    found = await _redis_differences(scripts)
    replicas = await _replicas(scripts)
    found += await _differences_of(scripts, replicas)
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


async def _redis_differences(scripts: Scripts) -> list[str]:
    replies = await asyncio.gather(*(scripts.everywhere("CONFIG", "GET", name) for name in REDIS_STRICT))
    found = []
    for (name, wanted), of_each in zip(REDIS_STRICT.items(), replies, strict=True):
        values = sorted({_config_value(reply) for reply in of_each} - {wanted})
        found += [f"Redis `{name}` is `{value}`, not `{wanted}`" for value in values]
    return found


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


async def _differences_of(scripts: Scripts, replicas: list[Endpoint]) -> list[str]:
    """Those of replicas that can be asked: each may be the primary tomorrow."""
    found = set()
    for endpoint in replicas:
        wire = Wire(endpoint, scripts.address, timeout_s=REPLICA_TIMEOUT_S)
        try:
            replies = await wire.exchange(
                b"".join(packed(("CONFIG", "GET", name)) for name in REDIS_STRICT), len(REDIS_STRICT)
            )
        except StateUnavailable:
            continue  # not in our sight, as behind a translation of addresses
        finally:
            await wire.drop()
        for (name, wanted), reply in zip(REDIS_STRICT.items(), replies, strict=True):
            if not isinstance(reply, Exception) and (value := _config_value(reply)) != wanted:
                found.add(f"a replica's Redis `{name}` is `{value}`, not `{wanted}`")
    return sorted(found)


def _config_value(reply: Any) -> str:
    values = list(reply.values()) if isinstance(reply, dict) else reply[1::2]
    return bytes(values[0]).decode() if values else "unknown"


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
