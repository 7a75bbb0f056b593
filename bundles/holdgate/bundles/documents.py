"""Strict YAML: bytes → plain data, and the line of everything in it.

What always holds: what a reader of the file sees is what is loaded. Refused, each with its line: keys that stand twice,
anchors and aliases, tags, more than one document, keys that are no text, words that YAML 1.1 takes for something else
(`yes`, `off`, `0x1F`, `1:30`, `.nan`), numbers beyond 2^53, bytes that are not UTF-8, files too large or too deep.
A plain time such as `2026-01-02` stays text. No IO.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import yaml

from holdgate.bundles.errors import DocumentInvalid
from holdgate.kernel import limits
from holdgate.kernel.canonical import SAFE_INTEGER_MAX, Json
from holdgate.kernel.errors import PolicyInvalid
from holdgate.kernel.forms import Place
from holdgate.kernel.ruleform import parse_rules
from holdgate.kernel.rules import BundleRules

CODES = (
    "yaml_alias",
    "yaml_ambiguous",
    "yaml_depth",
    "yaml_directive",
    "yaml_documents",
    "yaml_duplicate_key",
    "yaml_empty",
    "yaml_encoding",
    "yaml_key",
    "yaml_syntax",
    "yaml_tag",
    "yaml_too_large",
    "yaml_values",
)
"""Why a file is not the YAML that is read here, each its own code."""
DEPTH_MAX = 32
VALUES_MAX = 2_000_000
"""Values and keys in one file: about as many as the largest file has, written plainly."""
_LOADER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_RESOLVER: Any = yaml.resolver.Resolver()
_TEXT_TAGS = frozenset({"tag:yaml.org,2002:str", "tag:yaml.org,2002:timestamp"})
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "~": None, "": None}
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,15})\Z")
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]{0,15})\.[0-9]{1,32}\Z")

_EXPONENT = re.compile(r"[-+]?\.?[0-9][0-9.]*[eE][-+]?[0-9]+\Z")


@dataclass(frozen=True, slots=True)
class Document:
    """The data of a file, and where each value or key stands in it (lines from 1)."""

    name: str
    data: Json
    lines: dict[Place, int]

    def line(self, place: Place) -> int:
        """The line of `place`, or of what is around it where it is missing."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)


def parse_document(name: str, data: bytes, *, bytes_max: int = limits.RULES_FILE_BYTES_MAX) -> Document:
    """The document in `data`; DocumentInvalid naming file, line and reason."""
    if len(data) > bytes_max:
        raise DocumentInvalid(name, [(1, (), f"larger than {bytes_max} bytes")], code="yaml_too_large")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DocumentInvalid(name, [(line, (), "not UTF-8")], code="yaml_encoding") from error
    reader = _Reader(name)
    try:
        value = reader.read(iter(yaml.parse(text, Loader=_LOADER)))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise DocumentInvalid(name, [(line, (), f"not YAML: {error.problem}")], code="yaml_syntax") from error
    except (yaml.YAMLError, UnicodeEncodeError) as error:
        found: list[tuple[int, Place, str]] = [(1, (), "not YAML: a character that may not stand in it")]
        raise DocumentInvalid(name, found, code="yaml_encoding") from error
    return Document(name, value, reader.lines)


def load_yaml(data: bytes, name: str) -> Json:
    """The data alone; DocumentInvalid as in `parse_document`."""
    return parse_document(name, data).data


def load_rules_file(name: str, data: bytes, bundle: str) -> BundleRules:
    """The rules in a file; DocumentInvalid with the line of every problem."""
    document = parse_document(name, data)
    if not isinstance(document.data, dict):
        raise DocumentInvalid(name, [(1, (), "a mapping with `rules` is expected")])
    try:
        return parse_rules(document.data, bundle)
    except PolicyInvalid as error:
        problems = [(document.line(place), place, why) for place, why in error.problems]
        raise DocumentInvalid(name, problems) from error


class _Reader:
    """Takes the parser's events apart."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._values = 0
        self.lines: dict[Place, int] = {}

    def read(self, events: Iterator[Any]) -> Json:
        value: Json = None
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._refuse(event, (), "yaml_documents", "more than one document")
                if event.version or event.tags:
                    self._refuse(event, (), "yaml_directive", "a `%` directive")
                value = self._value(next(events), events, ())
        if documents == 0:
            raise DocumentInvalid(self._name, [(1, (), "empty")], code="yaml_empty")
        return value

    def _value(self, event: Any, events: Iterator[Any], place: Place) -> Json:
        self._check(event, place)
        self.lines.setdefault(place, event.start_mark.line + 1)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, place)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(events, place)
        return self._mapping(events, place)

    def _sequence(self, events: Iterator[Any], place: Place) -> Json:
        items: list[Json] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            items.append(self._value(event, events, (*place, len(items))))
        return items

    def _mapping(self, events: Iterator[Any], place: Place) -> Json:
        found: dict[str, Json] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            self._check(event, place)
            key = self._key(event, place)
            if key in found:
                self._refuse(event, (*place, key), "yaml_duplicate_key", "this key stands twice")
            self.lines[(*place, key)] = event.start_mark.line + 1
            found[key] = self._value(next(events), events, (*place, key))
        return found

    def _key(self, event: Any, place: Place) -> str:
        key = self._scalar(event, place) if isinstance(event, yaml.ScalarEvent) else None
        return (
            key if isinstance(key, str) else self._refuse(event, place, "yaml_key", "a key that is no text; quote it")
        )

    def _scalar(self, event: Any, place: Place) -> Json:
        text: str = event.value
        if any("\ud800" <= character <= "\udfff" for character in text):
            self._refuse(event, place, "yaml_encoding", "an unpaired surrogate")
        if event.style:
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _INTEGER.match(text) is not None and abs(int(text)) <= SAFE_INTEGER_MAX:
            return int(text)
        if _FLOAT.match(text) is not None:
            return float(text)
        if (
            _EXPONENT.match(text) is not None
            or _RESOLVER.resolve(yaml.ScalarNode, text, (True, False)) not in _TEXT_TAGS
        ):
            self._refuse(event, place, "yaml_ambiguous", _ambiguous(text))
        return text

    def _check(self, event: Any, place: Place) -> None:
        self._values += 1
        if self._values > VALUES_MAX:
            self._refuse(event, place, "yaml_values", f"more than {VALUES_MAX} values")
        if len(place) >= DEPTH_MAX and isinstance(event, yaml.CollectionStartEvent):
            self._refuse(event, place, "yaml_depth", f"nested deeper than {DEPTH_MAX}")
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            self._refuse(event, place, "yaml_alias", "anchors and aliases are not used here")
        if event.tag is not None:
            self._refuse(event, place, "yaml_tag", "tags are not used here")

    def _refuse(self, event: Any, place: Place, code: str, why: str) -> NoReturn:
        raise DocumentInvalid(self._name, [(event.start_mark.line + 1, place, why)], code=code)


def _ambiguous(text: str) -> str:
    """Why a plain word is refused, and what to write: a number that is too long is not mended by quotes."""
    shown = text[:32]
    if re.fullmatch(r"-?[0-9]{16,}", text) is not None:
        return f"`{shown}` is no number that every reader takes for the same; {SAFE_INTEGER_MAX} is the largest"
    if text.lower().lstrip("+-") in (".nan", ".inf"):
        return f"`{shown}` is no number; write one in digits, or quote it where a text is meant"
    return f"`{shown}` can be read in more than one way; quote it"
