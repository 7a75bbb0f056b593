"""Replaces findings by tags that say what was there and never what it was.

What always holds: every finding is replaced, without a limit; a JSON document stays one, and what holds no finding
keeps its value; the same value has the same tag under one key; a finding that cannot be located is an error, not a gap.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from holdgate.kernel.canonical import Json, canonical_bytes, parse_json
from holdgate.kernel.errors import MalformedJson
from holdgate.scan.errors import RedactionIncomplete, Unscannable
from holdgate.scan.findings import Category, Finding, View
from holdgate.scan.views import escape, scalar_text, unescape

_RANK = {category: rank for rank, category in enumerate(Category)}
_FINGERPRINT_BYTES = 8

_Places = dict[tuple[str, str], list[Finding]]


class Redactor:
    """Writes `[redacted:<category>:<fingerprint>]`; the fingerprint is keyed with `key` (16 to 64 bytes)."""

    def __init__(self, key: bytes) -> None:
        if not 16 <= len(key) <= hashlib.blake2b.MAX_KEY_SIZE:
            raise ValueError("a fingerprint key has 16 to 64 bytes")
        self._key = key

    def __repr__(self) -> str:
        return "Redactor(...)"

    def fingerprint(self, value: str) -> str:
        """16 hex digits that are the same for the same value and say nothing about it without the key."""
        data = value.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(
            data, key=self._key, digest_size=_FINGERPRINT_BYTES, person=b"holdgate-finding"
        ).hexdigest()

    def redact_text(self, text: str, findings: Sequence[Finding]) -> str:
        """`text` with every finding replaced; overlapping ones as one."""
        parts: list[str] = []
        position = 0
        for start, end, category in _merged(findings, len(text)):
            parts += [text[position:start], f"[redacted:{category}:{self.fingerprint(text[start:end])}]"]
            position = end
        return "".join([*parts, text[position:]])

    def redact_json(self, value: bytes, findings: Sequence[Finding]) -> bytes:
        """Canonical JSON of `value` with every finding replaced, in values and in keys."""
        try:
            return canonical_bytes(self.redact_value(parse_json(value), findings))
        except MalformedJson as error:
            raise Unscannable(str(error)) from error

    def redact_value(self, value: Json, findings: Sequence[Finding]) -> Json:
        """The same for a parsed JSON value. RedactionIncomplete when a finding is nowhere in it."""
        places = _by_place(findings)
        redacted = self._replaced("", value, places)
        if places:
            raise RedactionIncomplete("a finding could not be located in the value")
        return redacted

    def describe(
        self, value: Json, findings: Sequence[Finding], beside: Sequence[Finding] = ()
    ) -> list[dict[str, Any]]:
        """Findings as they may be stored and shown: fingerprints for values, redacted keys in the paths.

        `beside`: all findings in `value`, where `findings` are a part: a path may pass a key that another is in.
        """
        keys = {path: found for (path, view), found in _by_place(beside or findings).items() if view == View.KEY}
        return [
            {
                "detector": finding.detector,
                "category": str(finding.category),
                "severity": str(finding.severity),
                "path": self._shown_path(finding.path, keys),
                "via": finding.via,
                "start": finding.start,
                "end": finding.end,
                "fingerprint": self.fingerprint(_text_at(value, finding)[finding.start : finding.end]),
            }
            for finding in findings
        ]

    def _replaced(self, path: str, value: Json, places: _Places) -> Json:
        if not places:
            return value
        if isinstance(value, dict):
            return self._replaced_members(path, value, places)
        if isinstance(value, list):
            return [self._replaced(f"{path}/{index}", item, places) for index, item in enumerate(value)]
        found = places.pop((path, View.VALUE), None)
        if found is None:
            return value
        return self.redact_text(scalar_text(value) or "", found)

    def _replaced_members(self, path: str, members: dict[str, Json], places: _Places) -> dict[str, Json]:
        result: dict[str, Json] = {}
        for key, item in members.items():
            at = f"{path}/{escape(key)}"
            found = places.pop((at, View.KEY), None)
            name = key if found is None else _unused(self.redact_text(key, found), members, result)
            result[name] = self._replaced(at, item, places)
        return result

    def _shown_path(self, path: str, keys: dict[str, list[Finding]]) -> str:
        if not keys:
            return path
        shown: list[str] = []
        prefix = ""
        for token in path.split("/")[1:]:
            prefix += "/" + token
            found = keys.get(prefix)
            shown.append(token if found is None else escape(self.redact_text(unescape(token), found)))
        return "".join("/" + token for token in shown)


def _by_place(findings: Iterable[Finding]) -> _Places:
    places: _Places = defaultdict(list)
    for finding in findings:
        places[finding.path, finding.view].append(finding)
    return dict(places)


def _merged(findings: Iterable[Finding], length: int) -> list[tuple[int, int, Category]]:
    """Spans without overlap, in order, each with its gravest category."""
    merged: list[tuple[int, int, Category]] = []
    for finding in sorted(findings, key=lambda item: (item.start, item.end)):
        if not 0 <= finding.start < finding.end <= length:
            raise RedactionIncomplete("a finding lies outside its text")
        if merged and finding.start < merged[-1][1]:
            start, end, category = merged.pop()
            worst = min(category, finding.category, key=_RANK.__getitem__)
            merged.append((start, max(end, finding.end), worst))
        else:
            merged.append((finding.start, finding.end, finding.category))
    return merged


def _unused(name: str, members: dict[str, Json], result: dict[str, Json]) -> str:
    candidate, number = name, 2
    while candidate in result or candidate in members:
        candidate, number = f"{name}~{number}", number + 1
    return candidate


def _text_at(value: Json, finding: Finding) -> str:
    """The text that a finding's offsets are in."""
    tokens = [unescape(token) for token in finding.path.split("/")[1:]]
    if finding.view == View.KEY:
        return tokens[-1]
    for token in tokens:
        if isinstance(value, dict):
            value = value[token]
        elif isinstance(value, list):
            value = value[int(token)]
    return scalar_text(value) or ""
