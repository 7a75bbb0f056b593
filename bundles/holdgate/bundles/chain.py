"""The root file: a trust root, who signed it, and the older roots that lead to it. No IO.

    {"before": [<older documents, oldest first>], "signatures": [{"key": "ed25519:…", "signature": "<hex>"}, …],
     "signed": {…the root…}}

Signatures cover the canonical bytes of `signed`; a file without `before` is a chain of one. As in the client workflow
of TUF (5.3), with the steps from root to root in one file. What always holds of a chain that was verified:

1. it is bounded in bytes, length and signatures;
2. every root is signed by a threshold of its own root keys;
3. every root but the first has exactly the version after the one before, and is signed by a threshold of its root keys;
4. at least one of its roots is signed by as many pinned keys as the pins demand, so that a chain whose roots only vouch
   for each other proves nothing. All after that root follow from it; what stands before it proves nothing and only
   shows where a process that has seen it came from;
5. the last has not expired. For the others that does not matter: their keys count only for what they signed.

Only the last says who may do what.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from holdgate.bundles.errors import BundleExpired, BundleMalformed, RootRefused
from holdgate.bundles.root import SIGNATURE_HEX, Pins, Root, parse_root
from holdgate.kernel.canonical import canonical_bytes, parse_json
from holdgate.kernel.errors import Forged, MalformedJson
from holdgate.kernel.ids import Digest
from holdgate.kernel.links import Signed
from holdgate.kernel.permits import Keyring, Signer, fingerprint

DOMAIN = "root"
CHAIN_BYTES_MAX = 4 * 1024 * 1024
CHAIN_MAX = 64
"""Roots in a file: a rotation a month for five years."""
VALUES_MAX = 300_000
"""Brackets and commas in a root file: a hundred signatures and a hundred keys of each kind in every root, and more."""
SIGNATURES_MAX = 100
_KEY_NAME = re.compile(r"ed25519:[0-9a-f]{32}\Z")


@dataclass(frozen=True, slots=True)
class Tally:
    """Which of `keys` signed, and how many must. `whose` says in words what keys these are."""

    whose: str
    keys: tuple[str, ...]
    signed: tuple[str, ...]
    threshold: int

    @property
    def missing(self) -> int:
        """How many signatures are still needed."""
        return max(0, self.threshold - len(self.signed))


@dataclass(frozen=True, slots=True)
class SignedRoot:
    """One document of the file. `plain` is the root as it stands there, which is what signatures cover."""

    root: Root
    plain: dict[str, Any]
    signatures: tuple[Signed, ...]

    def tally(self, whose: str, keys: Sequence[str], threshold: int) -> Tally:
        """Which of `keys` (hex of raw bytes) signed this root; one that signed twice counts once."""
        keyring = Keyring(bytes.fromhex(key) for key in keys)
        held = {signature.key for signature in self.signatures if _holds(keyring, signature)}
        return Tally(whose, tuple(map(_name, keys)), tuple(sorted(held)), threshold)

    def own(self) -> Tally:
        """Its own root keys."""
        return self.tally(f"root keys of version {self.root.version}", self.root.root.keys, self.root.root.threshold)

    def by(self, before: SignedRoot) -> Tally:
        """The root keys of the root before."""
        keys = before.root.root
        return self.tally(f"root keys of version {before.root.version}", keys.keys, keys.threshold)

    def pinned(self, pins: Pins) -> Tally:
        """The pinned keys among its own root keys: a file cannot bring keys of others."""
        keys = [key for key in self.root.root.keys if _name(key) in pins.keys]
        return self.tally("pinned keys", keys, pins.threshold)

    def signed_by(self, signer: Signer) -> SignedRoot:
        """With the signature of `signer` added, or in place of one that it gave before."""
        others = [signature for signature in self.signatures if signature.key != signer.name]
        made = [*others, signer.sign(DOMAIN, canonical_bytes(self.plain))]
        return replace(self, signatures=tuple(sorted(made, key=lambda signature: signature.key)))

    def as_dict(self) -> dict[str, Any]:
        """The document."""
        signatures = [{"key": item.key, "signature": item.signature.hex()} for item in self.signatures]
        return {"signed": self.plain, "signatures": signatures}


@dataclass(frozen=True, slots=True)
class RootChain:
    """The roots of a file, oldest first, at least one."""

    links: tuple[SignedRoot, ...]

    @property
    def newest(self) -> SignedRoot:
        """The one that says who may do what."""
        return self.links[-1]

    @property
    def root(self) -> Root:
        """The newest."""
        return self.newest.root

    def tallies(self) -> Iterator[Tally]:
        """What must have signed the newest: its own keys, and those of the root before it."""
        yield self.newest.own()
        if len(self.links) > 1:
            yield self.newest.by(self.links[-2])

    def anchor(self, pins: Pins) -> Tally:
        """How far the pins are met, by the root that meets them best (of these, the oldest)."""
        return max((link.pinned(pins) for link in self.links), key=lambda tally: len(tally.signed))

    def followed_by(self, root: Root, *, keep: int = CHAIN_MAX - 1) -> RootChain:
        """With `root` as the newest, signed by nobody yet; of the others only the last `keep`."""
        return RootChain((*self.links[max(0, len(self.links) - keep) :], unsigned(root)))

    def signed_by(self, signer: Signer) -> RootChain:
        """With the newest signed by `signer`."""
        return RootChain((*self.links[:-1], self.newest.signed_by(signer)))

    def verify_holds(self, version: int, root_digest: Digest) -> None:
        """RootRefused unless the root seen before, or one that followed from it, is the newest.

        Without this, who stole keys that were replaced long ago could lead from the anchor to another root of their
        own: those keys still meet the pins.
        """
        newest = self.root.version
        if newest < version:
            raise RootRefused(f"root version {newest} is not above {version}, seen before", code="root_version")
        seen = next((link.root for link in self.links if link.root.version == version), None)
        if seen is None or seen.digest != root_digest:
            raise RootRefused(
                f"root version {newest} does not follow from version {version}, seen before; "
                f"a root file must carry that version as it was seen",
                code="root_fork",
            )

    def to_bytes(self) -> bytes:
        """The root file."""
        before = [link.as_dict() for link in self.links[:-1]]
        return canonical_bytes({**self.newest.as_dict(), **({"before": before} if before else {})}) + b"\n"


def unsigned(root: Root) -> SignedRoot:
    """A document that nobody has signed yet."""
    return SignedRoot(root, root.model_dump(mode="json"), ())


def sign_root(root: Root, signers: Sequence[Signer], *, after: RootChain | None = None) -> bytes:
    """The root file of `root`, with one signature each of `signers`; `after` are the roots that it follows."""
    chain = RootChain((unsigned(root),)) if after is None else after.followed_by(root)
    for signer in signers:
        chain = chain.signed_by(signer)
    return chain.to_bytes()


def parse_chain(data: bytes) -> RootChain:
    """The roots in a root file, their form and number checked, nothing verified; BundleMalformed, RootRefused."""
    if len(data) > CHAIN_BYTES_MAX:
        raise BundleMalformed(
            f"a root file of {len(data)} bytes is over the limit of {CHAIN_BYTES_MAX}", code="root_malformed"
        )
    try:
        document = parse_json(data, values_max=VALUES_MAX)
    except MalformedJson as error:
        raise BundleMalformed(f"the root is not JSON: {error}", code="root_malformed") from error
    if not isinstance(document, dict):
        raise BundleMalformed("a root has `signed` and `signatures`", code="root_malformed")
    before = document.pop("before", [])
    if not isinstance(before, list):
        raise BundleMalformed("`before` of a root is a list of older ones", code="root_malformed")
    if len(before) >= CHAIN_MAX:
        raise RootRefused(f"a root file carries at most {CHAIN_MAX} roots, this one more", code="root_chain")
    return RootChain(tuple(_signed_root(item) for item in [*before, document]))


def verify_chain(data: bytes, pins: Pins, now_ms: int) -> RootChain:
    """The chain in a root file, once all of what the head of this module lists holds of it.

    BundleMalformed when it is no root file, RootRefused when its roots do not follow from each other or from the pins,
    BundleExpired when the time of the newest is over.
    """
    chain = parse_chain(data)
    for place, link in enumerate(chain.links):
        _require(link.own(), link.root)
        if place > 0:
            _verify_step(chain.links[place - 1], link)
    anchor = chain.anchor(pins)
    if anchor.missing:
        raise RootRefused(
            f"{len(anchor.signed)} of the pinned keys signed the root, {anchor.threshold} must", code="root_threshold"
        )
    if now_ms >= chain.root.expires_ms:
        raise BundleExpired(f"the root expired at {chain.root.expires}", code="root_expired")
    return chain


def verify_root(data: bytes, pins: Pins, now_ms: int) -> Root:
    """The newest root in a root file, verified as by `verify_chain`."""
    return verify_chain(data, pins, now_ms).root


def _verify_step(before: SignedRoot, link: SignedRoot) -> None:
    if link.root.version != before.root.version + 1:
        raise RootRefused(
            f"root version {link.root.version} stands after {before.root.version}; versions rise by one",
            code="root_chain",
        )
    _require(link.by(before), link.root)


def _require(tally: Tally, root: Root) -> None:
    if tally.missing:
        raise RootRefused(
            f"{len(tally.signed)} of the {tally.whose} signed root version {root.version}, {tally.threshold} must",
            code="root_threshold",
        )


def _signed_root(document: Any) -> SignedRoot:
    if not isinstance(document, dict) or set(document) != {"signed", "signatures"}:
        raise BundleMalformed("a root has `signed` and `signatures`", code="root_malformed")
    plain, listed = document["signed"], document["signatures"]
    if not isinstance(plain, dict) or not isinstance(listed, list) or len(listed) > SIGNATURES_MAX:
        raise BundleMalformed(f"a root has `signed` and at most {SIGNATURES_MAX} `signatures`", code="root_malformed")
    body = canonical_bytes(plain)
    return SignedRoot(parse_root(plain), plain, tuple(_signature(body, item) for item in listed))


def _signature(body: bytes, item: Any) -> Signed:
    if (
        not isinstance(item, dict)
        or set(item) != {"key", "signature"}
        or not isinstance(item["key"], str)
        or _KEY_NAME.match(item["key"]) is None
        or not isinstance(item["signature"], str)
        or SIGNATURE_HEX.match(item["signature"]) is None
    ):
        raise BundleMalformed("a signature has `key` and `signature` in hex", code="root_malformed")
    return Signed(body=body, key=item["key"], signature=bytes.fromhex(item["signature"]))


def _holds(keyring: Keyring, signature: Signed) -> bool:
    if signature.key not in keyring:
        return False
    try:
        keyring.verify(DOMAIN, signature)
    except Forged:
        return False
    return True


def _name(key: str) -> str:
    return fingerprint(bytes.fromhex(key))
