"""What is on disk: lines of events, chained by hash, and the seal over each segment of them.

    <dir>/<tenant>/<first_seq, 20 digits>.jsonl   one event a line, canonical JSON, seq without gaps
    <dir>/<tenant>/<first_seq, 20 digits>.seal    the signed seal over that file; a file without one is still open

The chain hash after a line is sha256(chain before || line); it starts at 32 zero bytes for a tenant's first event. A
seal names the chain hash before its first and after its last line and the digest of the seal before it, so segments can
be neither edited, dropped from the middle, reordered nor moved between tenants. Pure: no IO.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import asdict, dataclass, fields
from typing import Any

from holdgate.kernel.canonical import canonical_bytes, digest_bytes, parse_json
from holdgate.kernel.errors import Forged, InvalidInput
from holdgate.kernel.links import Signed
from holdgate.kernel.permits import Keyring, Signer

SEAL_DOMAIN = "audit-segment"
CHAIN_START = bytes(32)
SEAL_START = ""
SEQ_DIGITS = 20
LINE_BYTES_MAX = 256 * 1024
"""Events hold no payloads; a line above this is not one of ours."""


@dataclass(frozen=True, slots=True)
class Seal:
    """What the auditor signs over one segment. Hashes are hex; `previous` is the digest of the seal before, or ``."""

    tenant: str
    first_seq: int
    last_seq: int
    root: str
    chain_before: str
    chain_after: str
    previous: str
    sealed_ms: int

    @property
    def count(self) -> int:
        """Events in the segment."""
        return self.last_seq - self.first_seq + 1


RESUMED = "audit.resumed"
"""Type of the event that says that those right before it are missing, up to and with its `after`."""


def declares_gap(event: Any) -> bool:
    """Whether `event` says of itself that the events right before it may be missing: the state store was lost."""
    return isinstance(event, dict) and event.get("type") == RESUMED and event.get("after") == event.get("seq", 0) - 1


def is_renumbered(event: dict[str, Any]) -> bool:
    """Whether all that is missing before `event`, which declares a gap, comes again behind it under new numbers."""
    first = event.get("of")
    return isinstance(first, int) and event.get("renumbered") == event["after"] - first + 1


def segment_name(first_seq: int) -> str:
    """Name of a segment's files without their ending; names sort by sequence."""
    return f"{first_seq:0{SEQ_DIGITS}d}"


def event_line(event: dict[str, Any]) -> bytes:
    """The bytes of one event, without the line's end; canonical, so that they are the same whoever writes them."""
    return canonical_bytes(event)


def next_chain(chain: bytes, line: bytes) -> bytes:
    """The chain hash after `line`."""
    return hashlib.sha256(chain + line).digest()


def seal_bytes(seal: Seal, signer: Signer) -> bytes:
    """The file of a seal: JSON with the signed body, the key's fingerprint and the signature in base64."""
    signed = signer.sign(SEAL_DOMAIN, canonical_bytes(asdict(seal)))
    return canonical_bytes(
        {"body": signed.body.decode(), "key": signed.key, "signature": base64.b64encode(signed.signature).decode()}
    )


def seal_digest(data: bytes) -> str:
    """How the next seal names this one: the digest of what was signed."""
    return digest_bytes(_signed(data).body)


def open_seal(data: bytes, keyring: Keyring) -> Seal:
    """The seal in `data` once its signature held; Forged otherwise."""
    return _seal(keyring.verify(SEAL_DOMAIN, _signed(data)))


def read_seal(data: bytes) -> Seal:
    """The seal in `data` unverified: for the auditor that reads back its own files. InvalidInput if it is not one."""
    return _seal(_signed(data).body)


def _signed(data: bytes) -> Signed:
    value = parse_json(data)
    try:
        if not isinstance(value, dict) or set(value) != {"body", "key", "signature"}:
            raise InvalidInput("not a seal")
        return Signed(
            body=str(value["body"]).encode(),
            key=str(value["key"]),
            signature=base64.b64decode(str(value["signature"]), validate=True),
        )
    except ValueError as error:
        raise InvalidInput("not a seal") from error


def _seal(body: bytes) -> Seal:
    value = parse_json(body)
    names = {item.name: item.type for item in fields(Seal)}
    if not isinstance(value, dict) or set(value) != set(names):
        raise Forged("not a seal of an audit segment")
    for name, kind in names.items():
        if not isinstance(value[name], int if kind == "int" else str) or isinstance(value[name], bool):
            raise Forged(f"`{name}` of a seal is of the wrong type")
    return Seal(**value)  # type: ignore[arg-type]  # the loop above checked each
