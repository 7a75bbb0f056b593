"""What the Helm chart renders to, as the repository keeps it."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from support.blocks import ROOT

Document = dict[str, Any]
WORKLOADS = ("Deployment", "StatefulSet", "Job")


def chart_module() -> ModuleType:
    """`deploy/helm/chart.py`."""
    spec = importlib.util.spec_from_file_location("chart", ROOT / "deploy" / "helm" / "chart.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Manifests:
    """The documents of one rendered file."""

    name: str
    documents: tuple[Document, ...]

    @classmethod
    def read(cls, file: Path) -> Manifests:
        """A file with several documents."""
        documents = yaml.load_all(file.read_text(), Loader=yaml.CSafeLoader)
        return cls(file.name, tuple(document for document in documents if document))

    def of(self, *kinds: str) -> Iterator[Document]:
        """Those of some kinds."""
        return (document for document in self.documents if document["kind"] in kinds)

    def pods(self) -> Iterator[tuple[str, Document]]:
        """Component and template of every pod."""
        for document in self.of(*WORKLOADS):
            template = document["spec"]["template"]
            yield template["metadata"]["labels"]["app.kubernetes.io/component"], template

    def containers(self) -> Iterator[tuple[str, Document, Document]]:
        """Component, the pod's spec and the container, for every container."""
        for component, template in self.pods():
            spec = template["spec"]
            for container in (*spec["containers"], *spec.get("initContainers", ())):
                yield component, spec, container

    def policy(self, component: str) -> Document:
        """The NetworkPolicy of a component."""
        (found,) = (
            document["spec"]
            for document in self.of("NetworkPolicy")
            if document["spec"]["podSelector"]["matchLabels"].get("app.kubernetes.io/component") == component
        )
        return dict(found)


def chooses(selector: Document, labels: dict[str, str]) -> bool:
    """Whether a label selector with `matchLabels` alone chooses a pod."""
    assert set(selector) <= {"matchLabels"}
    return bool(selector.get("matchLabels", {}).items() <= labels.items())
