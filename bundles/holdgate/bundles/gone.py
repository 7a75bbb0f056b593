"""What a review makes of bundles that were in force, or may have been, and do not hold any more. No IO.

A bundle goes when its author's key is taken out of the root, or when its file is lost; kernels that had it deny
everything in its scope, others know nothing of it. What always holds: where store and kernels do not agree on what is
in force, what a candidate would open in either case is told as a widening.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from holdgate.bundles.dropped import DROPPED_ID, closing_rules
from holdgate.bundles.root import Scope
from holdgate.bundles.trusted import TrustedBundle
from holdgate.kernel.ids import Digest
from holdgate.kernel.rules import BundleRules


@dataclass(frozen=True, slots=True)
class Gone:
    """A stored file that does not count any more, or does not hold, and may be in force or have been.

    `scope`: None, which is everything, where it is not sure.
    """

    version: int
    code: str
    scope: Scope | None

    def beside(self, other: Gone | None) -> Gone:
        """One for both: the higher version, and a scope only where they agree."""
        if other is None:
            return self
        highest = max(self, other, key=lambda gone: gone.version)
        return Gone(highest.version, highest.code, self.scope if self.scope == other.scope else None)


@dataclass(frozen=True, slots=True)
class Seen:
    """A bundle that a kernel decides by, as the kernel says; without `digest` one that it dropped."""

    name: str
    version: int
    digest: Digest | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """All that is known of one name: the file `held` here, one that is `gone`, and what kernels have `seen`."""

    name: str
    held: TrustedBundle | None
    gone: Gone | None
    seen: Sequence[Seen]

    @classmethod
    def of_each(
        cls, held: Mapping[str, TrustedBundle], gone: Mapping[str, Gone], seen: Iterable[Seen]
    ) -> dict[str, Trace]:
        """By name, of all that is named anywhere."""
        by_name: dict[str, list[Seen]] = {}
        for item in seen:
            by_name.setdefault(item.name, []).append(item)
        names = sorted({*held, *gone, *by_name})
        return {name: cls(name, held.get(name), gone.get(name), by_name.get(name, ())) for name in names}

    @property
    def version(self) -> int:
        """Of what is held here; 0 where nothing is."""
        return 0 if self.held is None else self.held.floor.version

    @property
    def is_decided_by(self) -> bool:
        """Whether a kernel says that it decides by what is held here."""
        return self.held is not None and any(item.digest == self.held.digest for item in self.seen)

    @property
    def dropped(self) -> list[Seen]:
        """What kernels dropped, unless a later version is held here, which they will find."""
        return [item for item in self.seen if item.digest is None and item.version >= self.version]

    @property
    def ahead(self) -> Seen | None:
        """The highest version that kernels decide by and that is not held here."""
        found = [item for item in self.seen if item.digest is not None and item.version > self.version]
        return max(found, key=lambda item: item.version, default=None)

    @property
    def is_replaced(self) -> bool:
        """Whether something may have taken the place of what is held here, and no kernel says otherwise."""
        return self.gone is not None and self.gone.version >= self.version and not self.is_decided_by

    @property
    def is_in_doubt(self) -> bool:
        """Whether what is held here may be in force nowhere."""
        return self.held is not None and (self.is_replaced or (bool(self.dropped) and not self.is_decided_by))

    @property
    def why_unsure(self) -> str | None:
        """Why nobody can tell what this bundle does in kernels; None where that can be told."""
        if self.gone is not None and self.ahead is not None:
            return (
                f"kernels decide by version {self.ahead.version}, which does not hold here ({self.gone.code}): "
                "have API and kernels at one root and one release"
            )
        if self.gone is not None and self.held is not None and self.is_replaced and not self.dropped:
            return (
                f"version {self.gone.version} does not count here ({self.gone.code}), and no kernel says "
                f"that it decides by version {self.version}"
            )
        return None

    def closing(self, digest: Digest) -> BundleRules | None:
        """What kernels may deny until the candidate with `digest` takes this name; None where that is nothing."""
        is_behind = any(item.digest not in (None, digest) and item.version > self.version for item in self.seen)
        if not (self.is_replaced or self.dropped or is_behind):
            return None
        rules = closing_rules(self.name, None if is_behind else self._scope())
        # Beside what is held here, since either may be what a kernel has.
        return replace(rules, name=f"{DROPPED_ID}{self.name}")

    def _scope(self) -> Scope | None:
        """The scope that kernels closed, where all that is known says the same."""
        known = {} if self.held is None else {self.version: self.held.file.manifest.scope}
        scopes: list[Scope | None] = [known.get(item.version) for item in self.dropped]
        if self.gone is not None:
            scopes = [
                self.gone.scope if item.version == self.gone.version else known.get(item.version)
                for item in self.dropped
            ]
            scopes.append(self.gone.scope)
        return scopes[0] if all(scope == scopes[0] for scope in scopes) else None
