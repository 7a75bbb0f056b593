"""Brings a cluster up: keys and policy, the proxy, servers, streams, processes, a look whether all answers."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import nats.errors

from holdgate.bundles import format as bundle_format
from holdgate.bundles.keys import load_signer
from holdgate.kernel.clock import SystemClock
from holdgate.kernel.errors import Unavailable
from holdgate.scheduler.errors import ServerUnusable
from holdgate.scheduler.identity.keys import issue_key
from holdgate.scheduler.settings import child_environment
from holdgate.scheduler.torture.cluster import redisup
from holdgate.scheduler.torture.cluster.layout import PORTS_A_SERVER, Layout
from holdgate.scheduler.torture.cluster.member import Member
from holdgate.scheduler.torture.cluster.proxied import ProxyProcess
from holdgate.scheduler.torture.cluster.specs import cluster_specs
from holdgate.scheduler.torture.cluster.topology import kind_of
from holdgate.scheduler.up.access import OPERATOR
from holdgate.scheduler.up.children import free_ports
from holdgate.scheduler.up.home import REDIS
from holdgate.scheduler.up.provision import CALLERS, TENANT, Provisioned
from holdgate.scheduler.up.servers import NatsUser, Server, find_redis_server, nats_server, redis_server, write_private
from holdgate.scheduler.up.setup import prepare
from holdgate.scheduler.up.supervise import Spec, Supervisor
from holdgate.scheduler.up.system import answers

OTHER_TENANT = "other"
OTHER = "other-"
"""Begin of the names of the other tenant's keys."""
POLICY = Path(__file__).parents[1] / "policy"
STREAMS_TIMEOUT_S = 30.0
READY_TIMEOUT_S = 20.0
RETRY_S = 0.2


@dataclass(frozen=True, slots=True)
class Credentials:
    """Of the servers among themselves, and of those that look after them. Made anew for each cluster."""

    route: NatsUser
    system: NatsUser


def new_credentials() -> Credentials:
    """Random ones."""
    return Credentials(NatsUser("route", os.urandom(16).hex()), NatsUser("system", os.urandom(16).hex()))


def ports() -> Iterator[int]:
    """Free ones, all found at once so that they differ."""
    return itertools.chain.from_iterable(iter([free_ports(PORTS_A_SERVER * 12)]))


def issue_keys(provisioned: Provisioned) -> dict[str, str]:
    """Those of `holdgate up`, and the same for another tenant."""
    keys = dict(provisioned.keys)
    for name, caller in CALLERS.items():
        keys[OTHER + name], _ = issue_key(
            provisioned.home.api_keys_file,
            tenant=OTHER_TENANT,
            actor=OTHER + caller.actor,
            actor_type=caller.actor_type,
            roles=caller.roles,
        )
    return keys


def with_policy(provisioned: Provisioned, policy: Path) -> Provisioned:
    """The bundle in `policy` instead of the starter."""
    author = load_signer(provisioned.home.key_file("author"))
    return replace(provisioned, starter=bundle_format.sign_bundle(bundle_format.build_bundle(policy), author))


@dataclass
class Starter:
    """Starts what `layout` says into `supervisor`; `members` holds what was started."""

    layout: Layout
    provisioned: Provisioned
    credentials: Credentials
    supervisor: Supervisor
    proxy: ProxyProcess
    members: dict[str, Member]
    noticed: Callable[[], None]
    """Called when there is another member."""

    def environment(self, settings: dict[str, str]) -> dict[str, str]:
        """Of a process of ours."""
        folder = self.provisioned.home.metrics_dir
        return child_environment(settings, metrics_dir=folder, notify=self.supervisor.notify_address)

    async def servers(self) -> None:
        """NATS and Redis answer, and are what the topology says."""
        started = [await self._server(name) for name in self.layout.topology.servers()]
        await asyncio.gather(*(member.wait_there() for member in started))
        await redisup.join(self.layout, self.provisioned.passwords[REDIS])

    async def streams(self) -> None:
        """Streams, buckets and the bundle. JetStream of a cluster takes a while until it has chosen who leads."""
        urls = [f"nats://127.0.0.1:{self.layout.places[name].port}" for name in self.layout.named("nats")]
        user = (OPERATOR, self.provisioned.passwords[OPERATOR])
        deadline = time.monotonic() + STREAMS_TIMEOUT_S
        while True:
            try:
                await prepare(urls, user, self.provisioned, replicas=min(3, self.layout.topology.nats))
            except (Unavailable, nats.errors.Error, OSError, TimeoutError) as error:
                if time.monotonic() > deadline:
                    raise ServerUnusable(f"the streams cannot be made: {type(error).__name__}: {error}") from error
                await asyncio.sleep(RETRY_S)
            else:
                return

    async def processes(self, journals: Path) -> None:
        """All of them, ready."""
        home = self.provisioned.home
        specs = cluster_specs(home, self.provisioned.root_pins, self.layout, journals, self.environment)
        children = [await self.supervisor.start(spec) for spec in specs]
        for child in children:
            self.members[child.spec.name] = Member(child, self.supervisor)
        self.noticed()
        await self.supervisor.wait_ready(children)
        await asyncio.gather(*(self._api_ready(self.layout.places[name].port) for name in self.layout.named("api")))

    async def _api_ready(self, port: int) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not await answers(port):
            if time.monotonic() > deadline:
                raise ServerUnusable("an API is not ready")
            await asyncio.sleep(RETRY_S / 2)

    async def _server(self, name: str) -> Member:
        server = self._configured(name)
        spec = Spec(name, name, server.argv, self.provisioned.home.log_file(name), program=True)
        member = Member(await self.supervisor.start(spec), self.supervisor, server.answers)
        self.members[name] = member
        self.noticed()
        return member

    def _configured(self, name: str) -> Server:
        """With its files written."""
        home, password = self.provisioned.home, self.provisioned.passwords[REDIS]
        file = home.path / "run" / f"{name}.conf"
        match kind_of(name):
            case "nats":
                base = self.provisioned.nats_config(0, 0)
                own = self.layout.nats_config(name, base, self.credentials.route, self.credentials.system)
                return nats_server(own, file)
            case "redis":
                return redis_server(self.layout.redis_config(name, home.path / "redis", password), file)
            case _:
                data = home.path / "redis"
                (data / name).mkdir(mode=0o700, parents=True, exist_ok=True)
                write_private(file, self.layout.sentinel_text(name, data, password))
                port = self.layout.places[name].port
                argv = (str(find_redis_server()), str(file), "--sentinel")
                return Server(name, argv, lambda: redisup.answers(port))


def write_facts(file: Path, facts: Mapping[str, object]) -> None:
    """For people who want to look at a cluster by hand."""
    write_private(file, json.dumps(facts, indent=2) + "\n")  # noqa: TID251  for people


CLOCK = SystemClock()
TENANTS = (TENANT, OTHER_TENANT)
