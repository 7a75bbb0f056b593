"""Replaces findings by tags that say what was there and never what it was.

What always holds: every finding is replaced, without a limit; a JSON document stays one, and what holds no finding
keeps its value; the same value has the same tag under one key; a finding that cannot be located is an error, not a gap.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from holdgate.kernel.canonical import Json
from holdgate.scan.errors import RedactionIncomplete
from holdgate.scan.findings import Category, Finding, View
from holdgate.scan.views import decode_step, escape, keys_below, leaves_at, scalar_text, unescape

_RANK = {category: rank for rank, category in enumerate(Category)}
_FINGERPRINT_BYTES = 8
_NEARLY_ALL = 0.8
PATH_CHARS_MAX = 1024
"""Of a path as it is shown; its names are what a worker wrote, however long."""

_Places = dict[tuple[str, str], list[Finding]]


class Redactor:
    """Writes `[redacted:<category>:<fingerprint>]`; the fingerprint is keyed with `key` (16 to 64 bytes).

    `secret_of`: of known secrets, so that one has one tag in whatever form it was found.
    """

    def __init__(self, key: bytes, secret_of: Callable[[bytes], bytes | None] | None = None) -> None:
        if not 16 <= len(key) <= hashlib.blake2b.MAX_KEY_SIZE:
            raise ValueError("a fingerprint key has 16 to 64 bytes")
        self._key = key
        self._secret_of = secret_of

    def __repr__(self) -> str:
        return "Redactor(...)"

    def fingerprint(self, value: str | bytes) -> str:
        """16 hex digits that are the same for the same value and say nothing about it without the key."""
        data = value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
        if self._secret_of is not None:
            data = self._secret_of(data) or data
        return hashlib.blake2b(
            data, key=self._key, digest_size=_FINGERPRINT_BYTES, person=b"holdgate-finding"
        ).hexdigest()

    def redact_text(self, text: str, findings: Sequence[Finding]) -> str:
        """`text` with every finding replaced; overlapping ones as one."""
        parts: list[str] = []
        position = 0
        for cluster in _clusters(findings, len(text)):
            parts += [text[position : cluster.start], self._tag(text, cluster)]
            position = cluster.end
        return "".join([*parts, text[position:]])

    def redact_bytes(self, data: bytes, findings: Sequence[Finding]) -> bytes:
        """The same for bytes, with offsets in bytes."""
        parts: list[bytes] = []
        position = 0
        for cluster in _clusters(findings, len(data)):
            parts += [data[position : cluster.start], self._tag(data, cluster).encode("ascii")]
            position = cluster.end
        return b"".join([*parts, data[position:]])

    def redact_json(self, value: bytes, findings: Sequence[Finding]) -> bytes:
        """The JSON text `value` with every finding replaced where it stands; every other byte stays as it is."""
        places = _by_place(findings)
        taken = keys_below(value, {path.rpartition("/")[0] for path, view in places if view == View.KEY})
        parts: list[bytes] = []
        position = 0
        for leaf in leaves_at(value, {path for path, _ in places}):
            found = places.pop((leaf.path, leaf.view), None)
            if found is None:
                continue
            for cluster in _clusters(found, len(leaf.text.text)):
                start, end = leaf.text.raw_span(cluster.start, cluster.end)
                tag = self._tag(leaf.text.text, cluster).encode("ascii")
                parts += [value[position : leaf.start + start], tag if leaf.quoted else b'"' + tag + b'"']
                position = leaf.start + end
            if leaf.view == View.KEY:
                parts += [value[position : leaf.end], self._suffix(leaf.text.text, found, taken[leaf.parent])]
                position = leaf.end
        if places:
            raise RedactionIncomplete("a finding could not be located in the document")
        return b"".join([*parts, value[position:]])

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
                "path": _cut(self._shown_path(finding.path, keys)),
                "via": finding.via,
                "start": finding.start,
                "end": finding.end,
                "fingerprint": self.fingerprint(_value(_text_at(value, finding), finding)),
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
        text = scalar_text(value) or ""
        if not isinstance(value, str):
            found = [replace(finding, start=0, end=len(text)) for finding in found]
        return self.redact_text(text, found)

    def _replaced_members(self, path: str, members: dict[str, Json], places: _Places) -> dict[str, Json]:
        result: dict[str, Json] = {}
        for key, item in members.items():
            at = f"{path}/{escape(key)}"
            found = places.pop((at, View.KEY), None)
            name = key
            if found is not None:
                taken = {*members, *result}
                name = self.redact_text(key, found)
                name += self._suffix(key, found, taken).decode("ascii")
            result[name] = self._replaced(at, item, places)
        return result

    def _suffix(self, key: str, found: Sequence[Finding], taken: set[str]) -> bytes:
        """What tells a redacted key from the others of its object, to which it is added."""
        name = candidate = self.redact_text(key, found)
        number = 2
        while candidate in taken:
            candidate, number = f"{name}~{number}", number + 1
        taken.add(candidate)
        return candidate[len(name) :].encode("ascii")

    def _tag(self, text: str | bytes, cluster: _Cluster) -> str:
        return f"[redacted:{cluster.category}:{self.fingerprint(_cluster_value(text, cluster))}]"

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


def _cut(path: str) -> str:
    return path if len(path) <= PATH_CHARS_MAX else path[: PATH_CHARS_MAX - 3] + "..."


def _by_place(findings: Iterable[Finding]) -> _Places:
    places: _Places = defaultdict(list)
    for finding in findings:
        places[finding.path, finding.view].append(finding)
    return dict(places)


@dataclass(slots=True)
class _Cluster:
    """A span that goes as one: findings that overlap. `category`: the gravest of theirs."""

    start: int
    end: int
    category: Category
    findings: list[Finding]


def _clusters(findings: Iterable[Finding], length: int) -> list[_Cluster]:
    """Spans without overlap, in order."""
    clusters: list[_Cluster] = []
    for finding in sorted(findings, key=lambda item: (item.start, item.end)):
        if not 0 <= finding.start < finding.end <= length:
            raise RedactionIncomplete("a finding lies outside its text")
        if clusters and finding.start < clusters[-1].end:
            last = clusters[-1]
            last.end = max(last.end, finding.end)
            last.category = min(last.category, finding.category, key=_RANK.__getitem__)
            last.findings.append(finding)
        else:
            clusters.append(_Cluster(finding.start, finding.end, finding.category, [finding]))
    return clusters


def _cluster_value(text: str | bytes, cluster: _Cluster) -> bytes:
    """What a tag stands for: what was decoded, where that is nearly all of the span, else the span as it is."""
    nearly_all = _NEARLY_ALL * len(_slice(text, cluster.start, cluster.end))
    traced = (found for found in cluster.findings if found.trail)
    decoded = [found for found in traced if len(_slice(text, found.start, found.end)) >= nearly_all]
    if decoded:
        return b"\0".join(dict.fromkeys(_value(text, found) for found in decoded))
    return _slice(text, cluster.start, cluster.end)


def _value(text: str | bytes, finding: Finding) -> bytes:
    """What was found, as it was seen through all views; the span as it is where that cannot be done again."""
    data = _slice(text, finding.start, finding.end)
    value = data
    for step, (start, end) in zip(finding.via.split(">")[1:], finding.trail, strict=False):
        try:
            value = decode_step(step, value)[start:end]
        except ValueError:
            return data
    return value or data


def _slice(text: str | bytes, start: int, end: int) -> bytes:
    part = text[start:end]
    return part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass")


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
