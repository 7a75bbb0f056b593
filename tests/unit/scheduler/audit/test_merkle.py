"""The Merkle tree: RFC 6962's own figures, and proofs."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdgate.scheduler.audit.merkle import EMPTY_ROOT, leaf_hash, proof_of, root_from_proof, root_of

# The test data of Certificate Transparency (certificate-transparency-go, merkletree), also in RFC 6962 implementations.
INPUTS = [bytes.fromhex(text) for text in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"
)]  # fmt: skip
ROOTS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


@pytest.mark.parametrize("count", ROOTS)
def test_roots_are_those_of_the_standard(count: int) -> None:
    assert root_of([leaf_hash(line) for line in INPUTS[:count]]).hex() == ROOTS[count]


def test_the_empty_tree_has_the_root_of_nothing() -> None:
    assert root_of([]) == EMPTY_ROOT == hashlib.sha256(b"").digest()


def test_a_node_does_not_pass_for_a_leaf() -> None:
    one, two = leaf_hash(b"1"), leaf_hash(b"2")
    assert leaf_hash(one + two) != root_of([one, two])


@given(lines=st.lists(st.binary(max_size=8), min_size=1, max_size=40), data=st.data())
def test_a_proof_leads_from_its_leaf_to_the_root_and_from_no_other(lines: list[bytes], data: st.DataObject) -> None:
    leaves = [leaf_hash(line) for line in lines]
    index = data.draw(st.integers(0, len(leaves) - 1))
    proof = proof_of(leaves, index)
    assert root_from_proof(leaves[index], index, len(leaves), proof) == root_of(leaves)
    assert root_from_proof(leaf_hash(b"another line"), index, len(leaves), proof) != root_of(leaves)
