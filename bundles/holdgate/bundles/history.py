"""What the store holds, read with a root in hand: which files count, what is in force, who published what and when.

What always holds: a file counts if it has the name it lies under and enough authors of the root signed it; of those
that count the one of the highest version is in force, whatever was written last, as it is for a kernel that saw them
all. Files that do not count are shown with the reason, never hidden. At most HISTORY files a name, one at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from holdgate.bundles.errors import BundleNotFound, BundleRefused
from holdgate.bundles.format import parse_bundle
from holdgate.bundles.manifest import Manifest
from holdgate.bundles.root import Root, authors_of
from holdgate.bundles.store import BundleStore, StoredBundle
from holdgate.bundles.trusted import verify_signatures
from holdgate.kernel.clock import rfc3339
from holdgate.kernel.ids import Digest

OF_ONE_VERSION = {"version", "valid_from", "expires"}
"""What a rollback changes; the rest of a manifest, with the hashes of all files, it restores."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file that was published; `problem` is the code of what is wrong with it, None where it counts.

    `signers` are fingerprint and author name of those whose signature counts. `restores` is the older version that it
    brings back. Without a `manifest` it is no bundle file at all.
    """

    stored: StoredBundle
    problem: str | None = None
    manifest: Manifest | None = None
    digest: Digest | None = None
    signers: tuple[tuple[str, str], ...] = ()
    restores: int | None = None

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
class Standing:
    """The store at one moment: `seq` names it.

    `in_force` are the files that count, by name; `past` is what was published under the name looked at, oldest first,
    and `newest` the revision of its last file, None where there is none.
    """

    seq: int
    newest: int | None
    in_force: Mapping[str, bytes]
    past: tuple[Entry, ...]

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever published that is still kept."""
        return not self.in_force and not self.past


async def standing(store: BundleStore, root: Root, name: str) -> Standing:
    """What is in force, and all that was published as `name`. StoreUnavailable."""
    revisions = await store.revisions()
    seq = revisions.pop("")
    newest = await store.get(name) if name in revisions else None
    past, best = await _read(store, root, name)
    in_force = {} if best is None else {name: best}
    for other in sorted(revisions.keys() - {name}):
        if (found := await _in_force(store, root, other)) is not None:
            in_force[other] = found
    return Standing(seq, None if newest is None else newest.revision, in_force, past)


async def newest_of_each(store: BundleStore, root: Root) -> list[Entry]:
    """What lies in the store now, by name. StoreUnavailable."""
    names = sorted(name for name in await store.revisions() if name)
    stored = [bundle for name in names if (bundle := await store.get(name)) is not None]
    return [await asyncio.to_thread(entry_of, bundle, root) for bundle in stored]


async def log_of(store: BundleStore, root: Root, name: str) -> tuple[Entry, ...]:
    """What was published as `name`, newest first. BundleNotFound where nothing was; StoreUnavailable."""
    past, _ = await _read(store, root, name)
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
    """What a stored file is, under `root`. The entry keeps none of its bytes."""
    bare = replace(stored, data=b"")
    try:
        file = parse_bundle(stored.data)
    except BundleRefused as error:
        return Entry(bare, error.code)
    entry = Entry(bare, None, file.manifest, file.digest)
    try:
        if file.manifest.name != stored.name:
            raise BundleRefused(f"stored as `{stored.name}`, named otherwise", code="bundle_name")
        signers = verify_signatures(file, root)
    except BundleRefused as error:
        return replace(entry, problem=error.code)
    return replace(entry, signers=tuple(authors_of(signers, root)))


def restored(manifest: Manifest, past: Sequence[Entry]) -> int | None:
    """The older version whose content `manifest` brings back; None where it is new, or that of the version before."""
    counted = sorted((entry for entry in past if entry.problem is None), key=lambda entry: entry.version)
    older = [entry for entry in counted if entry.manifest is not None and entry.version < manifest.version]
    same = [
        entry.version
        for entry in older
        if entry.manifest is not None and _content(entry.manifest) == _content(manifest)
    ]
    return None if not same or same[-1] == older[-1].version else same[-1]


def _content(manifest: Manifest) -> dict[str, Any]:
    return manifest.model_dump(mode="json", exclude=OF_ONE_VERSION)


async def _in_force(store: BundleStore, root: Root, name: str) -> bytes | None:
    """The newest file where it counts, else the one of the highest version that does."""
    newest = await store.get(name)
    if newest is not None and (await asyncio.to_thread(entry_of, newest, root)).problem is None:
        return newest.data
    _, best = await _read(store, root, name)
    return best


async def _read(store: BundleStore, root: Root, name: str) -> tuple[tuple[Entry, ...], bytes | None]:
    """All of `name`, oldest first, and the file that is in force."""
    entries: list[Entry] = []
    best: tuple[int, bytes] | None = None
    async for stored in store.history(name):
        entry = await asyncio.to_thread(entry_of, stored, root)
        if entry.problem is None and entry.manifest is not None:
            entry = replace(entry, restores=restored(entry.manifest, entries))
            if best is None or entry.version > best[0]:
                best = entry.version, stored.data
        entries.append(entry)
    return tuple(entries), None if best is None else best[1]
