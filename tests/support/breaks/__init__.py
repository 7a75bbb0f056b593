"""Everything that can be wrong with a torture, one thing at a time: each breaks a true tale, and says what finds it."""

from __future__ import annotations

from support.breaks import bounding, keeping, recording, releasing, running, showing
from support.breaks.breaking import Break

BROKEN: tuple[Break, ...] = (
    *keeping.BROKEN,
    *running.BROKEN,
    *bounding.BROKEN,
    *releasing.BROKEN,
    *showing.BROKEN,
    *recording.BROKEN,
)
