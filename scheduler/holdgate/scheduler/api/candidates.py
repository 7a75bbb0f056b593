"""Bundles that are not in force, as far as the API has to do with them: tried on what was decided, or shadowed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from holdgate.bundles.replay import Tried
from holdgate.kernel.ids import Tenant
from holdgate.kernel.policy import Policy
from holdgate.scheduler.api.bundles import Candidate


@dataclass(frozen=True, slots=True)
class Shadowed:
    """A candidate that kernels now shadow."""

    name: str
    version: int
    digest: str
    revision: int


class Candidates(Protocol):
    """Everything here may raise BundleRefused, PolicyInvalid and StoreUnavailable."""

    async def tried(self, data: bytes) -> tuple[Tried, Policy | None]:
        """The bundle file `data`, signed or not, on top of what is in force; and the policy in force."""
        ...

    async def start(self, candidate: Candidate) -> Shadowed:
        """Give a signed candidate to kernels to shadow, verified as they will.

        Problem `limited` beyond a few, `bundle_tenant` where it would take the place of another tenant's.
        """
        ...

    async def stop(self, name: str, tenant: Tenant) -> bool:
        """Have it shadowed no more; False where it was not. Problem `bundle_tenant` where it is another tenant's."""
        ...

    async def names(self) -> list[str]:
        """What kernels are to shadow."""
        ...
