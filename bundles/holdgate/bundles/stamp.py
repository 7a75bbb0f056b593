"""The stamp: a signed word of the API on what is published, by which a kernel notices a store that stands still. No IO.

    {"key": "ed25519:…", "signature": "<hex>", "stamp": {"bundles": {name: {"digest": …, "version": …}}, "time_ms": …}}

What always holds: a stamp is believed only when a key of the root's API signed it for this purpose and its time is not
ahead of the clock; it warns, and changes no decision: whoever writes stamps cannot take a bundle out of force.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from holdgate.bundles.errors import StampRefused
from holdgate.bundles.manifest import Sha256
from holdgate.bundles.root import SIGNATURE_HEX, Name
from holdgate.bundles.trusted import BUNDLES_MAX
from holdgate.kernel import limits
from holdgate.kernel.canonical import canonical_bytes, parse_json
from holdgate.kernel.errors import Forged, MalformedJson
from holdgate.kernel.links import Signed
from holdgate.kernel.permits import Keyring, Signer

DOMAIN = "stamp"
EVERY_S = 30.0
"""How often the API stamps."""
FROZEN_AFTER_S = 120
"""Four stamps in a row did not come: the store, or every API, stands still."""
STAMP_BYTES_MAX = 64 * 1024


class StoreState(StrEnum):
    """What a kernel makes of the store that it reads."""

    UNSTAMPED = "unstamped"
    """No stamp was ever seen, so not much can be told."""
    FRESH = "fresh"
    FROZEN = "frozen"
    """The newest stamp is old."""
    WITHHELD = "withheld"
    """The store does not deliver what is published, or what it delivered before."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class StampedBundle(_Strict):
    """A published bundle: its version and the digest of its content."""

    version: int = Field(ge=1, le=2**53 - 1)
    digest: Sha256


class Stamp(_Strict):
    """What was published at `time_ms`, by name."""

    format: Literal["holdgate-stamp/1"] = "holdgate-stamp/1"
    time_ms: int = Field(ge=0, le=2**53 - 1)
    bundles: dict[Name, StampedBundle] = Field(max_length=BUNDLES_MAX)


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a kernel has of a name: the digests that the store gave, or that are in force, and the highest version."""

    digests: frozenset[str]
    version: int


def make_stamp(stamp: Stamp, signer: Signer) -> bytes:
    """The stamp signed, in canonical bytes."""
    body = stamp.model_dump(mode="json")
    signed = signer.sign(DOMAIN, canonical_bytes(body))
    return canonical_bytes({"stamp": body, "key": signed.key, "signature": signed.signature.hex()})


def verify_stamp(data: bytes, api: Keyring, now_ms: int) -> Stamp:
    """The stamp in `data`, once a key of `api` signed it and its time has come; StampRefused otherwise."""
    document = _document(data)
    signed = Signed(canonical_bytes(document["stamp"]), document["key"], bytes.fromhex(document["signature"]))
    try:
        api.verify(DOMAIN, signed)
    except Forged as error:
        raise StampRefused(f"the stamp: {error}") from error
    try:
        stamp = Stamp.model_validate(document["stamp"])
    except ValidationError as error:
        raise StampRefused("not a stamp") from error
    if stamp.time_ms > now_ms + limits.CLOCK_SKEW_S * 1000:
        raise StampRefused("the stamp is of a time that has not come; check the clocks", code="stamp_ahead")
    return stamp


def judge_store(
    stamp: Stamp | None, seen_ms: int, delivered: Mapping[str, Delivered], now_ms: int, *, is_whole: bool
) -> StoreState:
    """What to make of a store that gave `stamp` as its newest and `delivered`, by name.

    `seen_ms`: the time of the newest stamp ever seen, 0 for none. `delivered` was read after the stamp was. `is_whole`:
    everything in force lies in the store.
    """
    if not is_whole:
        return StoreState.WITHHELD
    if seen_ms == 0:
        return StoreState.UNSTAMPED
    if stamp is not None and any(not _is_delivered(item, delivered.get(name)) for name, item in stamp.bundles.items()):
        return StoreState.WITHHELD
    return StoreState.FROZEN if now_ms - seen_ms > FROZEN_AFTER_S * 1000 else StoreState.FRESH


def _is_delivered(stamped: StampedBundle, got: Delivered | None) -> bool:
    """Whether a kernel has what was published, or something that was published after it."""
    return got is not None and (stamped.digest in got.digests or got.version > stamped.version)


def _document(data: bytes) -> dict[str, Any]:
    if len(data) > STAMP_BYTES_MAX:
        raise StampRefused(f"a stamp of {len(data)} bytes is over the limit of {STAMP_BYTES_MAX}")
    try:
        document = parse_json(data)
    except MalformedJson as error:
        raise StampRefused(f"the stamp: {error}") from error
    if not isinstance(document, dict) or set(document) != {"stamp", "key", "signature"}:
        raise StampRefused("a stamp has `stamp`, `key` and `signature`")
    signature = document["signature"]
    if not isinstance(document["key"], str) or not isinstance(signature, str) or SIGNATURE_HEX.match(signature) is None:
        raise StampRefused("a stamp has a signature in hex")
    return document
