"""The bundle file: one reproducible file out of a directory, and its signatures. Reads a directory, writes nothing.

    {"files": {"rules/a.yaml": "<base64>"}, "format": "holdgate-bundle/1", "manifest": {…},
     "signatures": [{"key": "ed25519:…", "signature": "<hex>"}]}

The manifest names the bundle, its version, scope and expiry, and for every file its size and the SHA-256 of its raw
bytes; signatures cover the canonical bytes of the manifest, and so all of it. What always holds: the file has exactly
one form (its bytes are the canonical encoding of its value), so that the same directory gives the same bytes and any
other byte is refused; nothing in it is a path on disk.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from holdgate.bundles.documents import load_yaml
from holdgate.bundles.errors import BundleMalformed, BundleRefused
from holdgate.bundles.manifest import FORMAT, BundleSource, FileEntry, Manifest, is_file_path
from holdgate.bundles.root import SIGNATURE_HEX
from holdgate.kernel import limits
from holdgate.kernel.canonical import canonical_bytes, digest_bytes, parse_json
from holdgate.kernel.errors import HoldgateError, MalformedJson
from holdgate.kernel.ids import Digest
from holdgate.kernel.links import Signed
from holdgate.kernel.permits import Signer

DOMAIN = "bundle"
"""Purpose of the signatures, see `kernel.canonical.signing_input`."""
SOURCE_FILE = "bundle.yaml"
BUNDLE_BYTES_MAX = 14 * 1024 * 1024
"""A full rules file in base64, and still one message of NATS."""
VALUES_MAX = 300_000
"""Brackets and commas in a bundle file: twice those of the largest vocabulary and scope that a manifest may have."""
SIGNATURES_MAX = 100
_TOKEN_CHARS = 6
"""The longest token of JSON beside texts and numbers, or escape in a text, and one more."""
_LINK_KEYS = ("link", "symlink", "target")


@dataclass(frozen=True, slots=True)
class BundleFile:
    """A bundle file taken apart. Its files are those of the manifest, byte for byte; signatures are not verified."""

    manifest: Manifest
    files: dict[str, bytes]
    signatures: tuple[Signed, ...]

    @property
    def rules(self) -> dict[str, bytes]:
        """Its rules files by path, in their order."""
        return {path: self.files[path] for path in self.manifest.rules}

    @property
    def tests(self) -> dict[str, bytes]:
        """Its files of tests by path, in their order."""
        return {path: self.files[path] for path in self.manifest.tests}

    @property
    def digest(self) -> Digest:
        """Names the content; signatures do not change it."""
        return digest_bytes(self.manifest.signed_bytes())

    def to_bytes(self) -> bytes:
        """The one form of this bundle."""
        return canonical_bytes(
            {
                "format": FORMAT,
                "manifest": self.manifest.model_dump(mode="json"),
                "files": {path: base64.b64encode(data).decode() for path, data in self.files.items()},
                "signatures": [
                    {"key": signed.key, "signature": signed.signature.hex()}
                    for signed in sorted(self.signatures, key=lambda signed: signed.key)
                ],
            }
        )


def build_bundle(directory: Path) -> bytes:
    """The one file of the bundle in `directory` (`bundle.yaml` and the files that it names), not signed yet.

    BundleMalformed where the directory is not a bundle, DocumentInvalid where `bundle.yaml` is not the YAML accepted.
    Rules are parsed by whoever verifies the bundle (`trusted.py`), which the command does before it writes the file.
    """
    source = read_source(directory)
    files = {path: _read(directory, path, limits.RULES_FILE_BYTES_MAX) for path in source.paths}
    entries = [FileEntry(path=path, sha256=digest_bytes(data), bytes=len(data)) for path, data in files.items()]
    manifest = Manifest(**dict(source), files=entries)
    built = BundleFile(manifest, files, ()).to_bytes()
    if len(built) > BUNDLE_BYTES_MAX:
        raise BundleMalformed(
            f"the bundle is {len(built)} bytes, over the limit of {BUNDLE_BYTES_MAX}", code="bundle_too_large"
        )
    return built


def read_source(directory: Path) -> BundleSource:
    """`bundle.yaml` of `directory`."""
    document = load_yaml(_read(directory, SOURCE_FILE, 64 * 1024), SOURCE_FILE)
    try:
        return BundleSource.model_validate(document)
    except ValidationError as error:
        raise BundleMalformed(f"`{directory / SOURCE_FILE}`: {_problems(error)}", code=_code(error)) from error


def sign_bundle(built: bytes, signer: Signer) -> bytes:
    """`built` with the signature of `signer` added (replaced, if it had signed already)."""
    bundle = parse_bundle(built)
    signed = signer.sign(DOMAIN, bundle.manifest.signed_bytes())
    others = tuple(other for other in bundle.signatures if other.key != signer.name)
    return BundleFile(bundle.manifest, bundle.files, (*others, signed)).to_bytes()


def join_signatures(bundle: BundleFile, others: Iterable[BundleFile]) -> BundleFile:
    """`bundle` with the signatures of `others`, which were signed apart; none of them is verified.

    BundleRefused where another is of other content, or where two have different signatures of one key.
    """
    signatures = {signed.key: signed for signed in bundle.signatures}
    for other in others:
        if other.digest != bundle.digest:
            raise BundleRefused(f"`{other.digest}` is other content than `{bundle.digest}`; let all sign copies of one")
        for signed in other.signatures:
            if signatures.setdefault(signed.key, signed).signature != signed.signature:
                raise BundleRefused(f"two signatures of {signed.key} differ; ask its owner to sign again")
    return BundleFile(bundle.manifest, bundle.files, tuple(signatures.values()))


def parse_bundle(data: bytes) -> BundleFile:
    """The bundle file in `data`, its form and the hashes of its files checked; BundleMalformed otherwise.

    Whatever our own checks say of it: who reads many files goes on with the next one after that error alone.
    """
    try:
        return _parsed(data)
    except BundleRefused:
        raise
    except HoldgateError as error:
        raise BundleMalformed(f"not a bundle file: {error}") from error


def _parsed(data: bytes) -> BundleFile:
    if len(data) > BUNDLE_BYTES_MAX:
        raise BundleMalformed(f"{len(data)} bytes are over the limit of {BUNDLE_BYTES_MAX}", code="bundle_too_large")
    try:
        document = parse_json(data, values_max=VALUES_MAX)
        is_canonical = canonical_bytes(document) == data
    except MalformedJson as error:
        if _is_cut_off(error):
            raise BundleMalformed("the file ends before it is whole; copy it again", code="bundle_truncated") from error
        raise BundleMalformed(f"not a bundle file: {error}") from error
    if not is_canonical:
        raise BundleMalformed("the file is not in its one form; build it again", code="bundle_not_canonical")
    if not isinstance(document, dict) or set(document) != {"format", "manifest", "files", "signatures"}:
        raise BundleMalformed("a bundle file has `format`, `manifest`, `files` and `signatures`")
    if document["format"] != FORMAT:
        raise BundleMalformed(f"not of the format `{FORMAT}`")
    try:
        manifest = Manifest.model_validate(document["manifest"])
    except ValidationError as error:
        raise BundleMalformed(f"the manifest: {_problems(error)}", code=_code(error)) from error
    if manifest.model_dump(mode="json") != document["manifest"]:
        # What is left out would be filled in, and the same signature would hold for another file.
        raise BundleMalformed("the manifest is not in its one form; build it again", code="bundle_not_canonical")
    files = _files(document["files"], manifest)
    return BundleFile(manifest, files, _signatures(document["signatures"], manifest.signed_bytes()))


def _is_cut_off(error: MalformedJson) -> bool:
    """Whether a JSON document was wrong only in that it ended too early."""
    cause = error.__cause__
    if isinstance(cause, UnicodeDecodeError):
        return cause.end == len(cause.object) and cause.reason == "unexpected end of data"
    if not isinstance(cause, json.JSONDecodeError):
        return False
    return cause.msg.startswith("Unterminated string") or cause.pos >= len(cause.doc) - _TOKEN_CHARS


def _files(value: Any, manifest: Manifest) -> dict[str, bytes]:
    if isinstance(value, dict) and not all(map(is_file_path, value)):
        raise BundleMalformed("a path that leads out of a bundle, or that no file of one has", code="bundle_path")
    if not isinstance(value, dict) or set(value) != set(manifest.paths):
        raise BundleMalformed("the files are not those of the manifest", code="bundle_files")
    files: dict[str, bytes] = {}
    for entry in manifest.files:
        data = _decoded(entry.path, value[entry.path])
        if len(data) != entry.bytes or digest_bytes(data) != entry.sha256:
            raise BundleMalformed(f"`{entry.path}` is not the file that the manifest names", code="bundle_files")
        files[entry.path] = data
    return files


def _decoded(path: str, value: Any) -> bytes:
    if not isinstance(value, str):
        raise BundleMalformed(f"`{path}` is not the bytes of a file; a bundle has no links", code="bundle_link")
    try:
        data = base64.b64decode(value, validate=True)
    except (ValueError, binascii.Error) as error:
        raise BundleMalformed(f"`{path}` is not base64", code="bundle_files") from error
    if base64.b64encode(data).decode() != value:
        raise BundleMalformed(f"`{path}` is not in the one form of base64", code="bundle_files")
    return data


def _signatures(value: Any, body: bytes) -> tuple[Signed, ...]:
    if not isinstance(value, list) or len(value) > SIGNATURES_MAX:
        raise BundleMalformed("`signatures` is a list of at most 100", code="bundle_signature")
    signatures: list[Signed] = []
    for item in value:
        if not isinstance(item, dict) or set(item) != {"key", "signature"}:
            raise BundleMalformed("a signature has `key` and `signature`", code="bundle_signature")
        key, signature = item["key"], item["signature"]
        if not isinstance(key, str) or not isinstance(signature, str) or SIGNATURE_HEX.match(signature) is None:
            raise BundleMalformed("a signature is 128 hex digits", code="bundle_signature")
        signatures.append(Signed(body=body, key=key, signature=bytes.fromhex(signature)))
    names = [signed.key for signed in signatures]
    if names != sorted(set(names)):
        raise BundleMalformed("signatures are one a key, in the order of their keys", code="bundle_signature")
    return tuple(signatures)


def _read(directory: Path, path: str, bytes_max: int) -> bytes:
    """The bytes of a plain file inside `directory`; links and devices are refused, wherever they lead."""
    place = directory / path
    try:
        for part in [place, *place.parents][: len(Path(path).parts)]:
            if part.is_symlink():
                raise BundleMalformed(f"`{part}` is a link", code="bundle_link")
        # Without O_NONBLOCK a pipe of this name would keep the open waiting for whoever writes to it.
        descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise BundleMalformed(f"cannot read `{place}`: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BundleMalformed(f"`{place}` is not a plain file", code="bundle_link")
        data = file.read(bytes_max + 1)
    if len(data) > bytes_max:
        raise BundleMalformed(f"`{place}` is over the limit of {bytes_max} bytes", code="bundle_too_large")
    return data


def _code(error: ValidationError) -> str | None:
    """The code of what is wrong with the files that are named; None where something else is."""
    for item in error.errors(include_url=False, include_input=False):
        place = item["loc"]
        if not place or place[0] not in ("files", "rules", "tests"):
            continue
        if item["type"] == "string_pattern_mismatch" and place[-1] != "sha256":
            return "bundle_path"
        if place[-1] in _LINK_KEYS:
            return "bundle_link"
        if item["type"] == "too_long" and len(place) == 1:
            return "bundle_too_many_files"
        if item["type"] == "less_than_equal" and place[-1] == "bytes":
            return "bundle_too_large"
    return None


def _problems(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_input=False)[:10]
    places = [".".join(map(str, item["loc"])) or "document" for item in problems]
    return "; ".join(f"`{place}`: {item['msg'].lower()}" for place, item in zip(places, problems, strict=True))
