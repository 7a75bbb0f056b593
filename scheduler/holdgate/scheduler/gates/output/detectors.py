"""What outputs are looked at with beside the built-in detectors: those of bundles, as the kernel hands them out.

What always holds: a set is known by the snapshot that it is of; of a snapshot that nobody told of there is none, so
whoever needs one asks the kernel or goes without a verdict.
"""

from __future__ import annotations

from collections import OrderedDict

from holdgate.kernel.client import KernelClient
from holdgate.kernel.detectors import DetectorSet
from holdgate.kernel.ids import Digest

KEPT_MAX = 4
"""Sets that are kept: while a policy changes, kernels answer under the old snapshot and under the new one."""


class DetectorSets:
    """The sets of the latest snapshots."""

    def __init__(self, kernel: KernelClient) -> None:
        self._kernel = kernel
        self._sets: OrderedDict[Digest, DetectorSet] = OrderedDict()

    async def current(self) -> DetectorSet:
        """Of the snapshot that kernels announced last. KernelUnavailable when it has to be asked for in vain."""
        heard = self._kernel.snapshot
        known = None if heard is None else self._sets.get(heard.snapshot)
        return await self._asked() if known is None else known

    async def under(self, snapshot: Digest) -> DetectorSet:
        """Of `snapshot`, or of the one that the kernel that answers is under. KernelUnavailable as above."""
        known = self._sets.get(snapshot)
        return await self._asked() if known is None else known

    async def _asked(self) -> DetectorSet:
        found = await self._kernel.detectors()
        self._sets[found.snapshot] = found
        self._sets.move_to_end(found.snapshot)
        if len(self._sets) > KEPT_MAX:
            self._sets.popitem(last=False)
        return found
