"""Keys that their vendors publish as examples: everybody has them, they open nothing, and texts are full of them.

Held as the beginnings of digests, since the keys themselves would stop every scanner of secrets, this one included.
"""

from __future__ import annotations

from hashlib import sha256

_DIGEST_CHARS = 16
_PUBLISHED = frozenset(
    {
        # Tests and samples of Firebase: github.com/firebase/firebase-android-sdk and firebase-js-sdk.
        "0b476bdf9acf2123",
        "2037abcaffb2b777",
        "27a9a42931dff7eb",
        "37f8f09bdf12c2f2",
        "3a8b61d0f636b007",
        "3f370c9dd8225c63",
        "49f777db995e8260",
        "4c98242dcadc8b29",
        "8731261cb72d8626",
        "a19f89ab3555eac1",
        "a6c814bc555ae62c",
        "dc0fcf046c61640c",
        "e4a5542bb7fd7b67",
        "ea9bb1082cf95663",
        "eb540d2b6ee2a0a4",
        # The storage and database emulators of Azure: learn.microsoft.com/azure/storage/common/storage-use-azurite.
        "0011cc25eb432071",
        "fd6c6237e96ac7bf",
    }
)


def is_published(value: str) -> bool:
    """Whether `value` is an example of its vendor's."""
    return sha256(value.encode("latin-1", "replace")).hexdigest()[:_DIGEST_CHARS] in _PUBLISHED
