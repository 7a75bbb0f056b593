"""Who scans: this process for small outputs, child processes for large ones.

What always holds: a scan in a child ends in time or the child is killed and the scan is an error; a child that died,
whatever of, takes one scan with it and is replaced; the event loop never waits for a scan.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

import structlog

from holdgate.kernel import wire
from holdgate.kernel.detectors import Detector
from holdgate.kernel.ids import Tenant
from holdgate.scan import Scanner
from holdgate.scan.child import FRAME_BYTES_MAX, HEAD, INSPECT, REDACT
from holdgate.scan.custom import Inspectors
from holdgate.scan.engine import Budget
from holdgate.scan.errors import (
    EngineFailed,
    RedactionIncomplete,
    RulesInvalid,
    ScanError,
    ScanIncomplete,
    ScanTimedOut,
    ScanTooLong,
    Unscannable,
)
from holdgate.scan.inspector import REDACTION_SCANS
from holdgate.scan.known import made_by_us
from holdgate.scan.output import Inspection, Keep, Output
from holdgate.scheduler.gates.output import metrics
from holdgate.scheduler.gates.turns import FairTurns

_BY_CODE: dict[str, type[ScanError]] = {
    error.code: error
    for error in (
        EngineFailed,
        RedactionIncomplete,
        RulesInvalid,
        ScanIncomplete,
        ScanTimedOut,
        ScanTooLong,
        Unscannable,
    )
}
T = TypeVar("T")
log = structlog.get_logger(__name__)
Detectors: TypeAlias = tuple[Detector, ...]
ENDED_S = 1.0
"""How long whoever has closed its output may take to be gone."""
_NOBODY = Tenant("")
_ARGV = (sys.executable, "-m", "holdgate.scan.child")


class ScannerDied(ScanError):
    """the process that scanned the output died"""

    code = "scanner_died"


class ScanFault(ScanError):
    """the scanner failed in a way that nobody thought of"""

    code = "scan_fault"


@dataclass(frozen=True, slots=True)
class ScanSettings:
    """How outputs are scanned. `known_secrets` and `fingerprint_key` stay in memory and do not print.

    `here_bytes_max`: larger outputs go to a child, and so do those that take longer than `here_seconds` here; those
    that come after a batch has taken `batch_seconds` wait with them. `seconds`: time of one scan, of which a redaction
    takes two; a child that takes `grace_s` longer is killed. `children`: processes at most, started when first needed,
    ended after `idle_s` without work. `fast`: with hyperscan beside RE2. Without a `fingerprint_key` a random one
    serves: fingerprints then compare within one run of the gate and with nothing else.
    """

    known_secrets: tuple[bytes, ...] = ()
    fingerprint_key: bytes = field(default_factory=lambda: os.urandom(32))
    here_bytes_max: int = 64 * 1024
    here_seconds: float = 0.1
    batch_seconds: float = 1.0
    seconds: float = 5.0
    grace_s: float = 2.0
    start_s: float = 20.0
    children: int = 2
    idle_s: float = 60.0
    memory_bytes_max: int = 1024 * 1024 * 1024
    fast: bool = False
    known_digests: frozenset[str] = frozenset()
    """Of secrets that were made for others: see `made_by_us`."""

    def __repr__(self) -> str:
        return "ScanSettings(...)"


class OutputScanners:
    """Inspects and redacts, each output where it belongs. Raises ScanError, never returns a guess.

    `scanner`: one that the process has already; it knows the same secrets.
    """

    def __init__(self, settings: ScanSettings, *, argv: Sequence[str] = _ARGV, scanner: Scanner | None = None) -> None:
        self._settings = settings
        self._argv = argv
        budget = Budget(seconds=settings.here_seconds)
        if scanner is None:
            digests = made_by_us(settings.known_digests)
            scanner = Scanner(settings.known_secrets, budget=budget, known_digests=digests, fast=settings.fast)
        self._here = Inspectors(scanner, settings.fingerprint_key, budget)
        self._idle: dict[_Child, asyncio.TimerHandle] = {}
        self._turns = FairTurns(settings.children)
        self._children: set[_Child] = set()

    def check(self) -> None:
        """EngineFailed where the pattern engine does not work here; costs no memory that a scan would not."""
        try:
            Scanner(rules=()).scan_raw("any text")
        except ScanError:
            metrics.SCANNER_FAILING.set(1)
            raise
        metrics.SCANNER_FAILING.set(0)

    def is_well(self) -> bool:
        """Whether the engine here answers for an ordinary text, with all of its rules."""
        try:
            self._here.of().inspect(Output(logs=("any text",)))
        except ScanError:
            return False
        return True

    def is_small(self, output: Output) -> bool:
        """Whether this process scans it. What is in a file may be a thousand times its size."""
        return not output.artifacts and output.size() <= self._settings.here_bytes_max

    async def inspect_small(
        self, outputs: Sequence[Output], detectors: Sequence[Detectors]
    ) -> list[Inspection | ScanError]:
        """What is in each of several small outputs, or why that cannot be said, in order.

        `detectors`: for each, those of bundles that look at it beside the built-in ones. ScanTimedOut is no word on an
        output here: its time, or the batch's, is over, and `inspect` tells.
        """
        pairs = list(zip(outputs, detectors, strict=True))
        found = await asyncio.to_thread(self._inspected_all, pairs)
        metrics.SCAN_BYTES.inc(sum(output.size() for output in outputs))
        if found:
            _note(next((each for each in found if _is_ours(each)), None))
        return found

    async def inspect(self, output: Output, detectors: Detectors = (), tenant: Tenant = _NOBODY) -> Inspection:
        """What is in one output, of `tenant`."""
        if self.is_small(output):
            with contextlib.suppress(ScanTimedOut):
                return await asyncio.to_thread(lambda: _guarded(lambda: self._here.of(detectors).inspect(output)))
        metrics.SCAN_BYTES.inc(output.size())
        request = {"op": INSPECT, "output": output.as_dict(), "detectors": _packed(detectors)}
        answer = await self._ask(request, tenant)
        return Inspection.from_dict(answer["inspection"])

    async def redact(self, output: Output, keep: Keep, detectors: Detectors = (), tenant: Tenant = _NOBODY) -> Output:
        """One output without what was found in it, but for what to keep."""
        if self.is_small(output):
            with contextlib.suppress(ScanTimedOut):
                return await asyncio.to_thread(lambda: _guarded(lambda: self._here.of(detectors).redact(output, keep)))
        request = {"op": REDACT, "output": output.as_dict(), "keep": keep.as_dict(), "detectors": _packed(detectors)}
        return Output.from_dict((await self._ask(request, tenant))["output"])

    async def close(self) -> None:
        """End the children; idempotent."""
        for child in list(self._children):
            await self._end(child)

    def _inspected_all(self, pairs: Sequence[tuple[Output, Detectors]]) -> list[Inspection | ScanError]:
        until = time.monotonic() + self._settings.batch_seconds
        return [
            self._inspected(output, custom) if time.monotonic() < until else ScanTimedOut() for output, custom in pairs
        ]

    def _inspected(self, output: Output, detectors: Detectors) -> Inspection | ScanError:
        try:
            with metrics.SCAN_SECONDS.time():
                return _guarded(lambda: self._here.of(detectors).inspect(output))
        except ScanError as error:
            return error

    async def _ask(self, request: dict[str, Any], tenant: Tenant) -> dict[str, Any]:
        with metrics.SCAN_SECONDS.time():
            try:
                async with self._child(tenant) as child:
                    scans = REDACTION_SCANS if request["op"] == REDACT else 1
                    answer = await child.exchange(request, scans * self._settings.seconds + self._settings.grace_s)
                if "error" in answer:
                    raise _BY_CODE.get(answer["error"], ScanError)(answer.get("message"))
            except ScanError as error:
                _note(error)
                raise
        _note(None)
        return answer

    @contextlib.asynccontextmanager
    async def _child(self, tenant: Tenant) -> AsyncIterator[_Child]:
        async with self._turns.turn(tenant):
            child = self._recalled() if self._idle else await self._started()
            try:
                yield child
            except BaseException:
                # Its answer may still be on its way, or never come: nobody may take it for the next one's.
                metrics.SCANNER_RESTARTS.inc()
                await self._end(child)
                raise
            loop = asyncio.get_running_loop()
            self._idle[child] = loop.call_later(self._settings.idle_s, self._retire, child)

    def _recalled(self) -> _Child:
        """The one that worked last, so that the others may leave."""
        child, leaves = self._idle.popitem()
        leaves.cancel()
        return child

    async def _started(self) -> _Child:
        settings = self._settings
        try:
            process = await asyncio.create_subprocess_exec(
                *self._argv, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
            )
        except OSError as error:
            raise ScannerDied(f"a scanner process could not be started: {type(error).__name__}") from error
        child = _Child(process)
        self._children.add(child)
        try:
            await child.exchange(
                {
                    "known_secrets": list(settings.known_secrets),
                    "known_digests": sorted(settings.known_digests),
                    "fingerprint_key": settings.fingerprint_key,
                    "seconds": settings.seconds,
                    "memory_bytes_max": settings.memory_bytes_max,
                    "fast": settings.fast,
                },
                settings.start_s,
            )
        except BaseException:
            await self._end(child)
            raise
        return child

    def _retire(self, child: _Child) -> None:
        """It ends by itself, and gives its memory back."""
        del self._idle[child]
        self._children.discard(child)
        child.dismiss()

    async def _end(self, child: _Child) -> None:
        self._children.discard(child)
        if (leaves := self._idle.pop(child, None)) is not None:
            leaves.cancel()
        await child.end()


def _guarded(work: Callable[[], T]) -> T:
    """What `work` gives. Whatever else than a ScanError it raises is a ScanFault."""
    try:
        return work()
    except ScanError:
        raise
    except Exception as error:  # a fault of ours in one output must not keep the others from their verdicts
        log.exception("an output was not scanned", action="scan_fault")
        raise ScanFault(type(error).__name__) from error


def _note(result: object) -> None:
    """Into the metric that says whether scans run."""
    metrics.SCANNER_FAILING.set(1 if _is_ours(result) else 0)


def _is_ours(result: object) -> bool:
    """Whether the scanner is at fault: a text that cannot be scanned is not."""
    return isinstance(result, EngineFailed | RulesInvalid | ScannerDied)


def _packed(detectors: Detectors) -> list[dict[str, Any]]:
    return [detector.as_dict() for detector in detectors]


class _Child:
    """One scanner process; one exchange at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def exchange(self, request: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """The answer; ScanTimedOut when it takes longer, ScannerDied and ScanTooLong when it does not come."""
        body = wire.pack(request)
        source, sink = self._process.stdout, self._process.stdin
        if source is None or sink is None:
            raise ScannerDied
        try:
            async with asyncio.timeout(timeout_s):
                sink.write(HEAD.pack(len(body)) + body)
                await sink.drain()
                (length,) = HEAD.unpack(await source.readexactly(HEAD.size))
                return wire.unpack(await source.readexactly(length), bytes_max=FRAME_BYTES_MAX)
        except TimeoutError as error:
            raise ScanTimedOut from error
        except (OSError, asyncio.IncompleteReadError) as error:
            # It ended by itself: a signal to who has ended already would take away how.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ENDED_S):
                    await self._process.wait()
            await self.end()
            # The system ends who works for longer than a scan may (`holdgate.scan.child`).
            too_long = self._process.returncode == -signal.SIGXCPU
            raise (ScanTooLong if too_long else ScannerDied) from error

    def dismiss(self) -> None:
        """Close its input, with which it ends."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    async def end(self) -> None:
        """Kill it and wait for its end; idempotent."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        await self._process.wait()
