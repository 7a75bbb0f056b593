"""Secret-like texts, made at run time from parts: none of them is in the repository, and none was ever live."""

from __future__ import annotations

import base64
import json
import random
import string

ALNUM = string.ascii_letters + string.digits
LOWER = string.ascii_lowercase + string.digits
HEX = "0123456789abcdef"
URLSAFE = ALNUM + "-_"
BASE32 = string.ascii_uppercase + "234567"


class Secrets:
    """Makes one of each kind; the same seed makes the same."""

    def __init__(self, seed: int = 1) -> None:
        self.random = random.Random(seed)

    def chars(self, alphabet: str, size: int) -> str:
        """`size` characters of `alphabet`, with a digit and two letters at least where it has some."""
        while True:
            text = "".join(self.random.choices(alphabet, k=size))
            if size < 8 or (any(c.isdigit() for c in text) or not any(c.isdigit() for c in alphabet)):
                return text

    def aws_key_id(self) -> str:
        """An AWS access key id."""
        return "AK" + "IA" + self.chars(BASE32, 16)

    def github(self) -> str:
        """A GitHub personal access token."""
        return "gh" + "p_" + self.chars(ALNUM, 36)

    def stripe(self) -> str:
        """A Stripe live key."""
        return "sk" + "_live_" + self.chars(ALNUM, 24)

    def pem(self, lines: int = 6) -> str:
        """A private key block."""
        body = "\n".join(self.chars(ALNUM + "+/", 64) for _ in range(lines))
        return f"-----BEGIN RSA {'PRIVATE'} KEY-----\n{body}\n-----END RSA {'PRIVATE'} KEY-----"

    def jwt(self) -> str:
        """A signed token."""
        head = json.dumps({"alg": "HS256", "typ": "JWT"}).encode()
        body = json.dumps({"sub": self.chars(LOWER, 12), "iat": 1_700_000_000}).encode()
        parts = [base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (head, body)]
        return ".".join([*parts, self.chars(URLSAFE, 42) + "a"])

    def card(self, prefix: str = "4", size: int = 16) -> str:
        """A card number whose check digit holds."""
        digits = prefix + self.chars(string.digits, size - len(prefix) - 1)
        total = 0
        for position, digit in enumerate(reversed(digits)):
            number = int(digit) * (2 if position % 2 == 0 else 1)
            total += number - 9 if number > 9 else number
        return digits + str(-total % 10)
