"""The shelf of bundles, as far as the API administers it: look, check a candidate, publish a signed one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from holdgate.kernel.ids import Digest, Tenant


@dataclass(frozen=True, slots=True)
class Candidate:
    """A bundle file that somebody brings: under which name, and of which tenant who brings it is.

    `kernels`: what kernels say they decide by, as name, version and digest; no digest of what they dropped.
    """

    name: str
    data: bytes
    tenant: Tenant
    kernels: Sequence[tuple[str, int, Digest | None]] = ()


class BundleShelf(Protocol):
    """Checks with the kernels' own verification function, then publishes. Kernels verify again.

    Everything raises StoreUnavailable and RootUnavailable; what names a bundle BundleNotFound where there is none.
    """

    async def listed(self) -> list[dict[str, Any]]:
        """The newest of each name, by name."""
        ...

    async def described(self, name: str) -> dict[str, Any]:
        """The newest of `name`, and what it says of itself."""
        ...

    async def log(self, name: str) -> list[dict[str, Any]]:
        """What was published as `name`, newest first; bounded by what the store keeps."""
        ...

    async def file(self, name: str, version: int) -> bytes:
        """The bundle file of that version."""
        ...

    async def diff(self, name: str, before: int, after: int) -> dict[str, Any]:
        """What version `after` does otherwise than version `before`, each taken alone."""
        ...

    async def check(self, candidate: Candidate) -> dict[str, Any]:
        """The review of a candidate, and what keeps it from being published; BundleRefused, PolicyInvalid."""
        ...

    async def publish(self, candidate: Candidate, *, publisher: str, accept_widening: bool) -> dict[str, Any]:
        """Publish a candidate that passes its review: what was published; BundleRefused, PolicyInvalid."""
        ...
