"""A cluster of real processes on loopback, each of which can be broken alone."""

from __future__ import annotations

from holdgate.scheduler.torture.cluster.links import Link, Links
from holdgate.scheduler.torture.cluster.member import Member
from holdgate.scheduler.torture.cluster.running import Cluster, running_cluster
from holdgate.scheduler.torture.cluster.topology import Topology

__all__ = ["Cluster", "Link", "Links", "Member", "Topology", "running_cluster"]
