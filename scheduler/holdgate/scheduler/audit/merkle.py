"""Merkle tree hash over the lines of a segment (RFC 6962, section 2.1). Pure.

Leaves and nodes are hashed under different prefixes, so a node never passes for a leaf.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

LEAF = b"\0"
NODE = b"\1"
EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(line: bytes) -> bytes:
    """32 bytes over one line."""
    return hashlib.sha256(LEAF + line).digest()


def root_of(leaves: Sequence[bytes]) -> bytes:
    """32-byte root over leaf hashes; `EMPTY_ROOT` over none."""
    if not leaves:
        return EMPTY_ROOT
    # A stack of roots of complete subtrees, merged like carries of a binary counter: one pass, no copies of the list.
    stack: list[tuple[int, bytes]] = []
    for leaf in leaves:
        size, value = 1, leaf
        while stack and stack[-1][0] == size:
            _, left = stack.pop()
            size, value = size * 2, _node(left, value)
        stack.append((size, value))
    _, root = stack.pop()
    while stack:
        root = _node(stack.pop()[1], root)
    return root


def proof_of(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The audit path of the leaf at `index` (RFC 6962, section 2.1.1), lowest sibling first."""
    if len(leaves) <= 1:
        return []
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if index < split:
        return [*proof_of(leaves[:split], index), root_of(leaves[split:])]
    return [*proof_of(leaves[split:], index - split), root_of(leaves[:split])]


def root_from_proof(leaf: bytes, index: int, count: int, proof: Sequence[bytes]) -> bytes:
    """The root that `proof` leads to from `leaf` at `index` of `count` (RFC 9162, section 2.1.3.2)."""
    position, last, value = index, count - 1, leaf
    for sibling in proof:
        if position % 2 or position == last:
            value = _node(sibling, value)
            while position and not position % 2:
                position, last = position >> 1, last >> 1
        else:
            value = _node(value, sibling)
        position, last = position >> 1, last >> 1
    return value


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(NODE + left + right).digest()
