"""Every fault by its name: how it is made and what it does, in one line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from holdgate.scheduler.torture.faults import network
from holdgate.scheduler.torture.faults.clocks import ClockJump
from holdgate.scheduler.torture.faults.disks import FailingSync, FullDisk
from holdgate.scheduler.torture.faults.fault import PROCESSES, SERVERS, Fault
from holdgate.scheduler.torture.faults.jetstream import JetStreamLost, MetaLeader, StreamLeader, WipedNode
from holdgate.scheduler.torture.faults.losses import RedisLost, RedisSetBack
from holdgate.scheduler.torture.faults.network import Between, Isolate
from holdgate.scheduler.torture.faults.policies import ExpiredBundle
from holdgate.scheduler.torture.faults.processes import AllAway, Kill, Pause, Restart
from holdgate.scheduler.torture.faults.stores import KilledPrimary, LosingFailover, OrderlyFailover, TruncatedLog


@dataclass(frozen=True, slots=True)
class Entry:
    """`alone`: it needs the servers as they should be, and is in no mix. `closes`: nothing new may run meanwhile.
    `lasts`: longer than others. `one`: what it says that it broke is one member, or nothing that stays away."""

    what: str
    make: Callable[[], Fault]
    alone: bool = False
    closes: bool = False
    lasts: bool = False
    one: bool = False


CATALOG: dict[str, Entry] = {
    "kill-process": Entry("SIGKILL of a process of Holdgate", lambda: Kill("kill-process", PROCESSES), one=True),
    "kill-server": Entry("SIGKILL of a NATS, Redis or Sentinel", lambda: Kill("kill-server", SERVERS), one=True),
    "pause-process": Entry(
        "SIGSTOP of a process of Holdgate", lambda: Pause("pause-process", PROCESSES), lasts=True, one=True
    ),
    "pause-server": Entry(
        "SIGSTOP of a NATS, Redis or Sentinel", lambda: Pause("pause-server", SERVERS), lasts=True, one=True
    ),
    "restart-process": Entry("SIGTERM and start of a process", lambda: Restart("restart-process", PROCESSES), one=True),
    "restart-server": Entry("SIGTERM and start of a server", lambda: Restart("restart-server", SERVERS), one=True),
    "kernels-away": Entry("SIGKILL of every kernel", lambda: AllAway("kernels-away", "kernel"), closes=True),
    "gates-away": Entry("SIGKILL of every output gate", lambda: AllAway("gates-away", "output-gate")),
    "cut": Entry("connections between two members break", lambda: Between("cut", network.cut)),
    "blackhole": Entry("nothing arrives between two members", lambda: Between("blackhole", network.swallow)),
    "delay": Entry("everything between two members is late", lambda: Between("delay", network.delay)),
    "loss": Entry("bytes between two members get lost", lambda: Between("loss", network.lose)),
    "isolate": Entry("one member reaches nobody", lambda: Isolate("isolate"), one=True),
    "stream-leader": Entry("another leader of a stream", StreamLeader, one=True),
    "meta-leader": Entry("another leader of JetStream", MetaLeader, one=True),
    "nats-wiped": Entry("a NATS node loses its disk", WipedNode, alone=True, one=True),
    "redis-failover": Entry("Sentinel is told to fail over", OrderlyFailover, alone=True),
    "redis-kill-primary": Entry("SIGKILL of the primary, failover", KilledPrimary, alone=True),
    "redis-lost-writes": Entry("failover to a replica that lacks the last writes", LosingFailover, alone=True),
    "redis-truncated-aof": Entry("Redis comes back with a shorter log", TruncatedLog, alone=True),
    "redis-lost": Entry("every Redis comes back empty", RedisLost, alone=True),
    "redis-set-back": Entry("every Redis comes back as it was seconds before", RedisSetBack, alone=True),
    "jetstream-lost": Entry("every NATS node comes back empty", JetStreamLost, alone=True),
    "redis-disk-full": Entry("no room for Redis", lambda: FullDisk("redis-disk-full", ("redis",)), alone=True),
    "nats-disk-full": Entry("no room for a NATS node", lambda: FullDisk("nats-disk-full", ("nats",)), alone=True),
    "redis-fsync-error": Entry("Redis cannot sync to disk", FailingSync, alone=True),
    "clock-jump": Entry("the clock of a process is wrong by an hour", ClockJump),
    "expired-bundle": Entry("the bundle of a tenant ends", ExpiredBundle),
}
