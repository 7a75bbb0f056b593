"""The one encoding of what is hashed and signed: RFC 8785 JSON, SHA-256, domain-separated signing input.

What always holds: two values with the same canonical bytes are the same JSON value, and every value that enters through
`parse_json` has canonical bytes. Duplicate keys, NaN, infinities, unpaired surrogates and integers beyond 2^53 do not
enter. Nothing outside this module serialises what is hashed or signed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, TypeAlias, cast

import rfc8785

from holdgate.kernel import limits
from holdgate.kernel.errors import MalformedJson
from holdgate.kernel.ids import Digest

Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None

SAFE_INTEGER_MAX = 2**53 - 1
INTEGER_NOTATION_END = 1e21
"""Below this, RFC 8785 writes a float without a fraction in the notation of an integer."""
_NO_STRUCTURE = bytes(set(range(256)) - set(b'[]{}"'))
_PLAIN_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, check_circular=False)


def parse_json(data: bytes | str, *, depth_max: int = limits.JSON_DEPTH_MAX, values_max: int | None = None) -> Json:
    """The value of `data`; MalformedJson when it is not JSON that can be hashed (RFC 8785, section 3.1).

    `values_max` bounds brackets and commas, those in texts too: making millions of values holds up a whole process.
    """
    with _malformed():
        text = data if isinstance(data, str) else data.decode("utf-8")
        if values_max is not None and sum(map(text.count, "[{,")) > values_max:
            raise MalformedJson(f"more than {values_max} values")
        _refuse_depth(text, depth_max)
        value = json.loads(
            text,
            object_pairs_hook=_unique_keys,
            parse_constant=_refuse_constant,
            parse_int=_safe_int,
            parse_float=_finite,
        )
        if "\\u" in text or "\\U" in text:
            _refuse_surrogates(value)
    return cast(Json, value)


def check_json(data: bytes) -> None:
    """MalformedJson where `parse_json` raises it, but that numbers may be of any size. Keeps no more than it must."""
    with _malformed():
        text = data.decode("utf-8")
        _refuse_depth(text, limits.JSON_DEPTH_MAX)
        may_be_half = "\\ud" in text or "\\uD" in text
        hook = _unique_keys if may_be_half else _no_object
        value = json.loads(text, object_pairs_hook=hook, parse_constant=_refuse_constant, parse_int=len)
        if may_be_half:
            _refuse_surrogates(value)


@contextmanager
def _malformed() -> Iterator[None]:
    """What goes wrong inside is MalformedJson."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise MalformedJson("the body is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise MalformedJson(f"not JSON at line {error.lineno} column {error.colno}: {error.msg.lower()}") from error
    except RecursionError as error:
        raise MalformedJson("nested too deeply") from error


def canonical_bytes(value: Any) -> bytes:
    """RFC 8785 bytes of a JSON value; MalformedJson when it has none.

    Values without floats and with ASCII keys, which is nearly all that is hashed, take the interpreter's own encoder:
    for those it writes the same bytes in a third of the time. A property test holds the two against each other.
    """
    try:
        if _is_plain(value):
            return _PLAIN_ENCODER.encode(value).encode("utf-8")
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, RecursionError, UnicodeEncodeError) as error:
        raise MalformedJson(f"the value has no canonical form: {error}") from error


def digest_bytes(data: bytes) -> Digest:
    """`sha256:` and the hex digest of `data`."""
    return Digest("sha256:" + hashlib.sha256(data).hexdigest())


def digest(value: Any) -> Digest:
    """Digest of the canonical bytes of a JSON value."""
    return digest_bytes(canonical_bytes(value))


def signing_input(domain: str, value: Mapping[str, Any]) -> bytes:
    """What a signature covers: a name of the purpose, a zero byte, the canonical bytes.

    The purpose keeps a signature made for one kind of record from being accepted for another.
    """
    return b"holdgate/" + domain.encode() + b"/v1\0" + canonical_bytes(value)


def _is_plain(value: Any) -> bool:
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        return bool(-SAFE_INTEGER_MAX <= value <= SAFE_INTEGER_MAX)
    if kind is list:
        return all(map(_is_plain, value))
    return kind is dict and _is_plain_object(value)


def _is_plain_object(value: dict[Any, Any]) -> bool:
    # As in `_is_plain`, without a call for each atom: this is where the time of hashing a job goes.
    for key, item in value.items():
        if type(key) is not str or not key.isascii():
            return False
        if type(item) is not str and item is not None and not _is_plain(item):
            return False
    return True


def _unique_keys(pairs: Sequence[tuple[str, Json]]) -> dict[str, Json]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]  # add() is None
        raise MalformedJson(f"duplicate key `{_shown(twice[:64])}`")
    return result


def _no_object(pairs: Sequence[tuple[str, Json]]) -> None:
    if len(dict(pairs)) != len(pairs):
        _unique_keys(pairs)


def _shown(text: str) -> str:
    """`text` for a message: what cannot be printed or encoded, such as half of a surrogate pair, is escaped."""
    return text if text.isprintable() else ascii(text)[1:-1]


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedJson(f"`{name}` is not a JSON number")


def _safe_int(digits: str) -> int:
    if len(digits) > 17 or abs(value := int(digits)) > SAFE_INTEGER_MAX:
        raise MalformedJson("an integer is beyond 2^53; send it as a string")
    return value


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise MalformedJson("a number is too large; send it as a string")
    if SAFE_INTEGER_MAX < abs(value) < INTEGER_NOTATION_END:
        raise MalformedJson("a number is beyond 2^53 and would be written as an integer; send it as a string")
    return value


def _refuse_depth(text: str, depth_max: int) -> None:
    if text.count("[") + text.count("{") <= depth_max:
        return
    # Without escapes every quote begins or ends a string, and brackets count between strings only.
    data = text.encode("utf-8", "surrogatepass")
    if "\\" in text:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Two that stand side by side then are a string without brackets, or the end of one and the beginning of the next.
    outside = data.translate(None, _NO_STRUCTURE).replace(b'""', b"").split(b'"')[::2]
    depth = 0
    for bracket in b"".join(outside):
        depth += 1 if bracket in b"[{" else -1
        if depth > depth_max:
            raise MalformedJson(f"nested deeper than {depth_max}")


def _refuse_surrogates(value: Json) -> None:
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            try:
                item.encode("utf-8")
            except UnicodeEncodeError as error:
                raise MalformedJson("a string has an unpaired surrogate") from error
        elif isinstance(item, list):
            pending.extend(item)
        elif isinstance(item, dict):
            pending.extend(item)
            pending.extend(item.values())
