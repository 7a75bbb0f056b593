"""Keys of NATS users, as text. That a server takes them: tests/integration/scheduler/test_access.py."""

from __future__ import annotations

import base64
import binascii

import pytest
from nacl.signing import VerifyKey

from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.nkeys import Nkey, verify_public


def test_a_seed_is_read_as_it_was_written_and_shows_itself_nowhere() -> None:
    """The same seed, the same public key; neither its text nor its bytes in what is printed."""
    made = Nkey.generate()
    read = Nkey.parse(made.seed)
    assert (read.public, read.seed[:2], read.public[0]) == (made.public, "SU", "U")
    assert made.seed not in repr(made)
    assert verify_public(made.public) == made.public


def test_a_nonce_is_signed_with_the_key_that_the_public_text_names() -> None:
    key = Nkey.generate()
    raw = base64.b32decode(key.public)[1:33]
    signature = base64.urlsafe_b64decode(key.sign("nonce") + b"==")
    assert VerifyKey(raw).verify(b"nonce", signature) == b"nonce"


@pytest.mark.parametrize(
    "spoil", [lambda text: text[:-1], lambda text: text + "A", lambda text: text.lower(), lambda _: ""]
)
def test_a_text_that_is_cut_or_longer_or_of_another_alphabet_is_no_key(spoil) -> None:  # type: ignore[no-untyped-def]
    for text, read in ((Nkey.generate().seed, Nkey.parse), (Nkey.generate().public, verify_public)):
        with pytest.raises(InvalidInput):
            read(spoil(text))


def test_each_wrong_letter_is_found_by_the_check_sum() -> None:
    key = Nkey.generate()
    for text, read in ((key.seed, Nkey.parse), (key.public, verify_public)):
        for place in range(len(text)):
            other = "B" if text[place] == "A" else "A"
            with pytest.raises(InvalidInput):
                read(text[:place] + other + text[place + 1 :])


def test_a_key_of_an_account_or_a_public_key_is_no_users_seed() -> None:
    """Prefixes say what a key is for: an account's would log in as nobody."""
    account = _with_prefix(Nkey.generate().seed, 0)
    assert account.startswith("SA")
    with pytest.raises(InvalidInput, match="SU"):
        Nkey.parse(account)
    with pytest.raises(InvalidInput):
        Nkey.parse(Nkey.generate().public)


def _with_prefix(seed: str, kind: int) -> str:
    raw = base64.b32decode(seed + "=" * (-len(seed) % 8))[2:-2]
    body = bytes(((18 << 3) | (kind >> 5), (kind & 31) << 3)) + raw
    return base64.b32encode(body + binascii.crc_hqx(body, 0).to_bytes(2, "little")).decode().rstrip("=")
