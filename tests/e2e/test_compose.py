"""compose.yaml: it holds together, gives each service only its own files, and what it says makes a working system."""

from __future__ import annotations

import contextlib
import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from holdgate.kernel.clock import SystemClock
from holdgate.scheduler.cli.reference import PROCESSES
from holdgate.scheduler.settings import known_names
from holdgate.scheduler.up.caller import Caller
from holdgate.scheduler.up.children import stop
from holdgate.scheduler.up.containers import DATA, MONITOR_PORT, NATS_PORT, REDIS_PORT, write_container_files
from holdgate.scheduler.up.provision import Provisioned, provision
from holdgate.scheduler.up.servers import nats_server, redis_server
from support.blocks import ROOT
from support.compose import Machine, load, read_env
from support.waiting import eventually_sync

SERVICE_KEYS = {
    "image", "build", "user", "command", "restart", "init", "read_only", "tmpfs", "cap_drop", "security_opt", "secrets",
    "stop_grace_period", "networks", "healthcheck", "depends_on", "environment", "volumes", "ports", "mem_limit",
    "pids_limit", "logging",
}  # fmt: skip
HEALTH_KEYS = {"test", "interval", "timeout", "retries", "start_period", "disable"}
CONDITIONS = {"service_healthy", "service_completed_successfully", "service_started"}
PROCESS_NAMES = ("kernel", "api", "dispatcher", "output-gate", "auditor", "worker")


@pytest.fixture(scope="module")
def provisioned(tmp_path_factory: pytest.TempPathFactory) -> Provisioned:
    return provision(tmp_path_factory.mktemp("compose") / "data", SystemClock())


@pytest.fixture(scope="module")
def document(provisioned: Provisioned) -> dict[str, Any]:
    return load(read_env(write_container_files(provisioned)))


def test_only_known_keys_are_used_and_every_name_leads_somewhere(document: dict[str, Any]) -> None:
    """Keys as in the compose specification; services, networks and secrets that are named are defined, and all used."""
    services = document["services"]
    assert set(document) - {"name", "services", "networks", "secrets"} == {
        "x-process", "x-environment", "x-trust", "x-state", "x-servers",
    }  # fmt: skip
    used: set[str] = set()
    for name, service in services.items():
        assert set(service) <= SERVICE_KEYS, name
        assert set(service["healthcheck"]) <= HEALTH_KEYS
        assert set(service["networks"]) <= set(document["networks"])
        for other, condition in service.get("depends_on", {}).items():
            assert other in services
            assert condition["condition"] in CONDITIONS
            if condition["condition"] == "service_healthy":
                assert "test" in services[other]["healthcheck"]
        used |= set(service["secrets"])
        assert len(service["secrets"]) == len(set(service["secrets"]))
    assert used == set(document["secrets"])


def test_every_process_is_a_service_with_a_health_check(document: dict[str, Any]) -> None:
    """From one image, not as root, without capabilities, on a read-only file system."""
    for name in PROCESS_NAMES:
        service = document["services"][name]
        assert service["image"] == document["services"]["setup"]["image"]
        assert service["command"][0] == name
        assert service["healthcheck"]["test"][0] == "CMD"
        assert f":{8081 if name == 'api' else 9090}/readyz" in service["healthcheck"]["test"][-1]
        assert service["mem_limit"]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["user"]


def test_every_file_exists_after_provisioning_and_belongs_to_its_owner_only(document: dict[str, Any]) -> None:
    """Keys come from files, of mode 0600."""
    for secret in document["secrets"].values():
        file = Path(secret["file"])
        assert file.is_file(), file
        if file.suffix != ".bundle":
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_no_service_mounts_a_key_of_another(document: dict[str, Any]) -> None:
    """One private key, one user of NATS and one of Redis each; the root's and the author's keys are mounted nowhere."""
    holders: dict[str, list[str]] = {}
    for name, service in document["services"].items():
        for secret in service["secrets"]:
            holders.setdefault(document["secrets"][secret]["file"], []).append(name)
    for file, names in holders.items():
        if file.endswith(".key"):
            assert len(names) == 1, file
        assert not file.endswith(("root.key", "author.key", "quarantine.key"))
    for name in ("kernel", "api", "dispatcher", "output-gate", "auditor"):
        (user,) = [file for file in holders if file.endswith(f"secrets/{name}.nkey")]
        assert holders[user] == [name]
        state = [file for file in holders if file.endswith(f"secrets/redis-{name}")]
        assert [holders[file] for file in state] == ([] if name == "kernel" else [[name]])
    assert [names for file, names in holders.items() if file.endswith("secrets/redis-setup")] == [["setup"]]
    assert not [file for file in holders if file.endswith(("secrets/redis", "secrets/redis-replica"))]


@pytest.mark.parametrize("name", PROCESS_NAMES)
def test_environments_name_settings_of_their_process_only(document: dict[str, Any], name: str) -> None:
    """A setting that its process does not read would do nothing."""
    (settings,) = [kind for process, kind in PROCESSES if process == name]
    names = set(document["services"][name]["environment"])
    assert names <= known_names()
    assert {name.removeprefix("HOLDGATE_").lower() for name in names} <= set(settings.model_fields)


def test_connections_in_clear_are_allowed_where_it_says_so_and_on_the_inner_network_only(
    document: dict[str, Any],
) -> None:
    """Processes refuse them otherwise; servers are on no other network."""
    for name in ("setup", "publish", *PROCESS_NAMES):
        assert document["services"][name]["environment"]["HOLDGATE_PLAINTEXT"] == "allow"
    assert document["networks"]["inside"] == document["networks"]["workers"] == {"internal": True}
    for server, networks in (("nats", ["inside", "workers"]), ("redis", ["inside"]), ("worker", ["workers"])):
        assert document["services"][server]["networks"] == networks
        assert "ports" not in document["services"][server]


def test_the_image_is_built_from_what_the_repository_has() -> None:
    """Every path that the Dockerfile copies exists and is let through by .dockerignore."""
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    for line in (ROOT / "deploy" / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists(), source
                assert f"!{source.split('/')[0]}" in allowed, source


@pytest.fixture
def machine(provisioned: Provisioned, document: dict[str, Any], tmp_path: Path) -> Iterator[Machine]:
    """NATS and Redis as provisioned for containers, on this machine's ports and folders."""
    machine = Machine(document, tmp_path)
    with contextlib.ExitStack() as stack:
        nats = provisioned.nats_config(machine.port(f"nats:{NATS_PORT}"), machine.port(f"nats:{MONITOR_PORT}"))
        redis = provisioned.redis_config(machine.port(f"redis:{REDIS_PORT}"))
        for server in (nats_server(nats, tmp_path / "nats.conf"), redis_server(redis, tmp_path / "redis.conf")):
            stack.callback(stop, server.start(tmp_path / f"{server.name}.log"))
        stack.callback(machine.stop)
        yield machine


def test_its_commands_and_environments_make_a_working_system(machine: Machine, provisioned: Provisioned) -> None:
    """Each service as a process: setup and publish end well, the rest get healthy, and a job runs."""
    for once in ("setup", "publish", "setup", "publish"):
        assert machine.start(once).wait(30) == 0, machine.log(once)
    for name in PROCESS_NAMES:
        machine.start(name)
    api = f"http://127.0.0.1:{machine.port('api:8081')}"

    def healthy() -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{api}/readyz").json().get("status") == "ready"
        return False

    assert eventually_sync(healthy, 40, why=machine.log("api")[-2000:])
    for name in ("kernel", "dispatcher", "output-gate", "auditor", "worker"):
        assert "holdgate_" in httpx.get(f"http://127.0.0.1:{machine.port(f'{name}:9090')}/metrics").text
    caller = Caller(api, provisioned.keys["agent"])
    status, job = caller.submit("job.demo.read", prompt="status")
    assert status == 202, json.dumps(job)
    assert caller.ended(job["job_id"])["state"] == "succeeded"
    caller.close()


def test_the_servers_of_the_containers_write_before_they_confirm(provisioned: Provisioned) -> None:
    """The start-up check of `HOLDGATE_DURABILITY=strict` would refuse them otherwise."""
    home = provisioned.home.path
    nats, redis = (home / "nats.conf").read_text(), (home / "redis.conf").read_text()
    assert "sync_interval: always" in nats
    assert f'store_dir: "{DATA}"' in nats
    assert "appendfsync always" in redis
    assert "maxmemory-policy noeviction" in redis
