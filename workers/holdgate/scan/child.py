"""A process that scans for another one, so that a scan that hangs or eats all memory can be ended without a loss.

Reads frames (four bytes of length, msgpack) from standard input, writes one answer a frame to standard output. The
first frame sets it up; known secrets and the key come only this way, never by arguments or environment. Ends with its
input.
Start it with `python -m holdgate.scan.child`.
"""

from __future__ import annotations

import math
import resource
import struct
import sys
import time
from typing import Any, BinaryIO

from holdgate.kernel import wire
from holdgate.kernel.detectors import Detector
from holdgate.scan import Scanner
from holdgate.scan.custom import Inspectors
from holdgate.scan.engine import Budget
from holdgate.scan.errors import ScanError, ScanIncomplete, ScanTimedOut, ScanTooLong
from holdgate.scan.inspector import REDACTION_SCANS
from holdgate.scan.known import made_by_us
from holdgate.scan.output import Keep, Output

HEAD = struct.Struct(">I")
FRAME_BYTES_MAX = 64 * 1024 * 1024
INSPECT = "inspect"
REDACT = "redact"
OWN_TIME_SHARE = 0.5
"""Of the time of a scan: who had so much of a processor was not kept waiting by others."""


def main() -> int:
    """Serve until standard input ends."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    setup = _read(source)
    if setup is None:
        return 0
    _confine(setup["memory_bytes_max"])
    budget = Budget(seconds=setup["seconds"])
    digests = made_by_us(setup["known_digests"])
    scanner = Scanner(setup["known_secrets"], budget=budget, known_digests=digests, fast=setup["fast"])
    inspectors = Inspectors(scanner, setup["fingerprint_key"], budget)
    _write(sink, {"ready": True})
    while (request := _read(source)) is not None:
        _bound_processor((REDACTION_SCANS if request["op"] == REDACT else 1) * budget.seconds)
        _write(sink, _answer(inspectors, request, OWN_TIME_SHARE * budget.seconds))
    return 0


def _answer(inspectors: Inspectors, request: dict[str, Any], own_seconds: float) -> dict[str, Any]:
    """`own_seconds`: where a scan that ended for want of time had so many of the processor, another ends the same."""
    started = time.process_time()
    if request["op"] == REDACT:
        own_seconds *= REDACTION_SCANS
    output = Output.from_dict(request["output"])
    try:
        inspector = inspectors.of(tuple(map(Detector.from_dict, request["detectors"])))
        if request["op"] == INSPECT:
            return {"inspection": inspector.inspect(output).as_dict()}
        return {"output": inspector.redact(output, Keep.from_dict(request["keep"])).as_dict()}
    except ScanTimedOut as error:
        alone = time.process_time() - started >= own_seconds
        return {"error": ScanTooLong.code if alone else error.code, "message": str(error)}
    except ScanError as error:
        return {"error": error.code, "message": str(error)}
    except MemoryError:
        return {"error": ScanIncomplete.code, "message": "scanning the output takes more memory than it may have"}


def _confine(memory_bytes_max: int) -> None:
    """No more memory than this, and no core file, which would hold what was scanned."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes_max, memory_bytes_max))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _bound_processor(seconds: float) -> None:
    """Killed (SIGXCPU) where it works for longer from now on: in code that does not look at the time itself."""
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time() + seconds), most))


def _read(source: BinaryIO) -> dict[str, Any] | None:
    head = source.read(HEAD.size)
    if len(head) < HEAD.size:
        return None
    body = source.read(HEAD.unpack(head)[0])
    return wire.unpack(body, bytes_max=FRAME_BYTES_MAX)


def _write(sink: BinaryIO, message: dict[str, Any]) -> None:
    body = wire.pack(message)
    sink.write(HEAD.pack(len(body)) + body)
    sink.flush()


if __name__ == "__main__":
    sys.exit(main())
