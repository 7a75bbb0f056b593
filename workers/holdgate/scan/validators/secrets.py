"""Second looks at what may be a secret: entropy, structure, placeholders."""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
import re
from collections import Counter
from collections.abc import Callable

from holdgate.scan.validators.published import is_published

_PLACEHOLDER = re.compile(
    r"""(?ix)
    ^ (?: \[redacted: | \$ [({a-z_] | \{\{ | \{ [\s%\#] | \{ [a-z_.\ -]+ \}? $ | <{1,2} [a-z/%!] | % [({s] | \#\{ | @@
        | \( | &lt; | // | \[ [a-z_.\ -]{2,40} \]* $ | % [a-z_]+ %? $ | enc [\[(] | !vault | ref\+ | arn: | vault:
        | op:// | file://
        | (?: x{3,} | 0{4,} | \*+ | \.+ | -+ | _+ | \?+ | \#+ ) $
        | (?: process\. )? env \b | os\. | getenv | config \b
        | (?: settings | self | this | var | local | data | module )\.
        | (?: your | my | the | some | enter | insert | put | add | change | replace | todo | dummy
            | fake | test | sample | example | here | user | mock | invalid )
          (?: [_\ -] .* )? $
        | (?: none | null | nil | true | false | undefined | string | str | bytes | text | optional | required
            | redacted | masked | hidden | removed | pass | passwd | password\d? | pw | pwd | secret | token | apikey
            | changeme | changeit | placeholder | default | empty | unset | input | prompt | value | function | return
            | invalid | incorrect | expired | missing | credentials? ) \b [^a-z0-9]* $
    )
    | \*{3} | \.{3,} $ | \[ (?: redacted | masked | hidden | filtered ) | x{6}
    | (?: your | my ) [_-]? \w* [_-]? (?: key | token | secret | password )
    """
)
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_LABEL = re.compile(r"[A-Z][a-z]{4,13}[.!?:]?\Z")
"""A word as forms and translations show it beside a field for a password."""
_DEFAULT = re.compile(r"(?i)(?:postgres|mysql|anonymous|ftp|guest|user|username|test|foo|bar|baz)\Z")
"""What stands in the addresses of every example."""
_NAME = re.compile(
    r"_*[a-z]+(?:_[a-z]+)+\Z|_[a-z]+\Z|[a-z]+(?:[A-Z][a-z]+)+\Z|[A-Z]+(?:_[A-Z]+)+\Z|\w+\[{1,2}\w{0,40}\]?\Z|(?:test|demo|admin|user)\d{1,4}\Z"
    r"|[.~]?/[\w.-]+/|[a-z]+\.[a-z]+(?:_[a-z]+)+\d{0,2}\Z"
)
"""A name of a variable, a member of a list or an object, what stands in every example, a path."""
_FIELD = re.compile(r"[a-z_]{2,16}=(?:\d{1,12}|0x[0-9a-f]+|true|false)\Z")
"""The next field of a log line, behind a sentence that ends in the word."""
_VERSION_OR_PATH = re.compile(r"=?\d{1,4}(?:\.\d{1,4}){1,3}\Z|[a-z_]{2,20}(?:/[a-z_-]{2,20}){1,4}\Z")
"""Behind the name of a package that ends in the word, and on the line below it."""
_NO_PASSWORDS = (_LABEL, _NAME, _FIELD, _VERSION_OR_PATH)
_SLUG_PART = re.compile(r"(?:[A-Z]?[a-z]{1,15}\d{0,6}|[A-Z]{1,15}\d{0,6}|v?\d+[a-z]{0,3})\Z")
_OF_EACH_KIND = 2
_ALPHABET = "abcdefghijklm"
_ORDERED = re.compile(
    r"(?i)abcdefgh|bcdefghi|qwertyui|xxxxx|(?:0123456789|1234567890)[a-z]{0,6}(?:0123456789|1234567890)"
    r"|(?:123456789a|deadbeef|cafebabe){2}|(?:fake|sample|dummy|placeholder|changeme|insert)[_-]?(?:api|key|token|secret)"
    r"|(?:your|my)[_-]?(?:api|key|token|secret)|example|([a-z0-9])\1{7}"
)
_CALL = re.compile(
    r"[A-Za-z_][\w.]*\(|[A-Za-z_]\w*\[\w{0,40}\]?\Z|[A-Za-z_]\w*\[['\"]|[a-z_]+(?:\.[a-z_]+)+$"
    r"|[A-Z][A-Za-z0-9]{2,40}(?:Credentials?|Types?|Provider|Manager|Field|Input)\Z"
)
"""A call, a member of something, the name of a class."""


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
    if is_placeholder(value) or len(set(value)) < 4 or any(form.match(value) for form in _NO_PASSWORDS):
        return False
    if " " in value:  # prose after a colon, unless it looks like a passphrase with something in it that prose has not
        return any(c.isdigit() for c in value) and entropy(value) >= 3.5
    return entropy(value) >= (2.0 if any(not c.isalpha() for c in value) else 2.6)


def _mixed(value: str) -> bool:
    """Letters and digits, as chance mixes them: neither a placeholder nor words, versions or places joined by signs."""
    if is_placeholder(value) or _ORDERED.search(value) or _ALPHABET in value.lower() or _is_slug(value):
        return False
    return any(c.isdigit() for c in value) and any(c.isalpha() for c in value)


def _mixed_case(value: str) -> bool:
    """As `mixed`, with some of each: capitals, small letters and digits, which no hash in hex and hardly a name has."""
    kinds = (str.isupper, str.islower, str.isdigit)
    return all(sum(map(kind, value)) >= _OF_EACH_KIND for kind in kinds) and _mixed(value)


def _random(value: str) -> bool:
    """Whether `value` looks drawn by chance: no placeholder, no run of letters or digits in their order."""
    return not (is_placeholder(value) or _ORDERED.search(value))


def _is_slug(value: str) -> bool:
    """Whether `value` is words and numbers joined by signs, as names of resources, versions and paths are."""
    return all(_SLUG_PART.match(part) for part in re.split(r"[-_./+=~@,]", value) if part)


def _url_password(value: str) -> bool:
    return not (is_placeholder(value) or _DEFAULT.match(value)) and len(set(value)) > 1


def _many_digits(value: str) -> bool:
    return sum(map(str.isdigit, value)) >= 8


def _key_block(value: str) -> bool:
    """Whether something is between the lines that begin and end a key; templates have nothing or a word there."""
    return sum(map(len, re.findall(r"[A-Za-z0-9+/=]{16,}", value))) >= 32


def _base58check(value: str) -> bool:
    """Whether the last four bytes are the checksum of those before them, as keys of Bitcoin and its kin have it."""
    number = 0
    for character in value:
        number = number * 58 + _BASE58.find(character)
    data = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return hashlib.sha256(hashlib.sha256(data[:-4]).digest()).digest()[:4] == data[-4:]


def _encoded(value: str) -> bool:
    """Whether `value` is base64 of something other than a placeholder."""
    text = _base64_text(value)
    return len(value) % 4 == 0 and not is_placeholder(value) and (text is None or not is_placeholder(text))


def _base64_text(value: str) -> str | None:
    padded = value.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return None


SECRETS: dict[str, Callable[[str], bool]] = {
    "base58check": _base58check,
    "basic": _basic,
    "encoded": _encoded,
    "jwt": _jwt,
    "key_block": _key_block,
    "many_digits": _many_digits,
    "mixed": _mixed,
    "mixed_case": _mixed_case,
    "not_placeholder": lambda value: not is_placeholder(value),
    "password": _password,
    "random": _random,
    "unpublished": lambda value: not is_published(value),
    "url_password": _url_password,
}
