"""What a torture plants: secrets that open nothing, made from the seed, so that any place can be searched for them.

They leave a handler in results, logs and errors; none may be seen anywhere afterwards.
"""

from __future__ import annotations

import base64
import hashlib
import string
from dataclasses import dataclass
from pathlib import Path

SEED_FILE = "seed"
_LETTERS = string.ascii_letters + string.digits
_LINE_CHARS = 64


@dataclass(frozen=True, slots=True)
class Planted:
    """A token, which the output gate redacts, and a private key, for which it quarantines the whole output."""

    token: str
    key: str

    @classmethod
    def of(cls, seed: int) -> Planted:
        """Those of the torture with this seed."""
        token = "ghp_" + "".join(_LETTERS[byte % len(_LETTERS)] for byte in _bytes(f"{seed} token", 36))
        body = base64.b64encode(_bytes(f"{seed} key", 1200)).decode()
        lines = "\n".join(body[at : at + _LINE_CHARS] for at in range(0, len(body), _LINE_CHARS))
        kind = "RSA PRIVATE" + " KEY"
        return cls(token, f"-----BEGIN {kind}-----\n{lines}\n-----END {kind}-----\n")

    @classmethod
    def in_folder(cls, folder: Path) -> Planted:
        """Those that workers with their journals in `folder` are to plant; of seed 0 where nobody said which."""
        file = folder / SEED_FILE
        return cls.of(int(file.read_text()) if file.exists() else 0)

    def needles(self) -> tuple[bytes, ...]:
        """What to search for: parts that say enough, also where lines were broken, and the token in base64."""
        key_lines = self.key.splitlines()[1:3]
        # Of the three ways in which base64 may fall, whole groups in the middle.
        coded = (base64.b64encode(b"_" * lead + self.token.encode())[8:-4] for lead in range(3))
        return (self.token.encode(), *(line.encode() for line in key_lines), *coded)

    def found_in(self, data: bytes) -> bool:
        """Whether any of it is in `data`."""
        return any(needle in data for needle in self.needles())


def plant(folder: Path, seed: int) -> Planted:
    """Tell the workers with their journals in `folder` what to plant."""
    (folder / SEED_FILE).write_text(str(seed))
    return Planted.of(seed)


def _bytes(label: str, count: int) -> bytes:
    found = b""
    while len(found) < count:
        found += hashlib.sha256(f"holdgate torture {label} {len(found)}".encode()).digest()
    return found[:count]
