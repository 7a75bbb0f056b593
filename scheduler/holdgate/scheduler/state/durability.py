"""What a 202 rests on: start-up compares the servers with the declared profile and refuses when they are weaker."""

from __future__ import annotations

import asyncio
import ssl
from enum import StrEnum
from typing import Any

import httpx

from holdgate.scheduler.errors import DurabilityMismatch, LogUnavailable
from holdgate.scheduler.state.connection import Scripts

REDIS_STRICT = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
MONITOR_TIMEOUT_S = 5.0


class Profile(StrEnum):
    """How durable an operator wants it."""

    STRICT = "strict"
    RELAXED = "relaxed"


async def verify_durability(scripts: Scripts, nats_monitor_url: str | None, *, profile: Profile) -> list[str]:
    """What is less durable than `strict`, in words, for log and metric.

    Under STRICT: DurabilityMismatch naming every difference. JetStream's part is checked where `nats_monitor_url`
    (such as `http://127.0.0.1:8222`) is known, at each of several servers that answers, comma separated: one that is
    down keeps nobody from starting. LogUnavailable when none answers.
    """
    found = await _redis_differences(scripts)
    if nats_monitor_url is not None:
        found += await _any_nats_differences(nats_monitor_url.split(","))
    if found and profile is Profile.STRICT:
        raise DurabilityMismatch(
            f"not as durable as `strict`: {'; '.join(found)}; change the servers, or declare `relaxed`"
        )
    return found


async def _redis_differences(scripts: Scripts) -> list[str]:
    replies = await asyncio.gather(*(scripts.command("CONFIG", "GET", name) for name in REDIS_STRICT))
    found = []
    for (name, wanted), reply in zip(REDIS_STRICT.items(), replies, strict=True):
        value = _config_value(reply)
        if value != wanted:
            found.append(f"Redis `{name}` is `{value}`, not `{wanted}`")
    return found


def _config_value(reply: Any) -> str:
    values = list(reply.values()) if isinstance(reply, dict) else reply[1::2]
    return bytes(values[0]).decode() if values else "unknown"


async def _any_nats_differences(monitor_urls: list[str]) -> list[str]:
    asked = [_nats_differences(url.strip()) for url in monitor_urls]
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


async def _nats_differences(monitor_url: str) -> list[str]:
    try:
        async with httpx.AsyncClient(timeout=MONITOR_TIMEOUT_S, trust_env=False, verify=_tls(monitor_url)) as client:
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
