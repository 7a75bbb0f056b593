"""The bundle file: one reproducible file out of a directory, and its signatures. Pure but for `build_bundle`.

    {"files": {"rules/a.yaml": "<base64>"}, "format": "holdgate-bundle/1", "manifest": {…},
     "signatures": [{"key": "ed25519:…", "signature": "<hex>"}]}

The manifest names the bundle, its version, scope and expiry, and for every file its size and the SHA-256 of its raw
bytes; signatures cover the canonical bytes of the manifest, and so all of it. What always holds: the file has exactly
one form (its bytes are the canonical encoding of its value), so that the same directory gives the same bytes and any
other byte is refused; nothing in it is a path on disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from holdgate.kernel.permits import Signer

FORMAT = "holdgate-bundle/1"
DOMAIN = "bundle"
"""Purpose of the signatures, see `kernel.canonical.signing_input`."""
MANIFEST_FILE = "bundle.yaml"


@dataclass(frozen=True, slots=True)
class Signature:
    """One author's signature: the key by fingerprint, 64 raw bytes."""

    key: str
    signature: bytes


def build_bundle(directory: Path) -> bytes:
    """The one file of the bundle in `directory` (`bundle.yaml` and the rules files that it names), not signed yet.

    BundleMalformed where the directory is not a bundle, PolicyInvalid where a rules file does not load.
    """
    raise NotImplementedError


def sign_bundle(built: bytes, signer: Signer) -> bytes:
    """`built` with the signature of `signer` added (replaced, if it had signed already)."""
    raise NotImplementedError
