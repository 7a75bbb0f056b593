"""The types of which the forms of rules are made: each checks one kind of value. For pydantic.

Each also says in JSON Schema what it takes, as far as a pattern can, for editors: what loads always fits its schema.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeAlias, cast

from pydantic import AfterValidator, BeforeValidator, Field, GetJsonSchemaHandler
from pydantic_core import CoreSchema

from holdgate.kernel import limits
from holdgate.kernel.clock import parse_rfc3339
from holdgate.kernel.conditions import parse_condition
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import ACTOR, NAME, SECRET_NAME
from holdgate.kernel.jobform import LABEL_KEY, RESERVED_LABEL, TAG
from holdgate.kernel.topics import verify_pattern, verify_topic

RULE_ID = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_.-]{{0,{limits.RULE_ID_CHARS_MAX - 1}}}\Z")
DURATION = re.compile(r"([1-9]\d{0,8})(s|m|h|d)\Z")
FINGERPRINT = re.compile(r"[0-9a-f]{16}\Z")
DAY = re.compile(r"\d{4}-\d{2}-\d{2}\Z")
INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}(?:[Tt ]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:[Zz]|[+-]\d{2}:\d{2}))?\Z")
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
DURATION_S_MAX = 366 * 86_400
_MOMENT = "a day such as `2026-12-31`, or a time such as `2026-12-31T18:00:00Z`,"
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_LIST_MAX = 256
_PART = "[A-Za-z0-9_-]+"
_PART_OR_ANY = rf"(?:{_PART}|\*)"


@dataclass(frozen=True, slots=True)
class _Checked(AfterValidator):
    """A check, and what of it JSON Schema can say."""

    shown: Mapping[str, Any] = field(hash=False)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), **self.shown}


def parse_duration_s(text: str) -> int:
    """Seconds of `30s`, `4h`, `2d`; InvalidInput when it is none or longer than a year."""
    found = DURATION.match(text)
    seconds = int(found[1]) * UNITS_S[found[2]] if found else 0
    if not 1 <= seconds <= DURATION_S_MAX:
        raise InvalidInput("a time such as `30s`, `10m`, `4h` or `2d`, at most 366 days, is expected")
    return seconds


def seconds(duration: str) -> int:
    """What a checked `Seconds` holds."""
    return cast(int, duration)


def milliseconds(instant: str) -> int:
    """What a checked `Instant` holds."""
    return cast(int, instant)


def parse_instant_ms(text: str) -> int:
    """Milliseconds since the epoch of a time of RFC 3339 or of the beginning of a day in UTC; InvalidInput."""
    try:
        return parse_rfc3339(f"{text}T00:00:00Z" if DAY.match(text) else text)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(f"{_MOMENT} is expected") from error


def duration_text(seconds: int) -> str:
    """As a rule would say it: `4h`, `90m`; the other way round from `parse_duration_s`."""
    unit = next(name for name, size in sorted(UNITS_S.items(), key=lambda item: -item[1]) if seconds % size == 0)
    return f"{seconds // UNITS_S[unit]}{unit}" if seconds else "0s"


def _checked(check: Callable[[str], Any], **shown: Any) -> AfterValidator:
    """A validator of pydantic that calls one of ours."""

    def validate(value: str) -> Any:
        try:
            return check(value)
        except InvalidInput as error:
            raise ValueError(str(error)) from error

    return _Checked(validate, shown)


def shape(pattern: re.Pattern[str], expected: str, **shown: Any) -> AfterValidator:
    """A validator of texts that are of the form `pattern`; `expected` says in words which."""

    def check(value: str) -> str:
        if pattern.match(value) is None:
            raise InvalidInput(f"{expected} is expected")
        return value

    return _checked(check, pattern=_portable(pattern), **shown)


def _portable(pattern: re.Pattern[str]) -> str:
    """The same for JSON Schema, whose patterns are found anywhere and have no `\\Z`."""
    return f"^(?:{pattern.pattern.removesuffix(chr(92) + 'Z')})$"


def one_of(names: tuple[str, ...], what: str) -> AfterValidator:
    def check(value: str) -> str:
        if value not in names:
            raise InvalidInput(f"an unknown {what}: one of {', '.join(names)} is expected")
        return value

    return _checked(check, enum=[str(name) for name in names])


def printable(chars_max: int) -> AfterValidator:
    def check(value: str) -> str:
        line = value.strip()
        if not line or len(line) > chars_max or _CONTROL.search(line) is not None:
            raise InvalidInput(f"one line of 1 to {chars_max} characters is expected")
        return line

    return _checked(check, minLength=1)


def _star_at_the_end(value: str) -> str:
    if "*" in value[:-1]:
        raise InvalidInput("`*` stands at the end only, for every name that begins so")
    return value


def _label_key(value: str) -> str:
    if LABEL_KEY.match(value) is None or value.lower().startswith(RESERVED_LABEL):
        raise InvalidInput("no job can have a label of this name")
    return value


Name: TypeAlias = Annotated[str, shape(NAME, "a name of a-z, 0-9, `_` and `-`")]
Tag: TypeAlias = Annotated[str, shape(TAG, "a name of letters, digits and `_.:/@+-`")]
Actor: TypeAlias = Annotated[str, shape(ACTOR, "a name of letters, digits and `_.:@/-`")]
SecretName: TypeAlias = Annotated[str, shape(SECRET_NAME, "a name of a-z, 0-9, `.`, `_` and `-`")]
RuleId: TypeAlias = Annotated[str, shape(RULE_ID, "an id of letters, digits and `_.-`")]
Pattern: TypeAlias = Annotated[
    str,
    _checked(verify_pattern, pattern=rf"^(?:{_PART_OR_ANY}\.)*(?:{_PART_OR_ANY}|>)$", maxLength=limits.TOPIC_CHARS_MAX),
]
Topic: TypeAlias = Annotated[
    str, _checked(verify_topic, pattern=rf"^{_PART}(?:\.{_PART})*$", maxLength=limits.TOPIC_CHARS_MAX)
]
LabelKey: TypeAlias = Annotated[str, _checked(_label_key, pattern=_portable(LABEL_KEY))]
DestinationName: TypeAlias = Annotated[str, printable(limits.LABEL_VALUE_CHARS_MAX), _checked(_star_at_the_end)]
Fingerprint: TypeAlias = Annotated[str, shape(FINGERPRINT, "a fingerprint of 16 hexadecimal digits")]
Value: TypeAlias = Annotated[str, printable(limits.LABEL_VALUE_CHARS_MAX)]
Reason: TypeAlias = Annotated[str, printable(limits.REASON_CHARS_MAX)]
Seconds: TypeAlias = Annotated[str, _checked(parse_duration_s, pattern=_portable(DURATION))]
"""A duration as text; holds an int once it was checked."""
Instant: TypeAlias = Annotated[str, shape(INSTANT, _MOMENT), _checked(parse_instant_ms)]
"""A day or a time as text; holds milliseconds once it was checked."""
ConditionText: TypeAlias = Annotated[str, _checked(parse_condition, minLength=1, maxLength=limits.EXPRESSION_CHARS_MAX)]
"""An expression as text; holds a `Condition` once it was checked."""
SOME = Field(min_length=1, max_length=limits.MATCH_VALUES_MAX)
Names: TypeAlias = Annotated[list[Name], SOME]
Tags: TypeAlias = Annotated[list[Tag], SOME]
Actors: TypeAlias = Annotated[list[Actor], SOME]
Values: TypeAlias = Annotated[list[Value], SOME]
SecretNames: TypeAlias = Annotated[list[SecretName], SOME]
OneOrMore: TypeAlias = Annotated[
    list[Value],
    SOME,
    BeforeValidator(
        lambda value: value if isinstance(value, list) else [value],
        json_schema_input_type=Value | Annotated[list[Value], SOME],
    ),
]
Labels: TypeAlias = Annotated[dict[LabelKey, OneOrMore], Field(min_length=1, max_length=limits.LABELS_MAX)]
Texts: TypeAlias = Annotated[list[Value], Field(max_length=_LIST_MAX)]
