"""What `holdgate provision --kubernetes` writes is what the chart mounts, and bundled servers take it."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from pathlib import Path

import pytest
import yaml

from holdgate.kernel.clock import SystemClock
from holdgate.scheduler.up.containers import MONITOR_PORT, NATS_PORT, REDIS_PORT
from holdgate.scheduler.up.kubernetes import commands, write_secret_files
from holdgate.scheduler.up.provision import Provisioned, provision
from holdgate.scheduler.up.servers import find_nats_server
from support.manifests import Manifests, chart_module

chart = chart_module()
BUNDLED = Manifests.read(chart.RENDERED / "bundled.yaml")
VALUES = yaml.safe_load((chart.CHART / "values.yaml").read_text())
PATHS = re.compile(r"/run/secrets/(?:holdgate|redis)/([\w.-]+)")


@pytest.fixture(scope="module")
def provisioned(tmp_path_factory: pytest.TempPathFactory) -> Provisioned:
    return provision(tmp_path_factory.mktemp("chart") / "data", SystemClock())


@pytest.fixture(scope="module")
def secrets(provisioned: Provisioned) -> Path:
    """The folder with one of each Secret."""
    return write_secret_files(provisioned)


def config(component: str) -> dict[str, str]:
    """The ConfigMap of a bundled server."""
    (found,) = (map_ for map_ in BUNDLED.of("ConfigMap") if map_["metadata"]["name"] == f"holdgate-{component}")
    return dict(found["data"])


def mounted_keys() -> dict[str, set[str]]:
    """Keys of its Secret that each component names, in settings, mounts or configuration."""
    found: dict[str, set[str]] = {}
    for component, spec, container in BUNDLED.containers():
        whose = "operator" if component in ("setup", "publish") else component
        keys = found.setdefault(whose, set())
        for variable in container.get("env", ()):
            keys |= set(PATHS.findall(variable.get("value", "")))
            reference = variable.get("valueFrom", {}).get("secretKeyRef")
            keys |= {reference["key"]} if reference else set()
        if whose not in ("nats", "redis"):
            keys |= {mount["subPath"] for mount in container["volumeMounts"] if mount.get("subPath")}
        for volume in spec["volumes"]:
            for source in volume.get("projected", {}).get("sources", ()):
                keys |= {item["key"] for item in source.get("secret", {}).get("items", ())}
    found["redis"] |= {key for text in config("redis").values() for key in PATHS.findall(text)}
    return found


def test_every_key_that_is_mounted_is_written_and_every_one_written_is_used(secrets: Path) -> None:
    written = {place.name: {file.name for file in place.iterdir()} for place in secrets.iterdir()}
    assert written == mounted_keys()


def test_every_secret_of_the_values_is_made_by_a_command(provisioned: Provisioned, secrets: Path) -> None:
    """And the two ConfigMaps; each again and again without harm."""
    made = set(re.findall(r"kubectl create (?:secret generic|configmap) (\S+) ", commands(provisioned, secrets)))
    assert made == {*VALUES["secrets"].values(), VALUES["root"]["configMap"], VALUES["publish"]["configMap"]}
    assert f"root.pins: {provisioned.root_pins}" in commands(provisioned, secrets)


def test_no_key_of_root_author_or_quarantine_goes_there(provisioned: Provisioned, secrets: Path) -> None:
    """They are people's. What goes there is readable by its owner only."""
    texts = {file: file.read_text() for file in secrets.rglob("*") if file.is_file()}
    for name in ("root", "author", "quarantine"):
        key = provisioned.home.key_file(name).read_text().strip()
        assert not [file for file, text in texts.items() if key in text]
    assert {stat.S_IMODE(file.stat().st_mode) for file in texts} == {0o600}


def test_a_second_time_gives_the_same(provisioned: Provisioned, secrets: Path) -> None:
    before = {file: file.read_text() for file in secrets.rglob("*") if file.is_file()}
    write_secret_files(provisioned)
    assert {file: file.read_text() for file in secrets.rglob("*") if file.is_file()} == before


def test_nats_takes_its_configuration(secrets: Path, tmp_path: Path) -> None:
    """As the pod has it: the file of the chart beside that of the Secret, variables from the pod."""
    text = config("nats")["nats.conf"].replace('"/data"', f'"{tmp_path}/data"').replace("/tmp/", f"{tmp_path}/")
    (tmp_path / "nats.conf").write_text(text)
    (tmp_path / "accounts.conf").write_text((secrets / "nats" / "accounts.conf").read_text())
    routes = (secrets / "nats" / "routes").read_text()
    (container,) = (container for component, _, container in BUNDLED.containers() if component == "nats")
    given = {one["name"]: one["value"].replace("$(ROUTES)", routes) for one in container["env"] if "value" in one}
    done = subprocess.run(
        [find_nats_server(), "-t", "-c", str(tmp_path / "nats.conf")],
        env={**os.environ, **given, "POD_NAME": "holdgate-nats-0"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_bundled_servers_are_set_as_those_of_up(provisioned: Provisioned) -> None:
    """What bounds them and makes them keep what they confirm; where they listen and lie is the chart's."""
    redis, nats = config("redis")["redis.conf"].split("\n"), config("nats")["nats.conf"].replace("'", '"')
    own = ("bind", "port", "dir", "aclfile", "databases")
    expected = provisioned.redis_config(REDIS_PORT).text().split("\n")
    assert not [line for line in expected if line and line.split()[0] not in own and line not in redis]
    assert "aclfile /run/secrets/redis/redis.users" in redis
    ours = provisioned.nats_config(NATS_PORT, MONITOR_PORT).text().replace("'", '"')
    for line in re.findall(
        r"^ *((?:max_connections|max_payload|max_pending|write_deadline|ping_interval|ping_max|sync_interval): .*)$",
        ours,
        re.MULTILINE,
    ):
        assert line in nats
