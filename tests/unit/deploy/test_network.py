"""NetworkPolicies of the chart: nobody reaches anybody, but who must."""

from __future__ import annotations

import itertools

import pytest

from support.manifests import Document, Manifests, chart_module, chooses

chart = chart_module()
BUNDLED, EXTERNAL = (Manifests.read(chart.RENDERED / values.name) for values in chart.VALUES)
NATS, MONITOR, ROUTES, REDIS, SENTINEL, METRICS, HTTP, DNS = 4222, 8222, 6222, 6379, 26379, 9090, 8081, 53
STATEFUL = ("api", "dispatcher", "output-gate", "auditor", "setup")
NATS_USERS = ("kernel", "api", "dispatcher", "output-gate", "worker", "setup", "publish")
ALLOWED = {
    *((who, "nats", NATS) for who in NATS_USERS),
    *((who, "nats", MONITOR) for who in STATEFUL),
    *((who, "redis", port) for who in STATEFUL for port in (REDIS, SENTINEL)),
    ("nats", "nats", ROUTES),
    ("redis", "redis", REDIS),
    ("redis", "redis", SENTINEL),
}
"""Who may open a connection to whom, on which port."""


def labels_of(manifests: Manifests) -> dict[str, dict[str, str]]:
    return {component: template["metadata"]["labels"] for component, template in manifests.pods()}


def opens(rules: list[Document], side: str, port: int, labels: dict[str, str]) -> bool:
    """Whether one of the rules is about `port`, and about a pod with `labels` in this namespace."""
    for rule in rules:
        if port not in [entry["port"] for entry in rule["ports"]]:
            continue
        if side not in rule or any(
            "podSelector" in peer and chooses(peer["podSelector"], labels) for peer in rule[side]
        ):
            return True
    return False


def policies_for(manifests: Manifests, labels: dict[str, str]) -> list[Document]:
    specs = [document["spec"] for document in manifests.of("NetworkPolicy")]
    return [spec for spec in specs if chooses(spec["podSelector"], labels)]


@pytest.mark.parametrize("manifests", [BUNDLED, EXTERNAL], ids=lambda file: file.name)
def test_every_pod_is_closed_both_ways_before_anything_is_opened(manifests: Manifests) -> None:
    """By the policy for all, which opens names alone; and each has one of its own."""
    for component, labels in labels_of(manifests).items():
        assert len(policies_for(manifests, labels)) == 2, component
        for spec in policies_for(manifests, labels):
            assert spec["policyTypes"] == ["Ingress", "Egress"]
    (default,) = (
        policy["spec"] for policy in manifests.of("NetworkPolicy") if policy["metadata"]["name"].endswith("-default")
    )
    assert "ingress" not in default
    assert [port["port"] for rule in default["egress"] for port in rule["ports"]] == [DNS, DNS]


def test_between_pods_only_what_must_be_is_open() -> None:
    """On both sides: who connects may, and who is connected to lets it in."""
    labels = labels_of(BUNDLED)
    for here, there in itertools.product(labels, labels):
        for port in (NATS, MONITOR, ROUTES, REDIS, SENTINEL):
            out = [rule for spec in policies_for(BUNDLED, labels[here]) for rule in spec.get("egress", ())]
            into = [rule for spec in policies_for(BUNDLED, labels[there]) for rule in spec.get("ingress", ())]
            is_allowed = (here, there, port) in ALLOWED
            assert opens(out, "to", port, labels[there]) is is_allowed, (here, there, port)
            assert opens(into, "from", port, labels[here]) is is_allowed, (here, there, port)
            if (here, there, port) in ALLOWED:
                assert not opens(out, "to", port, {"app": "another"})
                assert not opens(into, "from", port, {"app": "another"})


def test_only_the_api_is_reached_by_callers() -> None:
    for component, labels in labels_of(BUNDLED).items():
        into = [rule for spec in policies_for(BUNDLED, labels) for rule in spec.get("ingress", ())]
        assert opens(into, "from", HTTP, {"app": "caller"}) is (component == "api")


def test_servers_elsewhere_are_reached_where_the_values_say() -> None:
    """And a worker reaches NATS, Redis never."""
    egress = EXTERNAL.policy("dispatcher")["egress"]
    nats, redis, collector = ({"ipBlock": {"cidr": f"192.0.2.{part}"}} for part in ("0/28", "16/28", "32/32"))
    assert [peer for rule in egress for peer in rule["to"]] == [nats, redis, collector]
    assert [peer for rule in EXTERNAL.policy("worker")["egress"] for peer in rule["to"]] == [nats, collector]


def test_who_collects_metrics_is_named() -> None:
    (rule,) = EXTERNAL.policy("kernel")["ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": METRICS}]
    assert rule["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
