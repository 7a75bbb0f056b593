"""Scanners of outputs: what a scan may cost ends it, and takes nothing but that scan along."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from holdgate.kernel.ids import Tenant
from holdgate.scan.child import INSPECT, _answer
from holdgate.scan.custom import Inspectors
from holdgate.scan.engine import Budget
from holdgate.scan.errors import ScanIncomplete, ScanTimedOut, ScanTooLong
from holdgate.scan.output import Inspection, Output
from holdgate.scan.scanner import Scanner
from holdgate.scheduler.gates.output.scanners import OutputScanners, ScannerDied, ScanSettings

MB = 1024 * 1024
CHILDREN_ONLY = {"here_bytes_max": 0, "children": 1}


async def bounds_of_a_child() -> tuple[int, int]:
    """Bytes of address space, when it is ready; seconds of a processor that it may take."""
    scanners = OutputScanners(ScanSettings(**CHILDREN_ONLY))
    try:
        await scanners.inspect(Output(b"1"))
        (child,) = scanners._children
        status, bounds = [
            await asyncio.to_thread(Path(f"/proc/{child._process.pid}/{name}").read_text)
            for name in ("status", "limits")
        ]
    finally:
        await scanners.close()
    size, seconds = re.search(r"VmSize:\s+(\d+) kB", status), re.search(r"Max cpu time\s+(\d+)", bounds)
    assert size is not None
    assert seconds is not None, "a scan that does not look at the time would never end by itself"
    return int(size.group(1)) * 1024, int(seconds.group(1))


async def test_an_output_that_takes_too_much_memory_takes_its_scan_along_and_nothing_else() -> None:
    """A megabyte of empty lists is forty, parsed; the next output is scanned."""
    size, seconds = await bounds_of_a_child()
    assert seconds <= 10
    limit = size + 16 * MB
    scanners = OutputScanners(ScanSettings(**CHILDREN_ONLY, memory_bytes_max=limit))
    try:
        with pytest.raises(ScanIncomplete, match="more memory"):
            await scanners.inspect(Output(b"[" + b"[]," * 400_000 + b"1]"))
        assert (await scanners.inspect(Output(b'["next"]'))).total == 0
    finally:
        await scanners.close()


async def test_a_scanner_without_work_ends_and_another_takes_the_next_output() -> None:
    """Its memory is for other things."""
    scanners = OutputScanners(ScanSettings(**CHILDREN_ONLY, idle_s=0.0))
    try:
        assert (await scanners.inspect(Output(b"1"))).total == 0
        (first,) = scanners._children
        assert await asyncio.wait_for(first._process.wait(), 20) == 0, "nobody killed it"
        assert not scanners._children
        assert (await scanners.inspect(Output(b"2"))).total == 0
        (second,) = scanners._children
        assert second is not first
    finally:
        await scanners.close()


@pytest.mark.parametrize(("own_seconds", "code"), [(0.0, ScanTooLong.code), (60.0, ScanTimedOut.code)])
def test_who_used_up_the_time_of_a_scan_alone_is_not_scanned_again(own_seconds: float, code: str) -> None:
    """Who was kept waiting by others is: the processor's time tells the two apart."""
    budget = Budget(seconds=0.0)
    inspectors = Inspectors(Scanner(budget=budget), b"k" * 32, budget)
    request = {"op": INSPECT, "output": Output(b'"text"').as_dict(), "detectors": []}
    assert _answer(inspectors, request, own_seconds)["error"] == code


async def test_scanners_are_taken_in_turn_by_tenants(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many large outputs one of them has, another's waits for two."""
    order: list[str] = []

    class Instant:
        async def exchange(self, request: dict[str, Any], _: float) -> dict[str, Any]:
            order.append(request["output"]["logs"][0])
            await asyncio.sleep(0)
            return {"inspection": Inspection().as_dict()}

    async def started(_: OutputScanners) -> Instant:
        return Instant()

    monkeypatch.setattr(OutputScanners, "_started", started)
    scanners = OutputScanners(ScanSettings(**CHILDREN_ONLY))
    sent = ("a1", "a2", "a3", "b1")
    await asyncio.gather(*(scanners.inspect(Output(logs=(code,)), (), Tenant(code[0])) for code in sent))
    assert order == ["a1", "a2", "b1", "a3"]
    (leaves,) = scanners._idle.values()
    await scanners.inspect(Output(logs=("b2",)), (), Tenant("b"))
    assert leaves.cancelled(), "it has work again, and stays"


async def test_a_child_that_used_up_the_time_of_its_processor_scanned_too_long() -> None:
    """It is not tried again, as it would be where the child died of something else."""
    code = "import os, signal; os.kill(os.getpid(), signal.{})"
    for name, error in (("SIGXCPU", ScanTooLong), ("SIGSEGV", ScannerDied)):
        scanners = OutputScanners(ScanSettings(**CHILDREN_ONLY), argv=(sys.executable, "-Sc", code.format(name)))
        with pytest.raises(error):
            await scanners.inspect(Output(b"1"))
