"""The processes of Holdgate in a cluster: what `holdgate up` starts once, several times, told of every server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from holdgate.scheduler.settings import Stateful
from holdgate.scheduler.torture.cluster.layout import Layout
from holdgate.scheduler.up.home import Home
from holdgate.scheduler.up.plan import HOST, Environment, Ports, process_specs
from holdgate.scheduler.up.supervise import Spec

HANDLERS = "holdgate.scheduler.torture.handlers:worker"
STOP_TIMEOUT_S = "8"
KERNELS_APART = "kernel_dir"
"""Each kernel keeps its own last good bundles."""


def cluster_specs(
    home: Home, pins: str, layout: Layout, of_workers: Mapping[str, str], environment: Environment
) -> list[Spec]:
    """Every process of the topology; each is a kind of its own to the supervisor, so that it can be held alone.

    `of_workers`: variables that the handlers read.
    """
    wanted = layout.topology.processes()
    found: dict[str, Spec] = {}
    for number in range(1, max((int(name.rpartition("-")[2]) for name in wanted), default=0) + 1):
        place = layout.places.get(f"api-{number}")
        ports = Ports(api=place.port if place else 0, metrics=0, nats=0, nats_monitor=0, redis=0)
        told = _told(home, layout, number, environment)
        for spec in process_specs(home, pins, ports, number, told):
            name = spec.name if spec.kind == "worker" else f"{spec.name}-{number}"
            found[name] = _own(spec, name, home, of_workers)
    return [found[name] for name in wanted]


def _own(spec: Spec, name: str, home: Home, of_workers: Mapping[str, str]) -> Spec:
    if spec.kind != "worker":
        return replace(spec, name=name, kind=name, log=home.log_file(name))
    env = {**spec.env, **of_workers}
    return replace(spec, kind=name, argv=("worker", "run", HANDLERS), env=env)


def _told(home: Home, layout: Layout, number: int, environment: Environment) -> Environment:
    """What the process with `number` is told instead of where a single server would be."""
    monitors = [f"http://{HOST}:{layout.places[name].monitor}" for name in layout.named("nats")]
    stateful: Mapping[str, str] = {
        "redis_url": layout.redis_url(),
        "nats_monitor_url": ",".join(monitors),
    }
    if "redis_replicas" in Stateful.model_fields:
        stateful = {**stateful, "redis_replicas": str(layout.topology.replicas_confirm)}

    def changed(settings: dict[str, str]) -> dict[str, str]:
        told = {**settings, "nats_url": layout.nats_url(), "stop_timeout_s": STOP_TIMEOUT_S}
        if "redis_url" in settings:
            told |= stateful
        if KERNELS_APART in settings:
            told[KERNELS_APART] = str(home.path / f"kernel-{number}")
        return environment(told)

    return changed
