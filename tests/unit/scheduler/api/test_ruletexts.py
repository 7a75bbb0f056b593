"""Rules as their authors wrote them: the lines of a rule, from the version that the decision was made by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from holdgate.bundles.format import parse_bundle
from holdgate.kernel.ruleform import definition_of
from holdgate.scheduler.api.ruletexts import RuleTexts, rule_texts
from support.trust import bundle

FIRST = """rules:
  - id: one
    decision: deny
    reason: first  # a note

  # about the next
  - id: two
    decision: allow
    reason: second
output_rules:
  - {id: three, verdict: allow, reason: out, match: {categories: [pii]}}
"""
CHANGED = FIRST.replace("reason: second", "reason: rewritten")


class Shelf:
    """Published versions of one bundle, newest last; `problem` of those that do not count."""

    def __init__(self, *versions: bytes, problem: str | None = None) -> None:
        self._versions = versions
        self._problem = problem

    def _entry(self, version: int) -> dict[str, Any]:
        return {
            "name": "house",
            "version": version,
            "digest": parse_bundle(self._versions[version - 1]).digest,
            "published_at": "2026-01-01T00:00:00Z",
            "signers": [{"key": "ed25519:a", "author": "ann"}],
            "problem": self._problem,
        }

    async def listed(self) -> list[dict[str, Any]]:
        return [self._entry(len(self._versions))]

    async def log(self, _name: str) -> list[dict[str, Any]]:
        return [self._entry(version) for version in range(len(self._versions), 0, -1)]

    async def file(self, _name: str, version: int) -> bytes:
        return self._versions[version - 1]


def definition(path: Path, rules: str, version: int) -> str:
    """The digest that a decision carries for rule `two`."""
    found = rule_texts(bundle(path, rules, version=version))
    return found["two"].definition


def test_a_rule_is_its_own_lines_without_those_of_the_next(tmp_path: Path) -> None:
    texts = rule_texts(bundle(tmp_path, FIRST))
    assert texts["one"].text == "- id: one\n  decision: deny\n  reason: first  # a note"
    assert texts["two"].text == "- id: two\n  decision: allow\n  reason: second"
    assert (texts["two"].file, texts["two"].line) == ("rules.yaml", 7)
    assert set(texts) == {"one", "two"}


def test_the_digest_is_the_one_that_decisions_carry(tmp_path: Path) -> None:
    written = {"id": "two", "decision": "allow", "reason": "second"}
    assert definition(tmp_path, FIRST, 1) == definition_of("house", written)


async def test_the_text_that_decided_is_preferred_to_a_newer_one(tmp_path: Path) -> None:
    shelf: Any = Shelf(bundle(tmp_path, FIRST), bundle(tmp_path, CHANGED, version=2))
    wanted = rule_texts(await shelf.file("house", 1))["two"].definition
    (row,) = await RuleTexts(shelf).of(["two"], {"two": wanted})
    assert (row["version"], row["as_decided"]) == (1, True)
    assert row["text"].endswith("second")


async def test_a_text_that_is_not_the_one_that_decided_says_so(tmp_path: Path) -> None:
    shelf: Any = Shelf(bundle(tmp_path, CHANGED))
    (row,) = await RuleTexts(shelf).of(["two"], {"two": "sha256:gone"})
    assert (row["version"], row["as_decided"]) == (1, False)


async def test_a_bundle_that_does_not_count_lends_no_text(tmp_path: Path) -> None:
    shelf: Any = Shelf(bundle(tmp_path, FIRST), problem="bundle_threshold")
    (row,) = await RuleTexts(shelf).of(["two"], {})
    assert (row["bundle"], row["text"], row["signers"]) == (None, None, [])


async def test_rows_stand_in_the_order_that_was_asked_for(tmp_path: Path) -> None:
    shelf: Any = Shelf(bundle(tmp_path, FIRST))
    rows = await RuleTexts(shelf).of(["two", "kernel.default", "one"], {})
    assert [(row["id"], row["bundle"]) for row in rows] == [
        ("two", "house"),
        ("kernel.default", None),
        ("one", "house"),
    ]


class TwoBundles(Shelf):
    """Two bundles that have a rule of one id, which whoever publishes past the API can make."""

    async def listed(self) -> list[dict[str, Any]]:
        return [self._entry(version) for version in range(1, len(self._versions) + 1)]

    async def log(self, _name: str) -> list[dict[str, Any]]:
        return []


async def test_where_two_bundles_have_the_id_the_text_that_decided_is_shown(tmp_path: Path) -> None:
    shelf: Any = TwoBundles(bundle(tmp_path, FIRST), bundle(tmp_path, CHANGED, version=2))
    for version in (1, 2):
        wanted = rule_texts(await shelf.file("house", version))["two"].definition
        (row,) = await RuleTexts(shelf).of(["two"], {"two": wanted})
        assert (row["version"], row["as_decided"]) == (version, True)
