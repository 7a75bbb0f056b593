"""Whether a cluster works, as somebody finds out who uses it: a job through every API, in a tenant of its own."""

from __future__ import annotations

import asyncio
import time

import httpx

from holdgate.scheduler.identity.keys import issue_key
from holdgate.scheduler.torture.cluster import Cluster
from holdgate.scheduler.torture.faults.policies import publish_next

TENANT = "probe"
"""Nobody's but the probe's: what it submits is no part of the evidence."""
TOPIC = "job.torture.read.probe"
CALL_TIMEOUT_S = 8.0
PAUSE_S = 0.1


class Probe:
    """Made with `open_probe`."""

    def __init__(self, cluster: Cluster, key: str) -> None:
        self._urls = dict(zip(cluster.layout.named("api"), cluster.api_urls, strict=True))
        self.said = ""
        """Why the last job did not go through."""
        self._http = httpx.AsyncClient(headers={"X-API-Key": key}, timeout=CALL_TIMEOUT_S, trust_env=False)

    async def recovered_s(self, timeout_s: float, *, without: str = "") -> float | None:
        """How long it takes until a job went through every API, each from submit to its end; None: longer than that.

        `without`: an API that is away.
        """
        started_s = time.monotonic()
        try:
            async with asyncio.timeout(timeout_s):
                for name, url in self._urls.items():
                    if name != without:
                        await self._through(url)
        except TimeoutError:
            return None
        return time.monotonic() - started_s

    async def _through(self, url: str) -> None:
        while not await self._goes_through(url):  # noqa: ASYNC110  what is waited for tells nobody
            await asyncio.sleep(PAUSE_S)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()

    async def _goes_through(self, url: str) -> bool:
        try:
            reply = await self._http.post(f"{url}/api/v1/jobs", json={"topic": TOPIC, "payload": {}})
            if reply.status_code != httpx.codes.ACCEPTED:
                self.said = f"submit: {reply.status_code} {reply.json().get('code')}: {reply.json().get('detail')}"
                return False
            job_id = reply.json()["job_id"]
            reply = await self._http.get(f"{url}/api/v1/jobs/{job_id}", params={"wait": "3s"})
            job = reply.json()
        except (httpx.HTTPError, ValueError, KeyError) as error:
            self.said = f"{url}: {type(error).__name__}"
            return False
        self.said = f"{job_id} is {job.get('state')} {job.get('waiting_reason') or job.get('code') or ''}"
        return bool(job.get("state") == "succeeded")


async def open_probe(cluster: Cluster) -> Probe:
    """Its key, its tenant's bundle. Close it."""
    key, _ = issue_key(cluster.home.api_keys_file, tenant=TENANT, actor=TENANT, roles=("agent",))
    await publish_next(cluster, TENANT, expires_s=None)
    return Probe(cluster, key)
