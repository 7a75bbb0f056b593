"""The shelf of bundles, as far as the API administers it: look, and publish a signed one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Published:
    """What lies on the shelf now."""

    name: str
    version: int
    digest: str


class BundleShelf(Protocol):
    """Checks with the kernels' own verification function, then publishes. Kernels verify again."""

    async def listed(self) -> list[dict[str, Any]]:
        """What is on the shelf, by name; StoreUnavailable."""
        ...

    async def publish(self, name: str, data: bytes) -> Published:
        """Publish the built and signed bundle `data`; BundleRefused, PolicyInvalid, StoreUnavailable."""
        ...
