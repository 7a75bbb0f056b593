"""What a kernel remembers on disk: the bundles in force and the highest versions seen.

    DIR/bundles/<name>.<digest>.json    the bundle file, signatures and all; verified again at every start
    DIR/versions.json    {"bundles": {name: {version, digest, scope}}, "root": {version, digest, pins},
                          "time_ms": …, "stamp_ms": …, "v": 1}

What always holds: the highest version is on disk before the bundle is decided under, so that a restart cannot be made
to go back; a file is replaced whole or not at all; `versions.json` is written after the files that it names by digest,
and what it named before is taken away after that, so that what is restored was in force as a whole. A directory of a
release that kept `<name>.json` is read as well.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from holdgate.bundles.errors import ShelfNewer, ShelfUnusable
from holdgate.bundles.format import BUNDLE_BYTES_MAX
from holdgate.bundles.root import Scope
from holdgate.bundles.trusted import Floor
from holdgate.kernel.canonical import canonical_bytes, parse_json
from holdgate.kernel.errors import MalformedJson
from holdgate.kernel.ids import NAME, Digest

log = structlog.get_logger("holdgate.bundles")

VERSIONS_BYTES_MAX = 64 * 1024 * 1024
"""More than a hundred bundles with the longest scopes come to: none of them can make the file unreadable."""
RECORD = 1
"""Version of `versions.json`; a file without one is of the same form."""
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})\Z")
_OURS = re.compile(r"([^.]+)(?:\.[0-9a-f]{64})?\.json\Z")


@dataclass(frozen=True, slots=True)
class Versions:
    """The highest seen, of the root and of each bundle."""

    root: Floor | None = None
    bundles: Mapping[str, Floor] = field(default_factory=dict)
    pins: str | None = None
    """Those that the root was verified with; None where that was not kept."""
    time_ms: int = 0
    """The latest time seen: a clock that stands before it went back."""
    stamp_ms: int = 0
    """Of the newest stamp of the store seen; 0 for none."""


class Shelf:
    """The directory; made if it does not exist. ShelfUnusable when it cannot be read or written."""

    def __init__(self, directory: Path) -> None:
        self._bundles = directory / "bundles"
        self._versions = directory / "versions.json"
        try:
            self._bundles.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise ShelfUnusable(f"cannot use `{directory}`: {error.strerror}") from error

    def versions(self) -> Versions:
        """What was seen before; nothing when there is no file. A file that is damaged is an error, not a new start."""
        data = _read(self._versions, VERSIONS_BYTES_MAX)
        if data is None:
            return Versions()
        try:
            document = parse_json(data)
            if not isinstance(document, dict):
                raise TypeError
            if _time(document.get("v", RECORD)) > RECORD:
                raise ShelfNewer(f"a newer release wrote `{self._versions}`: start that one")
            root, bundles = document["root"], document["bundles"]
            if not isinstance(bundles, dict):
                raise TypeError
            return Versions(
                None if root is None else _floor(root),
                {name: _floor(value) for name, value in bundles.items()},
                None if root is None else _pins(root),
                _time(document.get("time_ms", 0)),
                _time(document.get("stamp_ms", 0)),
            )
        except (MalformedJson, KeyError, TypeError, ValueError) as error:
            raise ShelfUnusable(f"`{self._versions}` is damaged; it keeps old policy from coming back") from error

    def bundle(self, name: str, digest: Digest) -> bytes | None:
        """The bundle file of `name` whose content has `digest`, not verified; None when there is none."""
        data = _read(self._place(name, digest), BUNDLE_BYTES_MAX)
        return _read(self._bundles / f"{name}.json", BUNDLE_BYTES_MAX) if data is None else data

    def keep(self, versions: Versions, bundles: Mapping[str, bytes]) -> None:
        """Write `bundles`, each in the version that `versions` has of it, then `versions`.

        Both are on disk when it returns; when it raises, what is restored is what was kept before.
        """
        try:
            for name, data in bundles.items():
                _replace(self._place(name, versions.bundles[name].digest), data)
            _replace(self._versions, canonical_bytes(_document(versions)))
        except OSError as error:
            raise ShelfUnusable(f"cannot write `{self._versions.parent}`: {error.strerror}") from error
        if bundles:
            self._tidy(versions)

    def _tidy(self, versions: Versions) -> None:
        """Take away files that `versions` does not name. What stays because of an error is only in the way."""
        try:
            for path in list(self._bundles.iterdir()):
                found = _OURS.match(path.name)
                floor = None if found is None else versions.bundles.get(found[1])
                if found is None or floor is None:
                    continue
                named = self._place(found[1], floor.digest)
                if path != named and named.exists():
                    path.unlink()
        except OSError as error:
            log.warning("an old bundle file stays on disk", action="policy.shelf", error=type(error).__name__)

    def _place(self, name: str, digest: Digest) -> Path:
        found = _DIGEST.match(digest)
        if NAME.match(name) is None or found is None:
            raise ShelfUnusable("not the name and digest of a bundle")
        return self._bundles / f"{name}.{found[1]}.json"


def _document(versions: Versions) -> dict[str, object]:
    def plain(floor: Floor) -> dict[str, object]:
        scope = {} if floor.scope is None else {"scope": floor.scope.model_dump(mode="json")}
        return {"version": floor.version, "digest": floor.digest, **scope}

    pins = {} if versions.pins is None else {"pins": versions.pins}
    return {
        "root": None if versions.root is None else {**plain(versions.root), **pins},
        "bundles": {name: plain(floor) for name, floor in versions.bundles.items()},
        "time_ms": versions.time_ms,
        "stamp_ms": versions.stamp_ms,
        "v": RECORD,
    }


def _floor(value: object) -> Floor:
    if not isinstance(value, dict) or type(value["version"]) is not int or not isinstance(value["digest"], str):
        raise TypeError
    scope = None if "scope" not in value else Scope.model_validate(value["scope"])
    return Floor(value["version"], Digest(value["digest"]), scope)


def _pins(root: object) -> str | None:
    pins = root.get("pins") if isinstance(root, dict) else None
    if pins is not None and not isinstance(pins, str):
        raise TypeError
    return pins


def _time(value: object) -> int:
    if type(value) is not int or value < 0:
        raise TypeError
    return value


def _read(path: Path, bytes_max: int) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(bytes_max + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ShelfUnusable(f"cannot read `{path}`: {error.strerror}") from error


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
