"""What holds of every redaction, for any JSON with secrets anywhere in it."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdgate.kernel.canonical import Json, canonical_bytes, parse_json
from holdgate.scan import Finding, RedactionIncomplete, Redactor, Scanner, Unscannable
from holdgate.scan.findings import Category, Severity, View
from holdgate.scan.inspector import OutputInspector
from holdgate.scan.output import Output
from support.secrets import Secrets

SCANNER = Scanner()
REDACTOR = Redactor(b"k" * 32)
MADE = Secrets(5)
VALUES = [MADE.github(), MADE.stripe(), MADE.aws_key_id(), MADE.jwt(), MADE.pem(2), MADE.card(), "ada@lovelace.org"]

ENCODED = [base64.b64encode(f"key: {value}".encode()).decode() for value in VALUES[:5]]
ENCODED += [
    VALUES[0].encode().hex(),
    "\u200b".join(VALUES[1]),
    "".join(f"%{byte:02X}" for byte in VALUES[2].encode()),
    json.dumps({"k": VALUES[3]}),
]
NAMES = ["password", "tokens", "note", "a"]

PLAIN = st.text(st.characters(codec="utf-8"), max_size=12)
TEXT = st.one_of(
    PLAIN,
    st.builds(lambda before, value, after: f"{before} {value} {after}", PLAIN, st.sampled_from(VALUES), PLAIN),
    st.sampled_from([*VALUES, *NAMES]),
    st.builds(lambda before, value, after: before + value + after, PLAIN, st.sampled_from(ENCODED), PLAIN),
    st.builds(lambda value: f'{{"token": "{value}", "n": [1]}}', st.sampled_from(VALUES)),
)
TAG = re.compile(rb'"?\[redacted:[a-z_]+:[0-9a-f]{16}\](?:~\d)?"?')
SCALAR = st.one_of(TEXT, st.integers(-(2**53) + 1, 2**53 - 1), st.booleans(), st.none(), st.just(int(VALUES[5])))
DOCUMENT = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=12
)


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Values without the names above them, by position."""
    if isinstance(value, dict):
        items = enumerate(value.values())
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        return {path: value}
    return {at: leaf for index, item in items for at, leaf in leaves(item, f"{path}/{index}").items()}


@given(DOCUMENT)
@settings(max_examples=100, deadline=None)
def test_a_redacted_document_is_json_holds_no_finding_and_keeps_the_rest(value: Any) -> None:
    """Valid, idempotent, clean on a second scan, and what held no finding has its value."""
    findings = SCANNER.scan_value(value)
    redacted = REDACTOR.redact_value(value, findings)
    assert parse_json(canonical_bytes(redacted)) == redacted
    again = SCANNER.scan_value(redacted)
    assert again == []
    assert REDACTOR.redact_value(redacted, again) == redacted
    touched = [finding for finding in findings if finding.view == View.VALUE]
    before, after = leaves(value), leaves(redacted)
    assert before.keys() == after.keys()
    changed = {path for path in before if before[path] != after[path]}
    assert len(changed) == len({finding.path for finding in touched})
    if not findings:
        assert redacted == value


@given(DOCUMENT, st.booleans(), st.sampled_from([None, 1]))
@settings(max_examples=60, deadline=None)
def test_a_document_is_redacted_where_it_stands(value: Any, ascii_only: bool, indent: int | None) -> None:
    """The same values as without its bytes; every byte outside of what was found stays."""
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    findings = SCANNER.scan_json(text)
    redacted = REDACTOR.redact_json(text, findings)
    assert parse_json(redacted) == REDACTOR.redact_value(value, findings)
    assert SCANNER.scan_json(redacted) == []
    assert REDACTOR.redact_json(redacted, []) == redacted
    left = iter(text)
    assert all(byte in left for byte in TAG.sub(b"", redacted))
    if not findings:
        assert redacted == text


@given(st.lists(TEXT, max_size=6))
@settings(max_examples=100, deadline=None)
def test_a_redacted_text_holds_no_secret(parts: list[str]) -> None:
    """Raw text likewise; no value is left in it."""
    text = "\n".join(parts)
    redacted = REDACTOR.redact_text(text, SCANNER.scan(text))
    assert SCANNER.scan(redacted) == []
    assert not any(value in redacted for value in VALUES)


@given(DOCUMENT)
@settings(max_examples=60, deadline=None)
def test_what_is_stored_about_findings_holds_no_value(value: Any) -> None:
    """Neither in a path that leads through a secret key nor anywhere else."""
    described = repr(REDACTOR.describe(value, SCANNER.scan_value(value)))
    assert not any(secret in described for secret in VALUES)


def test_every_hit_is_replaced_not_the_first_ten() -> None:
    """A thousand of them."""
    secrets = [MADE.github() for _ in range(1000)]
    value = canonical_bytes({"rows": secrets})
    redacted = REDACTOR.redact_json(value, SCANNER.scan_json(value))
    assert redacted.count(b"[redacted:secret:") == 1000
    assert len(set(parse_json(redacted)["rows"])) == 1000  # type: ignore[index,call-overload,arg-type]


def test_one_value_has_one_tag_and_another_key_another_tag() -> None:
    """So that a reader sees what is the same, and nobody can look it up elsewhere."""
    text = f"{VALUES[0]} and {VALUES[0]}"
    first, second = (Redactor(key * 32).redact_text(text, SCANNER.scan(text)) for key in (b"a", b"b"))
    assert len(set(first.split(" and "))) == 1
    assert first != second


def test_two_keys_that_become_one_stay_two() -> None:
    """A document that already holds the tag as a key loses nothing."""
    tag = REDACTOR.redact_text(VALUES[0], SCANNER.scan(VALUES[0]))
    value = {VALUES[0]: 1, tag: 2}
    redacted = REDACTOR.redact_value(value, SCANNER.scan_value(value))  # type: ignore[arg-type]  # a plain dict is JSON
    assert isinstance(redacted, dict)
    assert sorted(redacted.values()) == [1, 2]  # type: ignore[type-var]  # they are integers


def test_a_named_value_goes_whole_whatever_is_in_it() -> None:
    """Spaces and quotes do not end a password."""
    value = canonical_bytes({"db_password": 'it\'s a 4 letter "word" x9!', "n": 1})
    redacted = parse_json(REDACTOR.redact_json(value, SCANNER.scan_json(value)))
    assert isinstance(redacted, dict)
    assert str(redacted["db_password"]).startswith("[redacted:secret:")
    assert str(redacted["db_password"]).endswith("]")


def test_a_list_of_named_values_is_secret_too() -> None:
    """`passwords: [..]`."""
    value = canonical_bytes({"passwords": ["tr0ub4dor&3", "x"], "rows": ["tr0ub4dor&3"]})
    assert [finding.path for finding in SCANNER.scan_json(value)] == ["/passwords/0"]


def test_a_key_block_over_log_lines_is_found_in_every_line() -> None:
    """Printed line by line, as a worker's log has it."""
    inspector = OutputInspector(SCANNER, b"k" * 32)
    lines = tuple(MADE.pem(4).split("\n"))
    output = Output(value=b"1", logs=("before", *lines, "after"))
    assert inspector.inspect(output).kinds == (("private-key-pem", "private_key", "critical"),)
    redacted = inspector.redact(output)
    assert (redacted.logs[0], redacted.logs[-1]) == ("before", "after")
    assert not any(line in redacted.logs for line in lines)


def test_an_empty_line_in_the_midst_of_a_finding_is_passed_over() -> None:
    """A list of lines, as logs are: a key block with an empty line, an order with one, a name that is empty."""
    block = MADE.pem(4).split("\n")
    for lines in ([block[0], "", *block[1:]], ["ignore all", "", "previous instructions"]):
        document = json.dumps({"": "", "logs": lines}).encode()
        findings = SCANNER.scan_json(document)
        assert findings
        assert "/logs/1" not in {finding.path for finding in findings}
        assert SCANNER.scan_json(REDACTOR.redact_json(document, findings)) == []


def test_what_holds_no_finding_stays_byte_for_byte() -> None:
    """Spaces, escapes, the notation of numbers, the order of keys."""
    rest = b'{ "z": 1.50e3,\t"a" :"\\u0041\\/\\n", "%b":\n[ null, true, "tok \\"%b\\" end" ], "n": %b }'
    secret, card = VALUES[0].encode(), VALUES[5].encode()
    text = rest % (b"key", secret, card)
    findings = SCANNER.scan_json(text)
    tags = [
        f"[redacted:{f.category}:{REDACTOR.fingerprint(value)}]".encode()
        for f, value in zip(findings, (secret, card), strict=True)
    ]
    assert REDACTOR.redact_json(text, findings) == rest % (b"key", tags[0], b'"%b"' % tags[1])


def test_keys_that_become_one_stay_two_where_they_stand() -> None:
    """A document with the same key twice would be none."""
    run = base64.b64encode(VALUES[0].encode()).decode()
    tag = f"[redacted:secret:{REDACTOR.fingerprint(VALUES[0])}]"
    text = json.dumps({VALUES[0]: 1, run: 2, tag: 3, "in": {VALUES[0]: 4}}).encode()
    redacted = json.loads(REDACTOR.redact_json(text, SCANNER.scan_json(text)))
    assert redacted == {f"{tag}~2": 1, f"{tag}~3": 2, tag: 3, "in": {tag: 4}}


def test_what_a_redaction_leaves_around_a_tag_is_no_finding() -> None:
    """And what it does not make harmless is."""
    for around in (" {}\n", "0x{}'}}", "=={} and more", "token: {};"):
        value: Json = [{name: around.format(secret.encode().hex(" "))} for name in NAMES for secret in VALUES[:4]]
        redacted = REDACTOR.redact_value(value, SCANNER.scan_value(value))
        assert SCANNER.scan_value(redacted) == []
    tag = f"[redacted:secret:{REDACTOR.fingerprint('x')}]"
    assert SCANNER.scan_value({"password": f"hunter2x9 {tag}"}) != []


def test_bytes_are_redacted_as_texts_are() -> None:
    """With offsets in bytes, whatever the bytes are."""
    data = b"\xff\x00 " + VALUES[0].encode() + " é".encode()
    tag = f"[redacted:secret:{REDACTOR.fingerprint(VALUES[0])}]".encode()
    assert REDACTOR.redact_bytes(data, SCANNER.scan(data)) == b"\xff\x00 " + tag + " é".encode()


def test_a_value_has_one_tag_as_text_and_as_bytes() -> None:
    """Letters of two bytes count as much in both, where what was decoded is a part of what goes."""
    text = f"password='{'é' * 10}{base64.b64encode(Secrets(5).github().encode()).decode()}'"
    redacted = REDACTOR.redact_text(text, SCANNER.scan(text))
    assert REDACTOR.redact_bytes(text.encode(), SCANNER.scan(text.encode())).decode() == redacted
    assert redacted.count("[redacted:secret:") == 1


def test_a_finding_that_is_nowhere_is_an_error() -> None:
    """Never a gap: a value that could not be located is not let through."""
    finding = Finding("x", Category.SECRET, Severity.HIGH, 0, 4, "/other", View.VALUE)
    with pytest.raises(RedactionIncomplete):
        REDACTOR.redact_value({"a": "text"}, [finding])
    with pytest.raises(RedactionIncomplete):
        REDACTOR.redact_json(b'{"a": "text"}', [finding])
    with pytest.raises(RedactionIncomplete):
        REDACTOR.redact_text("abc", [Finding("x", Category.SECRET, Severity.HIGH, 1, 9)])


def test_what_is_not_json_is_unscannable() -> None:
    """Also what is JSON to some readers and something else to others."""
    for data in (b"", b"{", b'{"a":1,"a":2}', b"NaN", b"\xff", b'"\\ud800"', b"[" * 100):
        with pytest.raises(Unscannable):
            SCANNER.scan_json(data)
