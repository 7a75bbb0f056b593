"""Second looks at what may be a secret: entropy, structure, placeholders."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections import Counter
from collections.abc import Callable

_PLACEHOLDER = re.compile(
    r"""(?ix)
    ^ (?: \[redacted: | \$\{? | \{\{? | <{1,2}[a-z] | %[({s] | \#\{ | @@ | \.\.\. | \*{3} | \(
        | (?: x{3,} | 0{4,} | \*+ | \.+ | -+ | _+ ) $
        | (?:process\.)?env\b | os\. | getenv | config\b | settings\. | self\. | this\. | var\. | vault: | ref\+ | arn:
        | (?: your | my | the | some | enter | insert | put | add | change | replace | todo | dummy
            | fake | test | sample | example )
          (?: [_ -] .* )? $
        | (?: none | null | nil | true | false | undefined | string | str | bytes | text | optional | required
            | redacted | masked
            | hidden | removed | password | passwd | secret | token | changeme | placeholder | example | default
            | empty | unset
            | input | prompt | value | function | return | invalid | incorrect | expired | missing ) \b [^a-z0-9]* $
    )"""
)
_ALPHABET = "abcdefghijklm"
_CALL = re.compile(r"[A-Za-z_][\w.]*\(|[A-Za-z_]\w*\[['\"]|[a-z_]+(?:\.[a-z_]+)+$")


def entropy(value: str) -> float:
    """Shannon entropy of the characters of `value`, in bits a character."""
    size = len(value)
    if not size:
        return 0.0
    return -sum(count / size * math.log2(count / size) for count in Counter(value).values())


def is_placeholder(value: str) -> bool:
    """Whether `value` stands for a secret: a template, a call, a stock word, an earlier redaction."""
    return bool(_PLACEHOLDER.match(value) or _CALL.match(value))


def _jwt(value: str) -> bool:
    header = _base64_text(value.partition(".")[0])
    return header is not None and header.startswith("{") and '"alg"' in header


def _basic(value: str) -> bool:
    text = _base64_text(value)
    return text is not None and text.isprintable() and ":" in text[1:] and not is_placeholder(text.partition(":")[2])


def _password(value: str) -> bool:
    if is_placeholder(value) or len(set(value)) < 4:
        return False
    if " " in value:  # prose after a colon, unless it looks like a passphrase with something in it that prose has not
        return any(c.isdigit() for c in value) and entropy(value) >= 3.5
    return entropy(value) >= (2.0 if any(not c.isalpha() for c in value) else 2.6)


def _mixed(value: str) -> bool:
    if is_placeholder(value) or value.isdigit() or _ALPHABET in value.lower():
        return False
    return any(c.isdigit() for c in value) and any(c.isalpha() for c in value)


def _many_digits(value: str) -> bool:
    return sum(map(str.isdigit, value)) >= 8


def _key_block(value: str) -> bool:
    """Whether something is between the lines that begin and end a key; templates have nothing or a word there."""
    return sum(map(len, re.findall(r"[A-Za-z0-9+/=]{16,}", value))) >= 32


def _base64_text(value: str) -> str | None:
    padded = value.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return None


SECRETS: dict[str, Callable[[str], bool]] = {
    "basic": _basic,
    "jwt": _jwt,
    "key_block": _key_block,
    "many_digits": _many_digits,
    "mixed": _mixed,
    "not_placeholder": lambda value: not is_placeholder(value),
    "password": _password,
}
