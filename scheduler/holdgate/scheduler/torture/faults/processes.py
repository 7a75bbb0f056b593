"""Processes that die, hang, or are started again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from pathlib import Path
from random import Random  # noqa: TID251  a seeded one comes in as an argument

from holdgate.scheduler.torture.bends import Bends
from holdgate.scheduler.torture.cluster import Cluster, Member
from holdgate.scheduler.torture.faults.fault import chosen


class _OfOne(ABC):
    """Befalls one member of some kinds, chosen by the seed; healed by starting it again."""

    bends: tuple[Bends, ...] = ()

    def __init__(self, name: str, kinds: Collection[str]) -> None:
        self.name = name
        self.did = ""
        self._kinds = kinds
        self._member: Member | None = None

    async def inject(self, cluster: Cluster, rng: Random) -> str:
        self._member = chosen(cluster, rng, self._kinds)
        before = self._member.pid
        await self._befall(self._member)
        if self._member.pid != before:
            self.did = f"process {before} is gone"
        return self._member.name

    async def heal(self) -> None:
        if self._member is not None:
            await self._member.start()

    @abstractmethod
    async def _befall(self, member: Member) -> None:
        """What is done to it."""


class Kill(_OfOne):
    """SIGKILL."""

    async def _befall(self, member: Member) -> None:
        await member.kill()


class Pause(_OfOne):
    """SIGSTOP: connections stay open and nobody answers."""

    async def _befall(self, member: Member) -> None:
        member.pause()

    async def heal(self) -> None:
        if self._member is not None:
            if is_stopped(self._member.pid):
                self.did = f"process {self._member.pid} was stopped"
            self._member.resume()


class Restart(_OfOne):
    """SIGTERM, and there again at once."""

    async def _befall(self, member: Member) -> None:
        await member.stop()
        await member.start()


class AllAway:
    """Every member of a kind is killed: what they do is not done by anybody."""

    bends: tuple[Bends, ...] = ()

    def __init__(self, name: str, kind: str) -> None:
        self.name = name
        self.did = ""
        self._kind = kind
        self._members: list[Member] = []

    async def inject(self, cluster: Cluster, _rng: Random) -> str:
        self._members = [member for member in cluster.members.values() if member.kind == self._kind]
        for member in self._members:
            await member.kill()
        return f"every {self._kind}"

    async def heal(self) -> None:
        if self._members and not any(member.is_alive for member in self._members):
            self.did = f"{len(self._members)} processes were away"
        for member in self._members:
            await member.start()


def is_stopped(pid: int | None) -> bool:
    """Whether a process does nothing until it is told to go on."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False
