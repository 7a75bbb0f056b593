"""The trust root as the gates read it: asked for each time, because a new one may have come."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from holdgate.kernel.trust import Trust

TrustInForce: TypeAlias = Callable[[], Trust | None]
"""The verified root in force, None when there is none."""
