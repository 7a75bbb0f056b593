"""The rules that decided, as their authors wrote them: from the bundles that are published, by their signers.

What always holds: a text is that of a bundle whose signatures count; where the decision carries the digest of a rule,
a text with another digest is shown as one that has changed since, and an older version with that digest is preferred.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cachetools import LRUCache

from holdgate.bundles.documents import Document, parse_document
from holdgate.bundles.format import parse_bundle
from holdgate.kernel.canonical import Json
from holdgate.kernel.ids import Digest
from holdgate.kernel.ruleform import definition_of
from holdgate.scheduler.api.bundles import BundleShelf

BUNDLES_KEPT = 16
OLDER_MAX = 4
"""Versions before the newest that are looked through for a rule that changed since."""
TEXT_CHARS_MAX = 8 * 1024


@dataclass(frozen=True, slots=True)
class RuleText:
    """One rule as it is written: file, line and lines, and the digest that decisions carry."""

    file: str
    line: int
    text: str
    definition: Digest


class RuleTexts:
    """Looks rules up by their ids. One per process."""

    def __init__(self, shelf: BundleShelf) -> None:
        self._shelf = shelf
        self._read: LRUCache[Digest, Mapping[str, RuleText]] = LRUCache(BUNDLES_KEPT)

    async def of(self, rules: Sequence[str], definitions: Mapping[str, str]) -> list[dict[str, Any]]:
        """A row for each of `rules`, in their order; `definitions`: of those whose digest the decision carries."""
        entries = [entry for entry in await self._shelf.listed() if _counts(entry)]
        found: dict[str, dict[str, Any]] = {}
        for entry in entries:
            texts = await self._texts(entry)
            for rule in set(rules) & set(texts):
                # Where two bundles have the id, the text that decided is the one to show.
                if rule not in found or not found[rule]["as_decided"]:
                    found[rule] = _row(rule, entry, texts[rule], definitions.get(rule))
        for rule, row in found.items():
            if row["as_decided"] is False:
                found[rule] = await self._older(row, definitions[rule]) or row
        return [found.get(rule) or _unknown(rule) for rule in rules]

    async def _older(self, row: dict[str, Any], definition: str) -> dict[str, Any] | None:
        entries = [entry for entry in await self._shelf.log(row["bundle"]) if _counts(entry)]
        for entry in entries[1 : OLDER_MAX + 1]:
            text = (await self._texts(entry)).get(row["id"])
            if text is not None and text.definition == definition:
                return _row(row["id"], entry, text, definition)
        return None

    async def _texts(self, entry: Mapping[str, Any]) -> Mapping[str, RuleText]:
        digest = Digest(entry["digest"])
        if digest not in self._read:
            data = await self._shelf.file(entry["name"], entry["version"])
            self._read[digest] = await asyncio.to_thread(rule_texts, data)
        return self._read[digest]


def rule_texts(data: bytes) -> dict[str, RuleText]:
    """The rules of a bundle file by id."""
    bundle = parse_bundle(data)
    found: dict[str, RuleText] = {}
    for path, written in bundle.rules.items():
        document = parse_document(path, written)
        lines = written.decode().splitlines()
        for index, rule in enumerate(_rules(document)):
            first = document.line(("rules", index))
            text = _cut(lines, first, _end(document, first, len(lines)))
            definition = definition_of(bundle.manifest.name, rule)
            found[str(rule.get("id"))] = RuleText(path, first, text, definition)
    return found


def _rules(document: Document) -> list[dict[str, Json]]:
    rules = document.data.get("rules") if isinstance(document.data, dict) else None
    return [rule for rule in rules or () if isinstance(rule, dict)]  # type: ignore[union-attr]  # a list, or refused


def _end(document: Document, first: int, last: int) -> int:
    """The line before the next rule, or before what follows the rules."""
    starts = (
        line
        for place, line in document.lines.items()
        if line > first and (len(place) == 1 or (len(place) == 2 and place[0] == "rules"))
    )
    return min(starts, default=last + 1) - 1


def _cut(lines: Sequence[str], first: int, last: int) -> str:
    """The lines, without the notes of the rule that follows and without what they are all indented by."""
    cut = list(lines[first - 1 : last])
    while len(cut) > 1 and (not cut[-1].strip() or cut[-1].lstrip().startswith("#")):
        cut.pop()
    indent = min((len(line) - len(line.lstrip()) for line in cut if line.strip()), default=0)
    return "\n".join(line[indent:] for line in cut)[:TEXT_CHARS_MAX]


def _counts(entry: Mapping[str, Any]) -> bool:
    return entry["problem"] is None and entry["digest"] is not None


def _row(rule: str, entry: Mapping[str, Any], text: RuleText, definition: str | None) -> dict[str, Any]:
    return {
        "id": rule,
        "bundle": entry["name"],
        "version": entry["version"],
        "published_at": entry["published_at"],
        "signers": [signer["author"] for signer in entry["signers"]],
        "file": text.file,
        "line": text.line,
        "text": text.text,
        "as_decided": text.definition == definition if definition else None,
    }


def _unknown(rule: str) -> dict[str, Any]:
    nothing = dict.fromkeys(("bundle", "version", "published_at", "file", "line", "text", "as_decided"))
    return {"id": rule, **nothing, "signers": []}
