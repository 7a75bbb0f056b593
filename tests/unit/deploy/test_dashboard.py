"""The Grafana dashboard: it asks for metrics that exist, of whichever Prometheus is chosen."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from support.blocks import ROOT
from support.promql import known_metrics, labels_in, metrics_in, recorded

FILE = ROOT / "deploy" / "grafana" / "holdgate.json"
DASHBOARD: dict[str, Any] = json.loads(FILE.read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
ROWS = {
    "At a glance", "Decisions", "Queue and fairness", "Latency", "Gates and fail-closed states", "Output verdicts",
    "Quarantine", "Approvals", "Recovery and audit", "Processes",
}  # fmt: skip
ADDED = {"instance", "job", "namespace"}


def expressions() -> Iterator[str]:
    """Of all panels."""
    return (target["expr"] for panel in PANELS for target in panel.get("targets", ()))


def sources(part: Any) -> Iterator[Any]:
    """Every data source that a part of it names."""
    if isinstance(part, dict):
        for name, value in part.items():
            if name == "datasource":
                yield value
            yield from sources(value)
    elif isinstance(part, list):
        for value in part:
            yield from sources(value)


def test_it_has_a_row_for_each_thing_that_operators_ask_about() -> None:
    assert {panel["title"] for panel in PANELS if panel["type"] == "row"} == ROWS


def test_every_metric_and_label_exists() -> None:
    """A panel that asks for another stays empty, and looks like calm."""
    known = known_metrics()
    for expression in expressions():
        named = metrics_in(expression)
        assert named or expression.startswith("count(ALERTS"), expression
        assert named <= set(known) | recorded()
        for metric, label in labels_in(expression):
            assert label in known[metric] | ADDED, (metric, label)


def test_it_asks_the_data_source_that_is_chosen() -> None:
    """One variable, in every panel and every query; so it can be provisioned as it is."""
    (variable,) = (variable for variable in DASHBOARD["templating"]["list"] if variable["type"] == "datasource")
    assert variable["name"] == "datasource"
    assert variable["query"] == "prometheus"
    assert list(sources(DASHBOARD)).count(SOURCE) == len(list(sources(DASHBOARD)))
    assert all(panel["type"] == "row" or panel["targets"] for panel in PANELS)


def test_every_query_keeps_to_the_chosen_namespace() -> None:
    for expression in expressions():
        assert expression.count('namespace=~"$namespace"') == len(re.findall(r"\{[^}]*\}", expression)), expression


def test_it_leads_nowhere_else_and_overlaps_nothing() -> None:
    assert "://" not in FILE.read_text()
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
