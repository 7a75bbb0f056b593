"""Brings a cluster up: keys and policy, the proxy, servers, streams, processes, a look whether all answers."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nats.errors

from holdgate.kernel.clock import SystemClock
from holdgate.kernel.errors import Unavailable
from holdgate.scheduler.errors import ServerUnusable
from holdgate.scheduler.identity.keys import issue_key
from holdgate.scheduler.settings import child_environment
from holdgate.scheduler.torture.cluster import redisup
from holdgate.scheduler.torture.cluster.layout import Layout
from holdgate.scheduler.torture.cluster.member import Member
from holdgate.scheduler.torture.cluster.proxied import ProxyProcess
from holdgate.scheduler.torture.cluster.specs import cluster_specs
from holdgate.scheduler.torture.cluster.topology import kind_of
from holdgate.scheduler.torture.handlers import JOURNALS
from holdgate.scheduler.up.accounts import NatsUser
from holdgate.scheduler.up.children import free_ports
from holdgate.scheduler.up.credentials import redis_users
from holdgate.scheduler.up.home import REDIS
from holdgate.scheduler.up.provision import APPROVER_ROLES, CALLERS, TENANT, Caller, Provisioned
from holdgate.scheduler.up.servers import Server, find_redis_server, nats_server, redis_server, write_private
from holdgate.scheduler.up.setup import prepare
from holdgate.scheduler.up.supervise import Spec, Supervisor
from holdgate.scheduler.up.system import answers

OTHER_TENANT = "other"
OTHER = "other-"
"""Begin of the names of the other tenant's keys."""
PORTS = 400
LEAD = Caller("lead", "human", ("agent", *APPROVER_ROLES))
"""May release what others submit, and tries to release what it submitted itself."""
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
    return iter(free_ports(PORTS))


def issue_keys(provisioned: Provisioned) -> dict[str, str]:
    """Those of `holdgate up` and LEAD, and the same for another tenant."""
    keys = dict(provisioned.keys)
    wanted = [(TENANT, "", {"lead": LEAD}), (OTHER_TENANT, OTHER, {**CALLERS, "lead": LEAD})]
    for tenant, prefix, callers in wanted:
        for name, caller in callers.items():
            keys[prefix + name], _ = issue_key(
                provisioned.home.api_keys_file,
                tenant=tenant,
                actor=prefix + caller.actor,
                actor_type=caller.actor_type,
                roles=caller.roles,
            )
    return keys


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
        stores = [name for name in self.layout.topology.servers() if kind_of(name) != "sentinel"]
        await self._start(stores)
        await redisup.join(self.layout, self.provisioned.passwords[REDIS])
        # A sentinel that finds the replica at its first look need not wait ten seconds for the second one.
        await self._start(self.layout.named("sentinel"))
        await redisup.agree(self.layout)

    async def streams(self) -> None:
        """Streams, buckets and the bundle. JetStream of a cluster takes a while until it has chosen who leads."""
        urls = [f"nats://127.0.0.1:{self.layout.places[name].port}" for name in self.layout.named("nats")]
        deadline = time.monotonic() + STREAMS_TIMEOUT_S
        while True:
            try:
                await prepare(urls, self.provisioned, replicas=min(3, self.layout.topology.nats))
            except (Unavailable, nats.errors.Error, OSError, TimeoutError) as error:
                if time.monotonic() > deadline:
                    raise ServerUnusable(f"the streams cannot be made: {type(error).__name__}: {error}") from error
                await asyncio.sleep(RETRY_S)
            else:
                return

    async def processes(self, journals: Path) -> None:
        """All of them, ready."""
        home = self.provisioned.home
        specs = cluster_specs(
            home, self.provisioned.root_pins, self.layout, {JOURNALS: str(journals)}, self.environment
        )
        for _, stage in itertools.groupby(specs, lambda spec: kind_of(spec.name)):
            await self._start_stage(list(stage))
        await asyncio.gather(*(self._api_ready(self.layout.places[name].port) for name in self.layout.named("api")))

    async def _start_stage(self, specs: Sequence[Spec]) -> None:
        """Those of one kind. Not all at once: thirteen that start together leave each other no time to connect."""
        started = [Member(await self.supervisor.start(spec), self.supervisor) for spec in specs]
        self.members |= {member.name: member for member in started}
        self.noticed()
        # One that gives up on a busy machine is started again.
        await asyncio.gather(*(member.wait_there() for member in started))

    async def _api_ready(self, port: int) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not await answers(port):
            if time.monotonic() > deadline:
                raise ServerUnusable("an API is not ready")
            await asyncio.sleep(RETRY_S / 2)

    async def _start(self, names: Sequence[str]) -> None:
        started = [await self._server(name) for name in names]
        await asyncio.gather(*(member.wait_there() for member in started))

    async def _server(self, name: str) -> Member:
        server = self._configured(name)
        spec = Spec(name, name, server.argv, self.provisioned.home.log_file(name), program=True)
        member = Member(await self.supervisor.start(spec), self.supervisor, server.answers)
        self.members[name] = member
        self.noticed()
        return member

    def _configured(self, name: str) -> Server:
        """With its files written."""
        home, passwords = self.provisioned.home, self.provisioned.passwords
        file = home.path / "run" / f"{name}.conf"
        match kind_of(name):
            case "nats":
                base = self.provisioned.nats_config(0, 0)
                own = self.layout.nats_config(name, base, self.credentials.route, self.credentials.system)
                return nats_server(own, file)
            case "redis":
                return redis_server(
                    self.layout.redis_config(name, home.path / "redis", passwords, redis_users(home)), file
                )
            case _:
                data = home.path / "redis"
                (data / name).mkdir(mode=0o700, parents=True, exist_ok=True)
                write_private(file, self.layout.sentinel_text(name, data, passwords))
                port = self.layout.places[name].port
                argv = (str(find_redis_server()), str(file), "--sentinel")
                return Server(name, argv, lambda: redisup.answers(port))


def write_facts(file: Path, facts: Mapping[str, object]) -> None:
    """For people who want to look at a cluster by hand."""
    write_private(file, json.dumps(facts, indent=2) + "\n")  # noqa: TID251  for people


CLOCK = SystemClock()
TENANTS = (TENANT, OTHER_TENANT)
