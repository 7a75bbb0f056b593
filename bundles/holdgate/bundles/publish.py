"""Publishing: what the kernel will check is checked before, with the same functions, then written to the store.

What always holds: this gives nobody any right; a kernel verifies what it finds, whoever wrote it. What was looked at is
what is written beside: a write to the store in between, of whatever bundle, is a conflict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

from holdgate.bundles.format import parse_bundle
from holdgate.bundles.gone import Seen
from holdgate.bundles.history import Standing, in_thread, renewed, restored, standing
from holdgate.bundles.lint.findings import Scanner
from holdgate.bundles.review import Review, require_publishable, review, verify_candidate
from holdgate.bundles.root import Root
from holdgate.bundles.store import BundleStore, Note
from holdgate.bundles.trusted import TrustedBundle

NATS_PUBLISHER = "nats:"
"""Before the user name of who wrote to the store without the API; the API writes `tenant/actor`."""


class Accept(StrEnum):
    """What the author says of a bundle that allows more than what is in force. All that is new allows more."""

    NOTHING = "nothing"
    FIRST = "first"
    """It is meant where the store is still empty: for whoever sets a system up."""
    WIDENING = "widening"
    """It is meant."""


@dataclass(frozen=True, slots=True)
class Publication:
    """What was published: at which revision, whether a widening was accepted, which older version it brings back.

    `renews`: the version before where that has the same content.
    """

    review: Review
    revision: int
    accepted_widening: bool
    restores: int | None
    renews: int | None

    @property
    def bundle(self) -> TrustedBundle:
        """The bundle."""
        return self.review.bundle

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for the reply and the log of whoever published."""
        reviewed, manifest = self.review, self.bundle.file.manifest
        return {
            "name": manifest.name,
            "version": manifest.version,
            "digest": self.bundle.digest,
            "revision": self.revision,
            "signers": [{"key": key, "author": author} for key, author in reviewed.signers],
            "widens": reviewed.diff.widens,
            "accepted_widening": self.accepted_widening,
            "restores": self.restores,
            "renews": self.renews,
            "tests": len(reviewed.tests.results),
            "findings": [finding.as_dict() for finding in reviewed.findings],
        }


def check_publishable(data: bytes, root: Root, in_force: Mapping[str, bytes], now_ms: int) -> TrustedBundle:
    """The bundle in `data`, once it would be accepted beside the bundles `in_force` (name → file).

    Raises what the kernel would: BundleRefused, PolicyInvalid.
    """
    return verify_candidate(data, root, in_force, now_ms).bundle


async def check(
    store: BundleStore,
    data: bytes,
    root: Root,
    now_ms: int,
    *,
    kernels: Sequence[Seen] = (),
    threads: Executor | None = None,
    scanner: Scanner | None = None,
) -> Review:
    """The review of `data` against what is published; nothing is written. Raises as `review.review`.

    `threads`: what takes long is done there. `scanner`: whom lint asks about detectors.
    """
    _, reviewed = await _reviewed(store, partial(review, scanner=scanner), data, root, now_ms, kernels, threads)
    return reviewed


async def publish(  # noqa: PLR0913  who publishes over NATS knows less than the API
    store: BundleStore,
    data: bytes,
    root: Root,
    now_ms: int,
    *,
    accept: Accept = Accept.NOTHING,
    publisher: str = "",
    kernels: Sequence[Seen] = (),
    threads: Executor | None = None,
    scanner: Scanner | None = None,
) -> Publication:
    """Review `data` against what is published, and what `kernels` say they decide by, and publish it.

    BundleRefused and PolicyInvalid as a kernel would, BundleTestsFailed, BundleLintFailed, BundleWidens;
    BundleConflict when somebody else was faster; StoreUnavailable. `threads` and `scanner` as in `check`.
    """
    seen, reviewed = await _reviewed(store, partial(review, scanner=scanner), data, root, now_ms, kernels, threads)
    accepted = accept is Accept.WIDENING or (accept is Accept.FIRST and seen.is_empty)
    require_publishable(reviewed, widening_accepted=accepted)
    widening = accepted and reviewed.diff.widens
    note = Note(publisher, accepted_widening=widening)
    name = reviewed.bundle.name
    revision = await store.put(name, data, after_revision=seen.newest, unchanged_since=seen.seq, note=note)
    manifest = reviewed.bundle.file.manifest
    return Publication(reviewed, revision, widening, restored(manifest, seen.past), renewed(manifest, seen.past))


async def _reviewed(
    store: BundleStore,
    look: Callable[..., Review],
    data: bytes,
    root: Root,
    now_ms: int,
    kernels: Sequence[Seen],
    threads: Executor | None,
) -> tuple[Standing, Review]:
    name = (await in_thread(threads, parse_bundle, data)).manifest.name
    seen = await standing(store, root, name, threads)
    published = seen.published
    reviewed = await in_thread(threads, look, data, root, published.in_force, now_ms, kernels, published.gone)
    return seen, reviewed
