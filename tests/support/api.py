"""The real API over HTTP for tests: uvicorn on a free port, a real kernel beside it, keys and root as `holdgate up`
makes them. What is not started here (dispatcher, workers, output gate) a test starts or does itself."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import nats
from nats.aio.client import Client as Nats

from holdgate.bundles.activate import BundleActivator
from holdgate.bundles.chain import sign_root
from holdgate.bundles.format import parse_bundle
from holdgate.bundles.keys import load_signer
from holdgate.bundles.root import Pins, parse_root
from holdgate.bundles.rootfile import RootFile, load_root
from holdgate.bundles.shadowing import BundleShadow
from holdgate.bundles.store import BundleStore, shadow_store
from holdgate.kernel.clock import SystemClock
from holdgate.kernel.ids import Tenant
from holdgate.kernel.service import KernelService
from holdgate.scheduler.api.bundles import Candidate
from holdgate.scheduler.api.deps import Deps
from holdgate.scheduler.cli.apiparts import api_deps
from holdgate.scheduler.cli.consoleparts import create_site
from holdgate.scheduler.cli.http import serving
from holdgate.scheduler.identity.keys import issue_key
from holdgate.scheduler.lifecycle import Runtime
from holdgate.scheduler.settings import ApiSettings
from holdgate.scheduler.state.connection import Scripts, connect_redis
from holdgate.scheduler.state.log import ensure_streams
from holdgate.scheduler.up.children import free_port
from holdgate.scheduler.up.provision import Provisioned, provision
from support.dispatching import Rules
from support.waiting import eventually

OTHER_TENANT = "other"
PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients that speak plain HTTP: to load all authorities of this machine takes longer than their calls."""


@dataclass
class ApiWorld:
    """A running API and what a test needs to act around it."""

    url: str
    keys: dict[str, str]
    deps: Deps
    nc: Nats
    scripts: Scripts
    provisioned: Provisioned
    source: BundleActivator
    kernel: KernelService
    settings: ApiSettings
    runtime: Runtime
    clients: list[httpx.AsyncClient] = field(default_factory=list)

    def client(self, who: str | None = "agent", **headers: str) -> httpx.AsyncClient:
        """An HTTP client with the key of `who`."""
        found = {} if who is None else {"X-API-Key": self.keys[who]}
        client = httpx.AsyncClient(base_url=self.url, headers={**found, **headers}, timeout=20, verify=PLAIN)
        self.clients.append(client)
        return client

    async def submit(self, who: str = "agent", **form: Any) -> httpx.Response:
        """POST a job; `topic` defaults to one that is allowed."""
        body = {"topic": "job.demo.read", **form}
        return await self.client(who).post("/api/v1/jobs", json=body)

    async def stored(self) -> int:
        """How many keys of any tenant Redis has."""
        return int(await self.scripts.command("DBSIZE"))


@contextlib.asynccontextmanager
async def running_api(
    nats_url: str,
    redis_url: str,
    directory: Path,
    settings: Mapping[str, Any] | None = None,
    *,
    root: Mapping[str, Any] | None = None,
) -> AsyncIterator[ApiWorld]:
    """A world for the block; `root` are fields of the trust root that are to be other than usual."""
    clock = SystemClock()
    made = provision(directory, clock)
    if root:
        _resign_root(made, root)
    config = ApiSettings(**{**_usual(made), **(settings or {})})
    keys = {**made.keys, **_more_keys(made)}
    nc, kernel_nc = await nats.connect(nats_url), await nats.connect(nats_url)
    scripts = await connect_redis(redis_url)
    await ensure_streams(nc)
    source, shadow, kernel = await _kernel(kernel_nc, made)
    trust = RootFile(made.home.root_file, Pins.parse(made.root_pins), clock)
    signer = load_signer(made.home.key_file("api"))
    runtime = Runtime("api")
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(kernel_nc.close)
        stack.push_async_callback(nc.close)
        stack.push_async_callback(scripts.close)
        stack.push_async_callback(source.stop)
        stack.push_async_callback(shadow.stop)
        stack.push_async_callback(kernel.stop)
        deps = await stack.enter_async_context(api_deps(config, nc, scripts, signer, trust, "strict", runtime))
        await stack.enter_async_context(
            serving(create_site(deps, config), config, runtime, on_leave=deps.events.dismiss)
        )
        # Heard first, so that the first look finds everything well and nobody waits for the next.
        await eventually(lambda: deps.kernel.snapshot is not None, 15, why="a kernel was heard")
        await runtime.readiness.start()
        url = f"http://{config.api_listen}"
        world = ApiWorld(url, keys, deps, nc, scripts, made, source, kernel, config, runtime)
        await _ready(world)
        try:
            yield world
        finally:
            await asyncio.gather(*(client.aclose() for client in world.clients))


def _usual(made: Provisioned) -> dict[str, Any]:
    return {
        "root_file": made.home.root_file,
        "root_pins": made.root_pins,
        "key_file": made.home.key_file("api"),
        "api_keys_file": made.home.api_keys_file,
        "known_secrets_file": made.home.known_secrets_file,
        "api_listen": f"127.0.0.1:{free_port()}",
    }


async def publish_bundle(world: ApiWorld, data: bytes) -> None:
    """Publish as an author would, and wait until the kernel decides under it."""
    before = world.deps.kernel.snapshot
    candidate = Candidate(_name_of(data), data, Tenant("default"))
    await world.deps.bundles.publish(candidate, publisher="default/author", accept_widening=True)
    await world.source.refresh()
    await eventually(lambda: world.deps.kernel.snapshot not in (None, before), why="a new snapshot")


@contextlib.asynccontextmanager
async def without_policy(world: ApiWorld) -> AsyncIterator[None]:
    """For the block the kernel that answers has no valid policy; the api has heard of both changes."""
    empty = Rules()
    empty.use()
    signer = load_signer(world.provisioned.home.key_file("kernel"))
    kernel = KernelService(world.nc, empty, signer, SystemClock(), "kernel-empty")
    await world.kernel.stop()
    await kernel.start()
    await eventually(lambda: not _has_policy(world), why="the kernel without a policy was heard")
    try:
        yield
    finally:
        await kernel.stop()
        await world.kernel.start()
        await eventually(lambda: _has_policy(world), why="the kernel with a policy was heard")


def _has_policy(world: ApiWorld) -> bool:
    heard = world.deps.kernel.snapshot
    return heard is not None and heard.policy


def root_of(world: ApiWorld) -> Any:
    """The root in force."""
    home = world.provisioned.home
    return load_root(home.root_file, Pins.parse(world.provisioned.root_pins), SystemClock().now_ms())


def _resign_root(made: Provisioned, changes: Mapping[str, Any]) -> None:
    path = made.home.root_file
    present = load_root(path, Pins.parse(made.root_pins), SystemClock().now_ms())
    changed = parse_root({**present.model_dump(mode="json"), **changes})
    path.write_bytes(sign_root(changed, [load_signer(made.home.key_file("root"))]))


def _name_of(data: bytes) -> str:
    return parse_bundle(data).manifest.name


def _more_keys(made: Provisioned) -> dict[str, str]:
    other, _ = issue_key(made.home.api_keys_file, tenant=OTHER_TENANT, actor="stranger", roles=["agent", "admin"])
    both, _ = issue_key(
        made.home.api_keys_file,
        tenant="default",
        actor="busy",
        roles=["agent", "approver", "release-manager"],
        actor_type="human",
    )
    member, _ = issue_key(
        made.home.api_keys_file, tenant="default", actor="helper", roles=["agent"], principals=["approver"]
    )
    plain, _ = issue_key(
        made.home.api_keys_file, tenant="default", actor="bystander", roles=["approver"], actor_type="human"
    )
    return {"stranger": other, "busy": both, "helper": member, "bystander": plain}


async def _kernel(nc: Nats, made: Provisioned) -> tuple[BundleActivator, BundleShadow, KernelService]:
    clock, store, shadows = SystemClock(), BundleStore(nc), shadow_store(nc)
    await store.ensure()
    await shadows.ensure()
    await store.put("demo", made.starter, after_revision=None)
    source = BundleActivator(
        root=made.home.root_file,
        pins=Pins.parse(made.root_pins),
        directory=made.home.path / "kernel",
        clock=clock,
        store=store,
    )
    await source.start()
    shadow = BundleShadow(shadows, source, clock)
    await shadow.start()
    kernel = KernelService(nc, source, load_signer(made.home.key_file("kernel")), clock, "kernel-test", shadow=shadow)
    await kernel.start()
    return source, shadow, kernel


async def _ready(world: ApiWorld) -> None:
    async with httpx.AsyncClient(base_url=world.url, verify=PLAIN) as client:

        async def is_ready() -> bool:
            return (await client.get("/readyz")).status_code == 200

        await eventually(is_ready, 15, why="the API is ready")
