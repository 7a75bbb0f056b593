"""The Helm chart: what it renders to is current and valid, and no pod may do more than it must."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]  # it has no types
import pytest

from holdgate.scheduler.cli.reference import PROCESSES
from holdgate.scheduler.settings import known_names
from support.manifests import WORKLOADS, Document, Manifests, chart_module, chooses

chart = chart_module()
FILES = [Manifests.read(chart.RENDERED / values.name) for values in chart.VALUES]
BUNDLED, EXTERNAL = FILES
ELSEWHERE = ("PodMonitor", "PrometheusRule")
"""Kinds of the Prometheus operator, which Kubernetes itself does not know."""
OURS = ("kernel", "api", "dispatcher", "output-gate", "auditor", "worker")
every_file = pytest.mark.parametrize("manifests", FILES, ids=lambda file: file.name)


@pytest.mark.parametrize("values", chart.VALUES, ids=lambda file: file.name)
def test_the_rendered_file_is_current_or_make_chart_was_forgotten(values: Path) -> None:
    """Without helm, by the digest of what it was made from."""
    first = (chart.RENDERED / values.name).read_text().partition("\n")[0]
    assert first == chart.MADE.format(name=values.name, digest=chart.digest(values)).strip()


@pytest.mark.skipif(shutil.which("helm") is None, reason="no helm on the PATH; the digest stands for it")
@pytest.mark.parametrize("values", chart.VALUES, ids=lambda file: file.name)
def test_helm_renders_what_is_kept(values: Path) -> None:
    assert chart.render(values) == (chart.RENDERED / values.name).read_text()


@every_file
def test_every_document_is_one_that_kubernetes_knows(manifests: Manifests) -> None:
    """By the schema of its kind, where a name that is not in it is an error."""
    for document in manifests.documents:
        if document["kind"] not in ELSEWHERE:
            kubernetes_validate.validate(document, chart.KUBERNETES, strict=True)


@every_file
def test_no_container_may_do_more_than_it_must(manifests: Manifests) -> None:
    """Not as root, nothing to write to but volumes, no capability, no privilege, no token of Kubernetes."""
    for component, pod, container in manifests.containers():
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False, component
        assert security["privileged"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["runAsNonRoot"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert not [volume for volume in pod["volumes"] if "hostPath" in volume]


@every_file
def test_every_container_is_bounded_and_looked_at(manifests: Manifests) -> None:
    """Requests, a limit of memory, and three probes but for a job that ends by itself."""
    for component, pod, container in manifests.containers():
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}, component
        assert "memory" in container["resources"]["limits"]
        if pod.get("restartPolicy") != "OnFailure":
            assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container), component
            assert pod["topologySpreadConstraints"], component


@every_file
def test_probes_ask_for_what_every_process_answers(manifests: Manifests) -> None:
    """On a port that the container has: whether it lives ends it, whether it is ready does not."""
    for component, _, container in manifests.containers():
        if component in OURS:
            ports = {port["name"] for port in container["ports"]}
            assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
            assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
            assert {
                container[f"{kind}Probe"]["httpGet"]["port"] for kind in ("startup", "liveness", "readiness")
            } <= ports


@every_file
def test_a_pod_has_time_to_end(manifests: Manifests) -> None:
    """Kubernetes kills it no earlier than the process would give up by itself."""
    for component, pod, container in manifests.containers():
        if component in OURS:
            given = environment(container)
            patience = float(given["HOLDGATE_STOP_TIMEOUT_S"]) + float(given.get("HOLDGATE_DRAIN_S", 0))
            assert pod["terminationGracePeriodSeconds"] > patience, component


@every_file
def test_environments_name_settings_of_their_process_only(manifests: Manifests) -> None:
    """A setting that its process does not read would do nothing; one that nobody knows would stop it."""
    kinds = dict(PROCESSES)
    for component, _, container in manifests.containers():
        names = {name for name in environment(container) if name.startswith("HOLDGATE_")}
        assert names <= known_names(), component
        if component in kinds:
            read = {f"HOLDGATE_{field.upper()}" for field in kinds[component].model_fields}
            assert names <= read, component
            missing = [name for name, field in kinds[component].model_fields.items() if field.is_required()]
            assert {f"HOLDGATE_{name.upper()}" for name in missing} <= names, component


@every_file
def test_kubernetes_adds_no_settings(manifests: Manifests) -> None:
    """For a Service `holdgate-api` it would set `HOLDGATE_API_PORT`, and an unknown setting stops the start."""
    for _, template in manifests.pods():
        assert template["spec"]["enableServiceLinks"] is False


@every_file
def test_commands_are_commands_of_holdgate(manifests: Manifests) -> None:
    """The image's entry point is `holdgate`; a pod says with what."""
    commands = {"kernel", "api", "dispatcher", "output-gate", "auditor", "setup", "bundle", "worker"}
    for component, _, container in manifests.containers():
        if component in (*OURS, "setup", "publish"):
            assert "command" not in container
            assert container["args"][0] in commands
            assert component == "publish" or container["args"][0] == component


@every_file
def test_secrets_are_named_and_never_written(manifests: Manifests) -> None:
    """No Secret is made here, and no variable holds one but by reference."""
    assert not list(manifests.of("Secret"))
    for component, _, container in manifests.containers():
        for variable in container["env"]:
            if "PASSWORD" in variable["name"] and not variable["name"].endswith("_FILE"):
                assert variable["value"] == '"$(ROUTES)"', component


@every_file
def test_every_file_that_a_setting_names_is_mounted(manifests: Manifests) -> None:
    """From a volume that exists; a key by itself, because it may not be a link."""
    for component, pod, container in manifests.containers():
        volumes = {volume["name"] for volume in pod["volumes"]} | {"data"}
        mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
        assert {mount["name"] for mount in mounts.values()} <= volumes, component
        for name, value in environment(container).items():
            if name.startswith("HOLDGATE_") and name.endswith(("_FILE", "_DIR")):
                assert value in mounts or str(Path(value).parent) in mounts, (component, name)
            if name in ("HOLDGATE_KEY_FILE", "HOLDGATE_QUARANTINE_KEY_FILE"):
                assert mounts[value]["subPath"], component


@every_file
def test_no_component_mounts_the_secret_of_another(manifests: Manifests) -> None:
    """One Secret, one component; certificates of servers and the root are for all."""
    holders: dict[str, set[str]] = {}
    for component, template in manifests.pods():
        for volume in template["spec"]["volumes"]:
            if volume["name"] == "secret":
                holders.setdefault(volume["secret"]["secretName"], set()).add(component)
    assert holders.pop("holdgate-operator") == {"setup", "publish"} & {name for name, _ in manifests.pods()}
    assert all(len(names) == 1 for names in holders.values())


@every_file
def test_every_pod_that_stays_has_a_budget_of_disruptions(manifests: Manifests) -> None:
    budgets = [document["spec"] for document in manifests.of("PodDisruptionBudget")]
    for component, template in manifests.pods():
        if template["spec"].get("restartPolicy") != "OnFailure":
            labels = template["metadata"]["labels"]
            assert [budget for budget in budgets if chooses(budget["selector"], labels)] != [], component


@every_file
def test_replicas_belong_to_the_autoscaler_where_there_is_one(manifests: Manifests) -> None:
    """An upgrade would put them back otherwise."""
    scaled = {document["spec"]["scaleTargetRef"]["name"] for document in manifests.of("HorizontalPodAutoscaler")}
    for document in manifests.of("Deployment"):
        assert ("replicas" in document["spec"]) is (document["metadata"]["name"] not in scaled)
    assert scaled == (set() if manifests is BUNDLED else {"holdgate-dispatcher", "holdgate-worker"})


def test_what_must_survive_lies_on_a_disk() -> None:
    """A kernel's highest versions, the audit log, what NATS and Redis confirmed."""
    kept = {
        document["metadata"]["name"]
        for document in BUNDLED.of("StatefulSet")
        if document["spec"]["volumeClaimTemplates"][0]["metadata"]["name"] == "data"
    }
    assert kept == {"holdgate-kernel", "holdgate-auditor", "holdgate-nats", "holdgate-redis"}


def test_bundled_servers_write_before_they_confirm() -> None:
    """The start-up check of `HOLDGATE_DURABILITY=strict` would refuse them otherwise."""
    configs = {document["metadata"]["name"]: document["data"] for document in BUNDLED.of("ConfigMap")}
    assert "sync_interval: always" in configs["holdgate-nats"]["nats.conf"]
    for line in ("appendonly yes", "appendfsync always", "maxmemory-policy noeviction"):
        assert line in configs["holdgate-redis"]["redis.conf"].splitlines()


def test_setup_comes_before_processes_only_where_the_servers_do() -> None:
    """As a hook before the install; beside bundled servers a hook would wait for what waits for it."""
    hooks = [job["metadata"].get("annotations", {}).get("helm.sh/hook") for job in BUNDLED.of("Job")]
    assert hooks == [None, None]
    (setup,) = EXTERNAL.of("Job")
    assert setup["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"


def test_names_of_workloads_of_both_files() -> None:
    """So that no test above holds because there is nothing."""
    names = [[document["metadata"]["name"] for document in file.of(*WORKLOADS)] for file in FILES]
    assert [len(found) for found in names] == [10, 7]


def environment(container: Document) -> dict[str, Any]:
    """Variables with a value."""
    return {variable["name"]: variable["value"] for variable in container.get("env", ()) if "value" in variable}
