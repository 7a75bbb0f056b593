"""Examples of rules: texts made from templates, so that no file holds anything that looks like a secret.

In a template `%{PATTERN}` stands for a text that PATTERN matches, and `%{@MAKER ARGUMENTS}` for one that a maker
writes: formats with a checksum or an encoding. What always holds: the same template and the same chance make the
same text, of bounded length.
"""

from __future__ import annotations

import base64
import hashlib
import re
import string
import zlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

from holdgate.kernel.patterns import parsed
from holdgate.scan.errors import RulesInvalid
from holdgate.scan.validators import VALIDATORS

if TYPE_CHECKING:
    from random import Random  # noqa: TID251  the type of an argument

Maker: TypeAlias = "Callable[[Random, str], str]"

EXAMPLE_CHARS_MAX = 64 * 1024
_MORE_MAX = 8
"""How far above its least count a repeat goes: examples are of about the shortest length."""
_TRIES = 100
_JUDGED_TRIES = 5000
_ALNUM = string.digits + string.ascii_uppercase + string.ascii_lowercase
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_CLASSES = {
    "CATEGORY_DIGIT": string.digits,
    "CATEGORY_WORD": _ALNUM + "_",
    "CATEGORY_SPACE": " ",
    "CATEGORY_NOT_SPACE": _ALNUM,
    "CATEGORY_NOT_WORD": " ",
    "CATEGORY_NOT_DIGIT": string.ascii_letters,
}
_PRINTABLE = "".join(map(chr, range(32, 127)))


def made(template: str, chance: Random) -> str:
    """The text of `template`. RulesInvalid when it is none."""
    parts: list[str] = []
    for text, inside in _pieces(template):
        parts.append(text)
        if inside is not None:
            parts.append(_filled(inside, chance))
    whole = "".join(parts)
    if len(whole) > EXAMPLE_CHARS_MAX:
        raise RulesInvalid(f"an example makes over {EXAMPLE_CHARS_MAX} characters; shorten it")
    return whole


def matching(pattern: str, chance: Random) -> str:
    """A text that `pattern` matches. RulesInvalid for what cannot be made: look-around, references."""
    try:
        return _sequence(parsed(pattern), chance)
    except re.error as error:
        raise RulesInvalid(f"`{pattern}` in an example does not compile: {error}") from error


def crc32_base62(text: str, size: int = 6) -> str:
    """The checksum that ends tokens of GitHub and npm: CRC32 of `text` in base 62, `size` characters."""
    number, digits = zlib.crc32(text.encode()), ""
    while number:
        number, digit = divmod(number, 62)
        digits = _ALNUM[digit] + digits
    return digits.rjust(size, "0")


def luhn_digit(digits: str) -> str:
    """The check digit behind `digits`."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        number = int(digit) * (2 - position % 2)
        total += number - 9 if number > 9 else number
    return str(-total % 10)


def _pieces(template: str) -> Iterator[tuple[str, str | None]]:
    """Plain text and the inside of the `%{…}` behind it; braces inside must be in pairs."""
    position = 0
    while (opening := template.find("%{", position)) >= 0:
        depth, end = 1, opening + 2
        while depth and end < len(template):
            depth += {"{": 1, "}": -1}.get(template[end], 0)
            end += 1
        if depth:
            raise RulesInvalid("an example has `%{` without its `}`")
        yield template[position:opening], template[opening + 2 : end - 1]
        position = end
    yield template[position:], None


def _filled(inside: str, chance: Random) -> str:
    if not inside.startswith("@"):
        return matching(inside, chance)
    name, _, arguments = inside[1:].partition(" ")
    if name not in MAKERS:
        raise RulesInvalid(f"there is no maker `{name}` for examples; those are: {', '.join(sorted(MAKERS))}")
    return MAKERS[name](chance, arguments)


def _sequence(tree: Any, chance: Random) -> str:
    return "".join(_node(str(code), arguments, chance) for code, arguments in tree)


def _node(code: str, arguments: Any, chance: Random) -> str:
    if code == "LITERAL":
        return chr(arguments)
    if code == "NOT_LITERAL":
        return chance.choice(_PRINTABLE.replace(chr(arguments), ""))
    if code == "ANY":
        return chance.choice(_ALNUM)
    if code == "IN":
        return chance.choice(_alphabet(arguments))
    if code == "BRANCH":
        return _sequence(chance.choice(arguments[1]), chance)
    if code == "SUBPATTERN":
        return _sequence(arguments[3], chance)
    if code in {"MAX_REPEAT", "MIN_REPEAT"}:
        least, most, tree = arguments
        return _repeat(least, most, tree, chance)
    if code == "AT":
        return ""
    raise RulesInvalid(f"an example cannot hold `{code.lower()}`; use classes, groups, branches and repeats")


def _repeat(least: int, most: int, tree: Any, chance: Random) -> str:
    """Of one class, a text with digits and letters where the class has both: chance seldom leaves one of them out."""
    count = chance.randint(least, min(most, least + _MORE_MAX))
    if len(tree) != 1 or str(tree[0][0]) != "IN":
        return "".join(_sequence(tree, chance) for _ in range(count))
    alphabet = _alphabet(tree[0][1])
    kinds = [kind for kind in (str.isdigit, str.isalpha) if any(map(kind, alphabet))] if count >= 8 else []
    text = "".join(chance.choices(alphabet, k=count))
    for _ in range(_TRIES):
        if all(any(map(kind, text)) for kind in kinds):
            break
        text = "".join(chance.choices(alphabet, k=count))
    return text


def _alphabet(members: Any) -> str:
    found: set[str] = set()
    negated = False
    for code, argument in members:
        if str(code) == "NEGATE":
            negated = True
        elif str(code) == "LITERAL":
            found.add(chr(argument))
        elif str(code) == "RANGE":
            found.update(map(chr, range(argument[0], argument[1] + 1)))
        else:
            found.update(_CLASSES[str(argument)])
    return "".join(sorted(set(_PRINTABLE) - found if negated else found))


def _checksummed(chance: Random, prefix: str) -> str:
    body = matching("[A-Za-z0-9]{30}", chance)
    return prefix + body + crc32_base62(body)


def _luhn(chance: Random, arguments: str) -> str:
    prefix, size = arguments.split()
    digits = prefix + "".join(chance.choices(string.digits, k=int(size) - len(prefix) - 1))
    return digits + luhn_digit(digits)


def _encoded(chance: Random, template: str) -> str:
    return base64.b64encode(made(template, chance).encode()).decode()


def _jwt(chance: Random, claims: str) -> str:
    head = '{"alg":"HS256","typ":"JWT"}'
    body = claims or f'{{"sub":"{matching("[a-z0-9]{12}", chance)}","iat":1700000000}}'
    parts = [base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in (head, body)]
    return ".".join([*parts, matching("[A-Za-z0-9_-]{42}a", chance)])


def _pem(chance: Random, label: str) -> str:
    title = f"{label} PRIVATE KEY".strip()
    lines = "\n".join(matching("[A-Za-z0-9+/]{64}", chance) for _ in range(6))
    return f"-----BEGIN {title}-----\n{lines}\n-----END {title}-----"


def _valid(chance: Random, arguments: str) -> str:
    return _judged(chance, arguments, verdict=True)


def _broken(chance: Random, arguments: str) -> str:
    return _judged(chance, arguments, verdict=False)


def _judged(chance: Random, arguments: str, *, verdict: bool) -> str:
    """A text of a pattern for which a validator says `verdict`: check digits that hold, or that fail."""
    name, _, pattern = arguments.partition(" ")
    if name not in VALIDATORS:
        raise RulesInvalid(f"there is no validator `{name}` for examples; those are: {', '.join(sorted(VALIDATORS))}")
    for _ in range(_JUDGED_TRIES):
        text = matching(pattern, chance)
        if VALIDATORS[name](text) is verdict:
            return text
    raise RulesInvalid(f"of `{pattern}`, no text in {_JUDGED_TRIES} is one that `{name}` is {verdict} of; narrow it")


def _base58check(chance: Random, arguments: str) -> str:
    """`PREFIX SIZE`: bytes in hex to begin with, then so many of chance, then their checksum."""
    prefix, size = arguments.split()
    data = bytes.fromhex(prefix) + chance.randbytes(int(size))
    number = int.from_bytes(data + hashlib.sha256(hashlib.sha256(data).digest()).digest()[:4], "big")
    text = ""
    while number:
        number, digit = divmod(number, 58)
        text = _BASE58[digit] + text
    return text


MAKERS: dict[str, Maker] = {
    "base58check": _base58check,
    "base64": _encoded,
    "broken": _broken,
    "crc32": _checksummed,
    "jwt": _jwt,
    "luhn": _luhn,
    "pem": _pem,
    "valid": _valid,
}
"""By the name behind `@`; each takes chance and what stands behind its name."""
