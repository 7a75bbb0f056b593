"""What a page of metrics says where several processes share it, of which one scans."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector

from holdgate.scheduler.gates.output import metrics

NAME = "holdgate_output_scanner_failing"


@pytest.mark.parametrize("said", [0.0, 1.0])
def test_a_scanner_that_fails_is_seen_beside_processes_that_scan_nothing(tmp_path: Path, said: float) -> None:
    """Each has every gauge of the modules that it imports, at 0."""
    mode = metrics.SCANNER_FAILING._multiprocess_mode
    for process, value in enumerate((0.0, said, 0.0), start=1):
        file = MmapedDict(str(tmp_path / f"gauge_{mode}_{process}.db"))  # type: ignore[no-untyped-call]
        file.write_value(mmap_key(NAME, NAME, [], [], "…"), value, 0)  # type: ignore[no-untyped-call]
        file.close()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(tmp_path))  # type: ignore[no-untyped-call]
    assert registry.get_sample_value(NAME) == said
