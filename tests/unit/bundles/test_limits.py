"""Every limit on a bundle: what is at it is accepted, what is one over is refused with the limit in the message."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from holdgate.bundles import trusted as trusted_module
from holdgate.bundles.documents import DEPTH_MAX, load_rules_file, parse_document
from holdgate.bundles.errors import BundleRefused
from holdgate.bundles.format import build_bundle, parse_bundle
from holdgate.bundles.manifest import FILES_MAX
from holdgate.bundles.trusted import BUNDLES_MAX, Floor, TrustedSet
from holdgate.kernel import limits
from holdgate.kernel.conditions import parse_condition
from holdgate.kernel.errors import HoldgateError
from holdgate.kernel.ruleform import parse_rules
from support.trust import ALLOW_READS, NOW_MS, Ceremony, bundle

RULE = {"id": "r", "decision": "deny", "reason": "x"}


def _rules(count: int) -> None:
    parse_rules({"rules": [{**RULE, "id": f"r{number}"} for number in range(count)]}, "b")


def _reason(count: int) -> None:
    parse_rules({"rules": [{**RULE, "reason": "x" * count}]}, "b")


def _rule_id(count: int) -> None:
    parse_rules({"rules": [{**RULE, "id": "x" * count}]}, "b")


def _match_values(count: int) -> None:
    parse_rules({"rules": [{**RULE, "match": {"actors": [f"a{number}" for number in range(count)]}}]}, "b")


def _topic_tokens(count: int) -> None:
    parse_rules({"rules": [{**RULE, "match": {"topics": [".".join(["a"] * count)]}}]}, "b")


def _expression(count: int) -> None:
    text = 'job.topic == "'
    parse_condition(text + "x" * (count - len(text) - 1) + '"')


def _pattern(count: int) -> None:
    parse_condition(f'job.topic.matches("{"x" * count}")')


def _pattern_as_a_function(count: int) -> None:
    parse_condition(f'matches(job.topic, "{"x" * count}")')


def _macros(count: int) -> None:
    parse_condition(" || ".join(['job.risk_tags.exists(x, x == "a")'] * count))


def _macros_in_macros(count: int) -> None:
    text = "true"
    for number in range(count):
        text = f"job.risk_tags.exists(x{number}, {text})"
    parse_condition(text)


def _additions(count: int) -> None:
    parse_condition("+".join(["1"] * (count + 1)) + " == 1")


def _nesting(count: int) -> None:
    parse_document("r.yaml", b"[" * count + b"]" * count)


def _file_bytes(count: int) -> None:
    text = b"rules: []\n#"
    load_rules_file("r.yaml", text + b" " * (count - len(text)), "b")


LIMITS: dict[str, tuple[Callable[[int], None], int]] = {
    "rules": (_rules, limits.RULES_MAX),
    "characters of a reason": (_reason, limits.REASON_CHARS_MAX),
    "characters of an id": (_rule_id, limits.RULE_ID_CHARS_MAX),
    "values of a match": (_match_values, limits.MATCH_VALUES_MAX),
    "tokens of a topic": (_topic_tokens, limits.TOPIC_TOKENS_MAX),
    "characters of an expression": (_expression, limits.EXPRESSION_CHARS_MAX),
    "characters of a regular expression": (_pattern, limits.EXPRESSION_PATTERN_CHARS_MAX),
    "characters of a regular expression, as a function": (_pattern_as_a_function, limits.EXPRESSION_PATTERN_CHARS_MAX),
    "macros": (_macros, limits.EXPRESSION_MACROS_MAX),
    "macros in macros": (_macros_in_macros, limits.EXPRESSION_NESTING_MAX),
    "additions": (_additions, limits.EXPRESSION_ADDITIONS_MAX),
    "nesting of a file": (_nesting, DEPTH_MAX),
    "bytes of a file": (_file_bytes, limits.RULES_FILE_BYTES_MAX),
}
NAMED_OTHERWISE = {"characters of an id"}
"""Their messages say the shape that is expected, and not the number."""


@pytest.mark.parametrize(("use", "limit"), LIMITS.values(), ids=LIMITS)
def test_at_a_limit(use: Callable[[int], None], limit: int) -> None:
    use(limit)


@pytest.mark.parametrize("name", LIMITS)
def test_one_over_a_limit(name: str) -> None:
    use, limit = LIMITS[name]
    with pytest.raises(HoldgateError) as caught:
        use(limit + 1)
    assert name in NAMED_OTHERWISE or str(limit) in str(caught.value)


# A directory ----------------------------------------------------------------------------------------------------------


def _build(place: Path, files: Mapping[str, bytes], **named: Any) -> bytes:
    place.mkdir(exist_ok=True)
    for path, data in files.items():
        (place / path).write_bytes(data)
    lines = {"name": "b", "version": 1, "expires": '"2039-01-01T00:00:00Z"', **named}
    (place / "bundle.yaml").write_text("".join(f"{key}: {value}\n" for key, value in lines.items()))
    return build_bundle(place)


@pytest.mark.parametrize("kind", ["rules", "tests"])
def test_files_of_a_bundle(tmp_path: Path, kind: str) -> None:
    files = {f"f{number}.yaml": b"rules: []" for number in range(FILES_MAX + 1)}
    named = {"rules": "[f0.yaml]", kind: f"[{', '.join(sorted(files)[1:])}]"}
    parse_bundle(_build(tmp_path, files, **named))
    more = {"rules": "[f0.yaml]", kind: f"[{', '.join(files)}]"}
    with pytest.raises(BundleRefused, match=f"at most {FILES_MAX}") as caught:
        _build(tmp_path, files, **more)
    assert caught.value.code == "bundle_too_many_files"


def test_bytes_of_a_file_of_a_bundle(tmp_path: Path) -> None:
    parse_bundle(_build(tmp_path, {"a.yaml": b" " * limits.RULES_FILE_BYTES_MAX}, rules="[a.yaml]"))
    with pytest.raises(BundleRefused, match=str(limits.RULES_FILE_BYTES_MAX)) as caught:
        _build(tmp_path, {"a.yaml": b" " * (limits.RULES_FILE_BYTES_MAX + 1)}, rules="[a.yaml]")
    assert caught.value.code == "bundle_too_large"


# A set ----------------------------------------------------------------------------------------------------------------


def test_bundles_of_a_set(tmp_path: Path) -> None:
    """Those that were dropped count: what closes their scope is kept too."""
    one = TrustedSet.under(Ceremony().root).accept(bundle(tmp_path, ALLOW_READS), NOW_MS)
    floor = Floor(1, one.floors["house"].digest, one.floors["house"].scope)
    full = replace(one, floors={**one.floors, **{f"b{number}": floor for number in range(BUNDLES_MAX - 1)}})
    full.accept(bundle(tmp_path, ALLOW_READS, version=2), NOW_MS)
    another = "rules:\n  - {id: another, decision: deny, reason: x}\n"
    with pytest.raises(BundleRefused, match=f"more than {BUNDLES_MAX}") as caught:
        full.accept(bundle(tmp_path, another, name="one-more"), NOW_MS)
    assert caught.value.code == "bundle_count"


def test_bytes_of_a_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bundle(tmp_path, ALLOW_READS)
    monkeypatch.setattr(trusted_module, "SET_BYTES_MAX", len(data))
    one = TrustedSet.under(Ceremony().root).accept(data, NOW_MS)
    with pytest.raises(BundleRefused, match=f"over {len(data)} bytes"):
        one.accept(bundle(tmp_path, "rules: []\n", name="b"), NOW_MS)


def test_rules_of_a_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RULES_MAX", 1)
    one = TrustedSet.under(Ceremony().root).accept(bundle(tmp_path, ALLOW_READS), NOW_MS)
    another = "rules:\n  - {id: another, decision: deny, reason: x}\n"
    with pytest.raises(BundleRefused, match="more than 1 rules") as caught:
        one.accept(bundle(tmp_path, another, name="b"), NOW_MS)
    assert caught.value.code == "bundle_set"
