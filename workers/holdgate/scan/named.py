"""The shape of a named value: a vendor's word, the rest of a name, an assignment in any syntax, then the value.

Many vendors' keys are plain hex or letters without a prefix. What tells them from a hash is the name that they are
assigned to, so a rule says two things, `named: {words, value}`, and this module writes anchor and regex.
What always holds: every repeat is bounded, so both have a longest match that is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from holdgate.kernel.patterns import longest
from holdgate.scan.errors import RulesInvalid

WORDS_BYTES_MAX = 80

_REST = r"[\w .-]{0,40}"
_CLOSE = r"""["'`\\\])\x1e\x1f]{0,4}"""
"""What may stand between a name and its assignment: quotes, brackets, the mark of a JSON key's end."""
_PAIRED = r"""(?:,?\s{0,24}["']?(?i:value|default)["'\x1f]?)?"""
"""`name: NAME, value: …`, `key="NAME" value="…"`: the name is a value itself, and the value follows it."""
_NESTED = r"""(?:["'\]\x1f]{0,2}\s{0,2}[:=]\s{0,24}[{\[]?\s{0,24}["']?[\w.-]{1,32})?"""
"""`vendor: {api_key: …`: the name of a section, then the first name in it."""
_TYPE = r"(?::? ?[*&]?[A-Za-z][\w<>.\[\]]{0,20})?"
_ASSIGN = r"(?:[.?:+]{0,3}={1,3}>?|->|:-?|\|\||\?\?|>|,|\(|(?i:key|token|secret|pass|auth)\s{1,4})"
_OPEN = r"""\s{0,20}(?:[A-Za-z@$&]{1,8}(?:["'`(]))?["'`\\=(\[]{0,4}"""
_HASH = r"(?i)(?:\bh1|sha-?\d{1,3}|md5|digest|checksum|integrity|hash|commit|\brev(?:ision)?|etag|uuid)s?\W{0,4}$"
"""Names of what has the shape of a key and is none: hashes in lists of packages and versions."""
_JOIN = rf"{_REST}{_NESTED}{_CLOSE}{_PAIRED}{_TYPE}\s{{0,8}}{_ASSIGN}"
_END = r"(?:[^\w/+-]|$)"


def named_value(fields: Mapping[Any, Any]) -> dict[str, Any]:
    """What a rule whose `named` is `fields` says of patterns and lengths; RulesInvalid when they are others."""
    if set(fields) != {"words", "value"} or not all(isinstance(text, str) and text for text in fields.values()):
        raise RulesInvalid("`named` holds two patterns: `words` of the name and the `value`")
    words, value = fields["words"], fields["value"]
    length = longest(words)
    if length is None or length > WORDS_BYTES_MAX:
        raise RulesInvalid(f"`words` of `named` must match at most {WORDS_BYTES_MAX} bytes")
    value_length = longest(value)
    if value_length is None:
        raise RulesInvalid("`value` of `named` must be a pattern whose repeats all have bounds: `{n,m}`")
    return {
        "anchor": f"(?i:{words})",
        "regex": f"{_beginning(words)}{_JOIN}{_OPEN}({value}){_END}",
        "group": 1,
        "max_len": length + _around_bytes() + value_length,
        "before": 1,
        "unless": _HASH,
    }


@cache
def _around_bytes() -> int:
    """How long what stands around the words and the value is at most."""
    return longest(f"_{_JOIN}{_OPEN}{_END}") or 0


def _beginning(words: str) -> str:
    """`words` where a word begins: behind no letter, or with a capital one, as in `myVendorKey`."""
    capitals = "|".join(f"{word[0].upper()}(?i:{word[1:]})" for word in _branches(words) if word[:1].islower())
    plain = f"(?:\\b|[_\\d])(?i:{words})"
    return f"(?:{plain}|{capitals})" if capitals else plain


def _branches(pattern: str) -> list[str]:
    """The outermost branches of `a|b(?:c|d)`."""
    found, depth = [""], 0
    for character in pattern:
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(character, 0)
        if character == "|" and depth == 0:
            found.append("")
        else:
            found[-1] += character
    return found
