"""Starts a cluster, and ends it whatever happens."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nats.aio.client import Client as Nats

from holdgate.kernel.login import Login, connect
from holdgate.kernel.tasks import TaskSet
from holdgate.scheduler.errors import StateUnavailable
from holdgate.scheduler.torture.cluster import redisup, starting
from holdgate.scheduler.torture.cluster.layout import Layout
from holdgate.scheduler.torture.cluster.links import Links
from holdgate.scheduler.torture.cluster.member import Member
from holdgate.scheduler.torture.cluster.proxied import ProxyProcess
from holdgate.scheduler.torture.cluster.topology import Topology
from holdgate.scheduler.up.access import OPERATOR
from holdgate.scheduler.up.home import REDIS, Home
from holdgate.scheduler.up.plan import HOST
from holdgate.scheduler.up.provision import Provisioned, provision
from holdgate.scheduler.up.scrape import forget
from holdgate.scheduler.up.supervise import Supervisor

OnEvent = Callable[[str, str], None]
"""Hears of a member's name and `started` or `ended`."""
STOP_STAGES_S = ((("worker", "api"), 4.0), (("dispatcher", "output-gate", "auditor"), 3.0), (("kernel",), 1.0))


@dataclass(frozen=True)
class Cluster:
    """A running one. `folder` holds everything: keys, data, logs, journals."""

    topology: Topology
    folder: Path
    layout: Layout
    provisioned: Provisioned
    members: Mapping[str, Member]
    links: Links
    """Empty unless the topology is proxied."""
    api_urls: tuple[str, ...]
    keys: Mapping[str, str]
    """API keys: `agent`, `agent2`, `approver`, `approver2`, `author`, `operator`, `auditor`, `admin`; with `other-` in
    front those of a second tenant."""
    tenants: tuple[str, str]
    journals: Path
    """Folder: what each worker ran, one JSON-lines file a process, written to disk line by line."""
    credentials: starting.Credentials

    @property
    def home(self) -> Home:
        """Keys, data, logs."""
        return self.provisioned.home

    @property
    def redis_password(self) -> str:
        """Of every data node."""
        return self.provisioned.passwords[REDIS]

    @property
    def redis_urls(self) -> Mapping[str, str]:
        """Each data node, past every proxy, with the password."""
        names = self.layout.named("redis")
        return {
            name: f"redis://{OPERATOR}:{self.redis_password}@{HOST}:{self.layout.places[name].port}/0" for name in names
        }

    async def operator(self) -> Nats:
        """A connection of its own to NATS, past every proxy, that may do everything. Close it."""
        return await self._nats(self.provisioned.login(OPERATOR))

    async def system(self) -> Nats:
        """A connection to the system account of NATS. Close it."""
        return await self._nats(Login(self.credentials.system.name, self.credentials.system.password))

    async def redis_primary(self) -> str:
        """Name of the member that takes writes now; the first of several masters. StateUnavailable when none does."""
        found = await redisup.primary_of(self.layout, self.redis_password)
        if found is None:
            raise StateUnavailable("no Redis is primary now")
        return found

    async def _nats(self, login: Login) -> Nats:
        ports = [self.layout.places[name].port for name in self.layout.named("nats")]
        urls = [f"nats://{HOST}:{port}" for port in ports]
        return await connect(urls, login, connect_timeout=2, max_reconnect_attempts=10)


@contextlib.asynccontextmanager
async def running_cluster(
    topology: Topology, folder: Path, *, on_event: OnEvent | None = None
) -> AsyncIterator[Cluster]:
    """A cluster that answers, until the end of the block; what it left lies in `folder`. Call it in the main thread.

    `on_event` hears of each start and end of a member. The starter bundle is in force.
    """
    folder = folder.absolute()  # noqa: ASYNC240  at start
    provisioned = provision(folder, starting.CLOCK)
    keys = starting.issue_keys(provisioned)
    _make_folders(provisioned.home, folder / "journals")
    layout = Layout.of(topology, starting.ports())
    proxy = ProxyProcess()
    members: dict[str, Member] = {}
    watch = _Watch(members, proxy, on_event or (lambda _name, _what: None))
    failures: list[str] = []
    supervisor = Supervisor(
        restart=True,
        on_change=watch.look,
        on_end=lambda pid: forget(provisioned.home.metrics_dir, pid),
        on_failure=failures.append,
    )
    credentials = starting.new_credentials()
    starter = starting.Starter(layout, provisioned, credentials, supervisor, proxy, members, watch.look)
    links = Links(proxy.tell, tuple(layout.pairs()) if topology.proxied else ())
    try:
        if topology.proxied:
            proxy.start(provisioned.home.log_file("proxy"))
            await proxy.tell({"fronts": layout.fronts()})
        if topology.processes():
            supervisor.prepare(starter.environment({}), provisioned.home.log_file("forker"))
        await starter.servers()
        await starter.streams()
        await starter.processes(folder / "journals")
        yield _answering(folder, starter, links, keys)
    finally:
        for member in members.values():
            member.resume()
        await watch.close()
        await supervisor.stop(_stages(members))
        proxy.stop()


def _answering(folder: Path, starter: starting.Starter, links: Links, keys: Mapping[str, str]) -> Cluster:
    layout = starter.layout
    return Cluster(
        topology=layout.topology,
        folder=folder,
        layout=layout,
        provisioned=starter.provisioned,
        members=starter.members,
        links=links,
        api_urls=tuple(f"http://{layout.places[name].shown}" for name in layout.named("api")),
        keys=keys,
        tenants=starting.TENANTS,
        journals=folder / "journals",
        credentials=starter.credentials,
    )


def _stages(members: Mapping[str, Member]) -> list[tuple[list[str], float]]:
    """Who ends with whom: those that ask before those that answer; servers last, by the supervisor."""
    return [
        ([name for name, member in members.items() if member.kind in kinds], seconds)
        for kinds, seconds in STOP_STAGES_S
    ]


def _make_folders(home: Home, journals: Path) -> None:
    journals.mkdir(mode=0o700, parents=True, exist_ok=True)
    for file in home.metrics_dir.iterdir():
        file.unlink()


class _Watch:
    """Tells the proxy which process is which member, and the harness of starts and ends."""

    def __init__(self, members: Mapping[str, Member], proxy: ProxyProcess, on_event: OnEvent) -> None:
        self._members = members
        self._proxy = proxy
        self._on_event = on_event
        self._known: dict[str, int] = {}
        self._tells_proxy = True
        self._tasks = TaskSet(lambda name, error: on_event("proxy", f"failed: {name}: {error}"))

    def look(self) -> None:
        """Something may have changed."""
        now = {name: member.pid for name, member in self._members.items() if member.pid is not None}
        if now == self._known:
            return
        for name in self._known.keys() | now.keys():
            if self._known.get(name) != now.get(name):
                self._on_event(name, "started" if name in now else "ended")
        self._known = now
        if self._tells_proxy:
            self._tasks.start(self._proxy.tell({"pids": now}), "pids")

    async def close(self) -> None:
        """What comes to its end now is nothing to the proxy, which ends, too."""
        self._tells_proxy = False
        await self._tasks.drain(1.0)
