"""What the store holds, read with a root in hand: which files count, what is in force, who published what and when.

What always holds: a file counts if it has the name it lies under and enough authors of the root signed it; of those
that count and hold beside the others the one of the highest version is in force, whatever was written last, as it is
for a kernel that saw them all. Files that do not count are shown with the reason, never hidden, and none of them keeps
the others from being read, whatever is in it. At most HISTORY files a name, one at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ParamSpec, TypeVar

from holdgate.bundles.errors import BundleNotFound, BundleRefused
from holdgate.bundles.format import BundleFile, parse_bundle
from holdgate.bundles.gone import Gone
from holdgate.bundles.manifest import Manifest
from holdgate.bundles.root import Root, authors_of
from holdgate.bundles.store import BundleStore, StoredBundle
from holdgate.bundles.trusted import TrustedSet, verify_signatures
from holdgate.kernel.clock import rfc3339
from holdgate.kernel.errors import HoldgateError
from holdgate.kernel.ids import Digest

P = ParamSpec("P")
T = TypeVar("T")

OF_ONE_VERSION = {"version", "valid_from", "expires"}
"""What a rollback changes; the rest of a manifest, with the hashes of all files, it restores."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file that was published; `problem` is the code of what is wrong with it, None where it counts.

    `signers` are fingerprint and author name of those whose signature counts. `restores` is the older version that it
    brings back, `renews` the version before where it has the same content. `is_signed`: by anybody. Without a
    `manifest` it is no bundle file at all.
    """

    stored: StoredBundle
    problem: str | None = None
    manifest: Manifest | None = None
    digest: Digest | None = None
    signers: tuple[tuple[str, str], ...] = ()
    restores: int | None = None
    renews: int | None = None
    is_signed: bool = False

    @property
    def version(self) -> int:
        """Its version; 0 where it is no bundle file."""
        return 0 if self.manifest is None else self.manifest.version

    def as_dict(self) -> dict[str, Any]:
        """Plain values: a row of the log."""
        return {
            "name": self.stored.name,
            "version": self.version or None,
            "digest": self.digest,
            "revision": self.stored.revision,
            "published_at": rfc3339(self.stored.published_ms),
            "publisher": self.stored.note.publisher or None,
            "accepted_widening": self.stored.note.accepted_widening,
            "signers": [{"key": key, "author": author} for key, author in self.signers],
            "expires": None if self.manifest is None else self.manifest.expires,
            "restores": self.restores,
            "renews": self.renews,
            "problem": self.problem,
        }

    def described(self) -> dict[str, Any]:
        """The same, and what the bundle says of itself."""
        if self.manifest is None:
            return self.as_dict()
        return {
            **self.as_dict(),
            "description": self.manifest.description,
            "scope": self.manifest.scope.model_dump(mode="json"),
            "valid_from": self.manifest.valid_from,
            "grace": self.manifest.grace,
            "files": [entry.model_dump(mode="json") for entry in self.manifest.files],
            "rules": list(self.manifest.rules),
            "tests": list(self.manifest.tests),
        }


@dataclass(frozen=True, slots=True)
class Published:
    """What of a store counts and holds, by name, and what above it does not, and may be in force or have been."""

    in_force: Mapping[str, bytes] = field(default_factory=dict)
    gone: Mapping[str, Gone] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Standing:
    """The store at one moment: `seq` names it.

    `past` is what was published under the name looked at, oldest first, and `newest` the revision of its last file,
    None where there is none.
    """

    seq: int
    newest: int | None
    published: Published
    past: tuple[Entry, ...]

    @property
    def in_force(self) -> Mapping[str, bytes]:
        """The files in force, by name."""
        return self.published.in_force

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever published that is still kept."""
        return not self.in_force and not self.published.gone and not self.past


async def in_thread(threads: Executor | None, work: Callable[P, T], *given: P.args, **more: P.kwargs) -> T:
    """What `work` returns, run off the event loop: by `threads`, or where everybody's work is."""
    return await asyncio.get_running_loop().run_in_executor(threads, partial(work, *given, **more))


async def standing(store: BundleStore, root: Root, name: str, threads: Executor | None = None) -> Standing:
    """What is in force, and all that was published as `name`. StoreUnavailable."""
    revisions = await store.revisions()
    seq = revisions.pop("")
    newest = await store.get(name) if name in revisions else None
    read = {other: await _read(store, root, other, threads) for other in sorted({*revisions, name})}
    published = await _published(store, root, read, threads)
    return Standing(seq, None if newest is None else newest.revision, published, read[name].entries)


async def published_of(
    store: BundleStore, root: Root, names: Sequence[str], threads: Executor | None = None
) -> Published:
    """What counts of `names`, each looked at in all that is kept of it, removed or not. StoreUnavailable."""
    read = {name: await _read(store, root, name, threads) for name in sorted(names)}
    return await _published(store, root, read, threads)


async def newest_of_each(store: BundleStore, root: Root) -> list[Entry]:
    """What lies in the store now, by name. StoreUnavailable."""
    names = sorted(name for name in await store.revisions() if name)
    stored = [bundle for name in names if (bundle := await store.get(name)) is not None]
    return [await asyncio.to_thread(entry_of, bundle, root) for bundle in stored]


async def log_of(store: BundleStore, root: Root, name: str) -> tuple[Entry, ...]:
    """What was published as `name`, newest first. BundleNotFound where nothing was; StoreUnavailable."""
    past = (await _read(store, root, name, None)).entries
    if not past:
        raise BundleNotFound(f"nothing was published as `{name}`; `holdgate bundle list` shows what was")
    return past[::-1]


async def file_of(store: BundleStore, root: Root, name: str, version: int) -> tuple[Entry, bytes]:
    """The file of a version that counts, and where none does, the newest that says it is. BundleNotFound."""
    found: tuple[Entry, bytes] | None = None
    async for stored in store.history(name):
        entry = await asyncio.to_thread(entry_of, stored, root)
        if entry.version == version and (found is None or entry.problem is None or found[0].problem is not None):
            found = entry, stored.data
    if found is None:
        raise BundleNotFound(f"there is no version {version} of `{name}`; `holdgate bundle log {name}` shows which are")
    return found


def entry_of(stored: StoredBundle, root: Root) -> Entry:
    """What a stored file is, under `root`; whoever wrote it, no other file is kept from being read."""
    try:
        return _entry_of(stored, root)
    except HoldgateError as error:
        return Entry(replace(stored, data=b""), error.code)
    except Exception:  # noqa: BLE001  anybody may have written it, and what is not understood does not count
        return Entry(replace(stored, data=b""), HoldgateError.code)


def _entry_of(stored: StoredBundle, root: Root) -> Entry:
    """The entry keeps none of the file's bytes."""
    file = parse_bundle(stored.data)
    entry = Entry(
        replace(stored, data=b""), manifest=file.manifest, digest=file.digest, is_signed=bool(file.signatures)
    )
    try:
        signers = _verified_signers(stored.name, file, root)
    except BundleRefused as error:
        return replace(entry, problem=error.code)
    return replace(entry, signers=tuple(authors_of(signers, root)))


def _verified_signers(name: str, file: BundleFile, root: Root) -> tuple[str, ...]:
    if file.manifest.name != name:
        raise BundleRefused(f"stored as `{name}`, named otherwise", code="bundle_name")
    return verify_signatures(file, root)


def restored(manifest: Manifest, past: Sequence[Entry]) -> int | None:
    """The older version whose content `manifest` brings back; None where it is new, or that of the version before."""
    older = _older(manifest, past)
    same = [known.version for known in older if _content(known) == _content(manifest)]
    return None if not same or same[-1] == older[-1].version else same[-1]


def renewed(manifest: Manifest, past: Sequence[Entry]) -> int | None:
    """The version before where `manifest` has its content, as after a rollback to the newest; else None."""
    older = _older(manifest, past)
    return older[-1].version if older and _content(older[-1]) == _content(manifest) else None


def _older(manifest: Manifest, past: Sequence[Entry]) -> list[Manifest]:
    """Those of `past` that count and are older than `manifest`, oldest first."""
    counted = (entry.manifest for entry in past if entry.problem is None and entry.manifest is not None)
    return sorted((known for known in counted if known.version < manifest.version), key=lambda known: known.version)


def _content(manifest: Manifest) -> dict[str, Any]:
    return manifest.model_dump(mode="json", exclude=OF_ONE_VERSION)


@dataclass(frozen=True, slots=True)
class _Read:
    """All of a name, oldest first, and of those that count the highest version with its file."""

    entries: tuple[Entry, ...]
    version: int = 0
    data: bytes | None = None


async def _read(store: BundleStore, root: Root, name: str, threads: Executor | None) -> _Read:
    entries: list[Entry] = []
    version, data = 0, None
    async for stored in store.history(name):
        entry = await in_thread(threads, entry_of, stored, root)
        if entry.problem is None and entry.manifest is not None:
            entry = replace(entry, restores=restored(entry.manifest, entries), renews=renewed(entry.manifest, entries))
            if entry.version > version:
                version, data = entry.version, stored.data
        entries.append(entry)
    return _Read(tuple(entries), version, data)


async def _published(store: BundleStore, root: Root, read: Mapping[str, _Read], threads: Executor | None) -> Published:
    in_force = {name: found.data for name, found in read.items() if found.data is not None}
    gone = {name: lost for name, found in read.items() if (lost := _gone(found)) is not None}
    for name, unfit in (await _fall_back(store, root, in_force, threads)).items():
        gone[name] = unfit.beside(gone.get(name))
    return Published(in_force, gone)


def _gone(read: _Read) -> Gone | None:
    """What does not count and may have been in force: a key that the root does not name any more may have signed it."""
    found: Gone | None = None
    for entry in read.entries:
        is_lost = entry.is_signed and entry.problem not in (None, "bundle_name") and entry.version >= read.version
        if is_lost and entry.manifest is not None:
            found = Gone(entry.version, entry.problem or "", entry.manifest.scope).beside(found)
    return found


async def _fall_back(
    store: BundleStore, root: Root, in_force: dict[str, bytes], threads: Executor | None
) -> dict[str, Gone]:
    """Put in place of what counts and does not hold the highest version that does, as kernels go on by that.

    What was replaced, by name. Where no version of a name holds, its file stays.
    """
    trusted, problems = await in_thread(threads, TrustedSet.under(root).restore_all, in_force)
    replaced: dict[str, Gone] = {}
    for name, error in sorted(problems.items()):
        found: tuple[int, TrustedSet, bytes] | None = None
        async for stored in store.history(name):
            entry = await in_thread(threads, entry_of, stored, root)
            if entry.problem is not None or (found is not None and entry.version <= found[0]):
                continue
            if (after := await in_thread(threads, _restored, trusted, stored.data)) is not None:
                found = entry.version, after, stored.data
        if found is not None:
            manifest = (await in_thread(threads, parse_bundle, in_force[name])).manifest
            replaced[name] = Gone(manifest.version, error.code, manifest.scope)
            _, trusted, in_force[name] = found
    return replaced


def _restored(trusted: TrustedSet, data: bytes) -> TrustedSet | None:
    try:
        return trusted.restore(data)
    except HoldgateError:
        return None
