"""What `holdgate up` starts: every child with its settings, as data. No IO."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from holdgate.scheduler.up.access import DEMO_POOL, worker_user
from holdgate.scheduler.up.home import FINGERPRINT, Home, redis_secret
from holdgate.scheduler.up.redisusers import REDIS_ACCESS
from holdgate.scheduler.up.supervise import Spec

DEMO_WORKER = "holdgate.workers.demo:worker"
HOST = "127.0.0.1"
STOP_STAGES: tuple[tuple[tuple[str, ...], float], ...] = (
    (("worker", "api"), 3.5),
    (("dispatcher", "output-gate", "auditor"), 2.0),
    (("kernel",), 1.0),
    (("redis", "nats"), 1.5),
)
"""Who ends with whom, and in how many seconds: those that ask before those that answer, all within ten."""
STOP_TIMEOUT_S = "3"
"""What children are told; a little less than their stage."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where everything listens on loopback."""

    api: int
    metrics: int
    nats: int
    nats_monitor: int
    redis: int
    probes: Mapping[str, int] = field(default_factory=dict)
    """Of each process, by its name: its metrics, `/healthz` and `/readyz`."""


PROCESSES = ("kernel", "api", "dispatcher", "output-gate", "auditor")


def process_names(workers: int) -> tuple[str, ...]:
    """The processes of Holdgate, with so many workers."""
    return (*PROCESSES, *(f"worker-{number}" for number in range(1, workers + 1)))


Environment = Callable[[dict[str, str]], dict[str, str]]
"""Settings without their prefix become the whole environment of a child."""


def process_specs(
    home: Home,
    pins: str,
    ports: Ports,
    workers: int,
    environment: Environment,
    *,
    worker: str = DEMO_WORKER,
    webhooks: bool = False,
) -> list[Spec]:
    """The processes of Holdgate, in no order. `webhooks`: the directory holds a file that says where notices go."""
    shared = {
        "nats_url": f"nats://{HOST}:{ports.nats}",
        "log_format": "json",
        "stop_timeout_s": STOP_TIMEOUT_S,
    }
    trusting = {"root_file": str(home.root_file), "root_pins": pins}
    stateful = {
        "redis_url": f"redis://{HOST}:{ports.redis}/0",
        "nats_monitor_url": f"http://{HOST}:{ports.nats_monitor}",
    }
    own = {
        "kernel": {"kernel_dir": str(home.path / "kernel")},
        "api": {
            **stateful,
            "api_listen": f"{HOST}:{ports.api}",
            "api_keys_file": str(home.api_keys_file),
            "known_secrets_file": str(home.known_secrets_file),
            **_opening(home),
        },
        "dispatcher": {**stateful, **({"webhooks_file": str(home.webhooks_file)} if webhooks else {})},
        "output-gate": {
            **stateful,
            "known_secrets_file": str(home.known_secrets_file),
            "fingerprint_key_file": str(home.password_file(FINGERPRINT)),
        },
        "auditor": {**stateful, "audit_dir": str(home.path / "audit")},
    }
    keys = {"output-gate": None}
    specs = []
    for name, settings in own.items():
        key = {} if name in keys else {"key_file": str(home.key_file(name))}
        user = _user(home, name)
        env = environment({**shared, **trusting, **key, **user, **_probes(ports, name), **settings})
        specs.append(Spec(name, name, (name,), home.log_file(name), env))
    return [*specs, *(_worker(home, shared, (worker, number), ports, environment) for number in range(1, workers + 1))]


def _user(home: Home, name: str) -> dict[str, str]:
    """Who a process is to the servers."""
    found = {"nats_user": name, "nats_nkey_file": str(home.nkey_file(name))}
    if name in REDIS_ACCESS:
        found |= {"redis_user": name, "redis_password_file": str(home.password_file(redis_secret(name)))}
    return found


def _probes(ports: Ports, name: str) -> dict[str, str]:
    return {"metrics_listen": f"{HOST}:{ports.probes[name]}"} if name in ports.probes else {}


def _opening(home: Home) -> dict[str, str]:
    """The key that opens sealed outputs, unless its owner took it elsewhere."""
    file = home.key_file("quarantine")
    return {"quarantine_key_file": str(file)} if file.exists() else {}


def _worker(home: Home, shared: dict[str, str], which: tuple[str, int], ports: Ports, environment: Environment) -> Spec:
    worker, number = which
    user, name = worker_user(DEMO_POOL), f"worker-{number}"
    settings = {
        **shared,
        **_user(home, user),
        "kernel_keys_file": str(home.worker_keys_file),
        "pool": DEMO_POOL,
        "worker_name": f"demo-{number}",
        **_probes(ports, name),
    }
    return Spec(name, "worker", ("worker", "run", worker), home.log_file(name), environment(settings))
