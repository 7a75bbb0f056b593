"""Identifiers: names that cannot be mixed up, and where new ones come from."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import NewType, Protocol

JobId = NewType("JobId", str)
Tenant = NewType("Tenant", str)
ActorId = NewType("ActorId", str)
WorkerId = NewType("WorkerId", str)
PermitId = NewType("PermitId", str)
LeaseToken = NewType("LeaseToken", str)
Digest = NewType("Digest", str)
"""`sha256:` and 64 hex digits."""
SYSTEM = Tenant("system")
"""The tenant of what belongs to none, such as policy. No API key is of it."""

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}\Z")
"""Tenants, pools, roles: one NATS token, one Redis hash tag, one path segment."""
SECRET_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")
"""What a job calls a secret that a worker holds."""
ARTIFACT_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}\Z")
"""A file that a run leaves: one path segment, and no hidden file where it is saved."""
MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,62}/[a-z0-9][a-z0-9!#$&^_.+-]{0,62}\Z")
ACTOR = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@/-]{0,127}\Z")
JOB_ID = re.compile(r"job_[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z")


def person_of(name: str) -> str:
    """Whom a name names: `Alice` and `alice` are one person. Scripts in Redis say the same with `person_of`."""
    return name.casefold()


def people_of(names: Iterable[str]) -> frozenset[str]:
    """All whom `names` name."""
    return frozenset(map(person_of, names))


def is_same(name: str, other: str) -> bool:
    """Whether two names name one person."""
    return person_of(name) == person_of(other)


class Entropy(Protocol):
    """Gives `n` unpredictable bytes."""

    def __call__(self, n: int, /) -> bytes: ...


def uuid7(now_ms: int, entropy: Entropy = os.urandom) -> str:
    """A UUID version 7 (RFC 9562, section 5.7): sorts by `now_ms`."""
    chance = int.from_bytes(entropy(10), "big")
    value = (
        (now_ms & (1 << 48) - 1) << 80 | 0x7 << 76 | (chance >> 68 & 0xFFF) << 64 | 0b10 << 62 | chance & (1 << 62) - 1
    )
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def new_job_id(now_ms: int, entropy: Entropy = os.urandom) -> JobId:
    """`job_` and a UUIDv7."""
    return JobId("job_" + uuid7(now_ms, entropy))


def new_permit_id(now_ms: int, entropy: Entropy = os.urandom) -> PermitId:
    """`permit_` and a UUIDv7."""
    return PermitId("permit_" + uuid7(now_ms, entropy))


def new_token(entropy: Entropy = os.urandom) -> str:
    """32 hex digits nobody can guess: lease tokens, reservations."""
    return entropy(16).hex()
