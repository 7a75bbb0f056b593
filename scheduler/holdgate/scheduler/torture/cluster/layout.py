"""Where every server of a cluster listens and what its configuration says, as data. No IO.

Each server has its own port, and one in front of it that others are told: the same one, or a proxy's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from holdgate.scheduler.torture.cluster.topology import RedisShape, Topology, kind_of
from holdgate.scheduler.torture.proxy.peers import CLIENT
from holdgate.scheduler.up.accounts import NatsUser
from holdgate.scheduler.up.home import REDIS, redis_secret
from holdgate.scheduler.up.plan import HOST
from holdgate.scheduler.up.redisusers import REPLICA, SENTINELS, RedisUser
from holdgate.scheduler.up.servers import NatsConfig, NatsRoutes, RedisConfig

SERVICE = "holdgate"
"""What Sentinel calls the primary."""
DOWN_AFTER_MS = 1500
FAILOVER_TIMEOUT_MS = 6000
NODE_TIMEOUT_MS = 2000
BUS = 10_000
"""Redis Cluster nodes speak to each other on their port and so much."""
PORTS_OF_NODES = range(51_000, 55_536)
"""Plus BUS they are ports, and none that a system gives to whoever asks for any."""


@dataclass(frozen=True, slots=True)
class Place:
    """Ports of a member: for its clients and for others of its kind, each with the one in front of it."""

    port: int
    peers: int
    monitor: int
    front: int
    peers_front: int

    @property
    def shown(self) -> str:
        """What its clients are told."""
        return f"{HOST}:{self.front}"


@dataclass(frozen=True, slots=True)
class Layout:
    """A topology with ports."""

    topology: Topology
    places: Mapping[str, Place]

    @classmethod
    def of(cls, topology: Topology, free: Iterator[int]) -> Layout:
        """With ports out of `free`."""

        def place(name: str) -> Place:
            port, peers, monitor = next(free), next(free), next(free)
            if topology.redis is RedisShape.CLUSTER and kind_of(name) == "redis":
                port = next(each for each in free if each in PORTS_OF_NODES)
                peers = port + BUS
            if not topology.proxied:
                return Place(port, peers, monitor, port, peers)
            return Place(port, peers, monitor, next(free), next(free))

        names = (*topology.servers(), *(name for name in topology.processes() if kind_of(name) == "api"))
        return cls(topology, {name: place(name) for name in names})

    def named(self, kind: str) -> list[str]:
        """Members of `kind` that have ports."""
        return [name for name in self.places if kind_of(name) == kind]

    def fronts(self) -> list[tuple[str, int, int]]:
        """What the proxy is to listen on and where that leads: member, port in front, port."""
        found = []
        for name, place in self.places.items():
            if place.front != place.port:
                found.append((name, place.front, place.port))
            if place.peers_front != place.peers and kind_of(name) in ("nats", "redis"):
                found.append((name, place.peers_front, place.peers))
        return found

    def pairs(self) -> list[tuple[str, str]]:
        """Between whom there are connections."""
        apis = [(CLIENT, name) for name in self.named("api")]
        servers = list(self.topology.servers())
        among = [
            (one, other)
            for index, one in enumerate(servers)
            for other in servers[index + 1 :]
            if (kind_of(one) == "nats") == (kind_of(other) == "nats")
        ]
        stateful = ("api", "dispatcher", "output-gate", "auditor")
        ours = [
            (name, server)
            for name in self.topology.processes()
            for server in servers
            if (kind_of(server) == "nats" and kind_of(name) != "auditor")
            or (kind_of(server) != "nats" and kind_of(name) in stateful)
        ]
        return [*apis, *among, *ours]

    def nats_url(self) -> str:
        """What processes are told: every node."""
        return ",".join(f"nats://{self.places[name].shown}" for name in self.named("nats"))

    def redis_url(self) -> str:
        """What processes are told."""
        redis = ",".join(self.places[name].shown for name in self.named("redis"))
        match self.topology.redis:
            case RedisShape.SINGLE:
                return f"redis://{redis}/0"
            case RedisShape.SENTINEL:
                sentinels = ",".join(self.places[name].shown for name in self.named("sentinel"))
                return f"redis+sentinel://{sentinels}/{SERVICE}/0"
            case RedisShape.CLUSTER:
                return f"redis+cluster://{redis}"

    def nats_config(self, name: str, base: NatsConfig, route: NatsUser, system: NatsUser) -> NatsConfig:
        """Of one node; `base` holds the accounts."""
        place = self.places[name]
        routes = NatsRoutes(
            cluster=SERVICE,
            port=place.peers,
            user=route,
            others=tuple(f"{HOST}:{self.places[each].peers_front}" for each in self.named("nats") if each != name),
            advertise=f"{HOST}:{place.peers_front}",
            client_advertise=place.shown,
        )
        return NatsConfig(
            place.port,
            base.data_dir / name,
            base.accounts,
            monitor_port=place.monitor,
            name=name,
            routes=routes if self.topology.nats > 1 else None,
            system=system,
        )

    def redis_config(
        self, name: str, data: Path, passwords: Mapping[str, str], users: tuple[RedisUser, ...]
    ) -> RedisConfig:
        """Of one data node, as it begins: Redis itself writes down what it becomes."""
        place = self.places[name]
        follows = [f"masteruser {REPLICA}", f"masterauth {passwords[redis_secret(REPLICA)]}"]
        more: list[str] = []
        if self.topology.redis is RedisShape.SENTINEL:
            more = [
                *follows,
                f"replica-announce-ip {HOST}",
                f"replica-announce-port {place.front}",
                "repl-diskless-sync-delay 0",
                "repl-ping-replica-period 1",
                "repl-timeout 5",
            ]
            primary = self.named("redis")[0]
            if name != primary:
                more.append(f"replicaof {HOST} {self.places[primary].front}")
        elif self.topology.redis is RedisShape.CLUSTER:
            more = [
                "cluster-enabled yes",
                *follows,
                f"cluster-node-timeout {NODE_TIMEOUT_MS}",
                f"cluster-announce-ip {HOST}",
                f"cluster-announce-port {place.front}",
                f"cluster-announce-bus-port {place.peers_front}",
            ]
        return RedisConfig(place.port, data / name, passwords[REDIS], more=tuple(more), users=users)

    def sentinel_text(self, name: str, data: Path, passwords: Mapping[str, str]) -> str:
        """Configuration of a sentinel, as it begins."""
        place, primary = self.places[name], self.places[self.named("redis")[0]]
        return "\n".join(
            [
                f"bind {HOST}",
                f"port {place.port}",
                "protected-mode no",
                f'dir "{data / name}"',
                "daemonize no",
                f"sentinel announce-ip {HOST}",
                f"sentinel announce-port {place.front}",
                f"sentinel monitor {SERVICE} {HOST} {primary.front} 2",
                f"sentinel auth-user {SERVICE} {SENTINELS}",
                f"sentinel auth-pass {SERVICE} {passwords[redis_secret(SENTINELS)]}",
                f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}",
                f"sentinel failover-timeout {SERVICE} {FAILOVER_TIMEOUT_MS}",
                f"sentinel parallel-syncs {SERVICE} 1",
                "",
            ]
        )
