"""What a caller of the scanner gets: places, views, presence; and what it must not get."""

from __future__ import annotations

import base64
import json
import time

import pytest

from holdgate.scan import Category, Finding, Redactor, Scanner, Severity, Unscannable, scanner
from holdgate.scan.engine import Budget
from holdgate.scan.scanner import Present
from holdgate.scan.views.escapes import undo
from support.secrets import ALNUM, Secrets

MADE = Secrets(29)
SECRET = MADE.github()
SCANNER = Scanner()


def found(value: str | bytes) -> list[tuple[str, str]]:
    """Rules and views of what is in a text."""
    return [(finding.detector, finding.via) for finding in SCANNER.scan(value)]


def test_offsets_are_those_of_the_text_that_was_given() -> None:
    """Characters of a text, bytes of bytes, of the encoded run where it was found deeper."""
    run = base64.b64encode(f"key: {SECRET}".encode()).decode()
    text = f"日本 é — {SECRET} и {run}"
    plain, coded = SCANNER.scan(text)
    assert text[plain.start : plain.end] == SECRET
    assert text[coded.start : coded.end] == run
    assert (plain.via, coded.via) == ("raw", "raw>base64")
    [first, second] = SCANNER.scan(text.encode())
    assert text.encode()[first.start : first.end] == SECRET.encode()
    assert text.encode()[second.start : second.end] == run.encode()


def test_offsets_in_a_document_are_those_of_the_unescaped_leaf() -> None:
    """Whatever escapes stand before and in it; keys likewise."""
    value = {f'a "key" {SECRET}': 1, "deep": [{"x/y~z": f'\u2028 "é"\n{SECRET} \\ 😀'}]}
    for document in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        key, leaf = SCANNER.scan_json(document.encode())
        assert (key.view, leaf.view) == ("key", "value")
        assert leaf.path == "/deep/0/x~1y~0z"
        text = value["deep"][0]["x/y~z"]  # type: ignore[index]  # it is a list
        assert text[leaf.start : leaf.end] == SECRET
        assert f'a "key" {SECRET}'[key.start : key.end] == SECRET
        assert SCANNER.scan_value(json.loads(document)) == [key, leaf]


def test_numbers_are_looked_at_and_go_whole() -> None:
    """A card number without quotes."""
    card = MADE.card()
    [finding] = SCANNER.scan_json(b'{"card": %s}' % card.encode())
    assert (finding.category, finding.path, finding.start, finding.end) == (Category.PII, "/card", 0, len(card))
    [below] = SCANNER.scan_json(b'{"card": -%s}' % card.encode())
    assert (below.start, below.end) == (0, len(card) + 1)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16", "utf-32-le", "utf-32-be"])
def test_wide_characters_are_read(encoding: str) -> None:
    """Bytes of two and four a character, with and without a mark."""
    data = f"the key is {SECRET}.".encode(encoding)
    assert found(data) == [("github-token", "raw>utf")]


def test_mixed_encodings_hide_nothing() -> None:
    """UTF-8, latin-1, UTF-16 and bytes that are none of them, in one text."""
    data = "é".encode("latin-1") + b"\xff\xc3 " + SECRET.encode() + b" \xed\xa0\x80 " + SECRET.encode("utf-16-le")
    assert found(data) == [("github-token", "raw"), ("github-token", "raw>utf")]


def test_a_text_with_half_a_surrogate_pair_is_scanned() -> None:
    """Which no UTF-8 has."""
    text = f"\ud800 {SECRET} \udfff"
    [finding] = SCANNER.scan(text)
    assert text[finding.start : finding.end] == SECRET


def test_a_value_that_is_secret_by_its_name_goes_whole() -> None:
    """Escapes, quotes and length do not end it."""
    values = ['a "quoted" passphrase 7', MADE.chars(ALNUM, 300), "\\back\\slash-12X9"]
    for value in values:
        [finding] = SCANNER.scan_value({"db_password": value})
        assert (finding.path, finding.start, finding.end) == ("/db_password", 0, len(value))


def test_a_named_value_that_is_cut_off_ends_with_the_text() -> None:
    """Within a part that is looked at by itself, and in a text that is no whole document."""
    token = MADE.jwt()
    for text in (f'{{"password":"log\\tline\\\\n\uff41{token})","z":"tail"}}', f'"password": "\\n{token}'):
        for finding in SCANNER.scan(text):
            assert 0 <= finding.start < finding.end <= len(text)
        assert token[:12] not in Redactor(b"k" * 32).redact_text(text, SCANNER.scan(text))


def test_presence_tells_secrets_from_personal_data_and_from_the_platforms_own() -> None:
    """Three answers; all of them yes where the text cannot be searched."""
    known = Scanner([b"correct-horse-battery"])
    assert known.present("status", None, b"null") == Present()
    assert known.present(SECRET) == Present(secrets=True)
    assert known.present("ada@lovelace.org") == Present(pii=True)
    assert known.present("x", "correct-horse-battery") == Present(secrets=True, platform=True)
    encoded = base64.b64encode(b"mail ada@lovelace.org about it").decode()
    assert known.present(encoded, SECRET) == Present(secrets=True, pii=True)
    assert Scanner(budget=Budget(work_base=0, work_per_byte=0)).present("x") == Present(True, True, True)


def test_a_finding_holds_no_value() -> None:
    """Neither does what it prints."""
    assert SECRET not in repr(SCANNER.scan(f"{SECRET} {base64.b64encode(SECRET.encode()).decode()}"))


def test_what_is_found_twice_is_told_once() -> None:
    """In its own place, by the plainest view; two secrets in one run are two."""
    assert SCANNER.scan(f'{{"a": "\\n{SECRET}"}}') == [
        Finding("github-token", Category.SECRET, Severity.HIGH, 9, 49, "", "raw")
    ] or found(f'{{"a": "\\n{SECRET}"}}') == [("github-token", "raw")]
    both = base64.b64encode(f"{SECRET} {MADE.stripe()} {MADE.card()}".encode()).decode()
    assert {detector for detector, _ in found(both)} >= {"github-token", "stripe-key"}


def test_a_stream_is_searched_with_offsets_in_the_whole() -> None:
    """In chunks of any size."""
    data = b"x " * 40_000 + SECRET.encode() + b" y" * 3
    chunks = [data[at : at + 777] for at in range(0, len(data), 777)]
    assert [(f.start, f.end) for f in SCANNER.scan_stream(chunks)] == [(80_000, 80_040)]


def test_what_is_not_json_is_unscannable_as_a_document() -> None:
    """Two readers would read it differently."""
    for data in (b"{", b'{"a":1,"a":2}', b"\xff", b"[" * 100 + b"]" * 100):
        with pytest.raises(Unscannable):
            SCANNER.scan_json(data)


@pytest.mark.parametrize("kind", ["deep", "long", "bytes", "keys"])
def test_what_cannot_be_written_as_json_is_unscannable(kind: str) -> None:
    """Whatever a caller calls a value."""
    deep: list[object] = []
    for _ in range(20_000):
        deep = [deep]
    values = {"deep": deep, "long": 10**5000, "bytes": {"a": b"x"}, "keys": {(1,): SECRET}}
    with pytest.raises(Unscannable):
        SCANNER.scan_value(values[kind])  # type: ignore[arg-type]  # what no JSON has


def test_a_lookalike_counts_beside_what_a_token_is_made_of() -> None:
    """Letters, digits and marks; prose in its own script stays what it is."""
    assert undo("a-\u043e-b.\u0441.d/\u0430".encode()) == b"a-o-b.c.d/a"
    for prose in ("съешь ещё этих булок", "ώρα καλή"):
        assert undo(prose.encode()).decode() == prose


def test_bytes_of_any_kind_are_bytes_and_nothing_else_is_taken() -> None:
    """What is no text is told where it belongs."""
    data = f"é {SECRET}".encode()
    assert SCANNER.scan(bytearray(data)) == SCANNER.scan_raw(memoryview(data)) == SCANNER.scan(data)
    for value in (None, {"a": SECRET}, 7):
        with pytest.raises(TypeError, match="scan_value"):
            SCANNER.scan(value)  # type: ignore[arg-type]  # that is what is tried


@pytest.mark.parametrize(
    "text", ['["password=", true, "token"]', '{"password=": [[null], {}, false]}', '["password=", [""]]']
)
def test_what_is_found_between_texts_is_nothing_that_anybody_wrote(text: str) -> None:
    """A name that promises a secret, and then a word of JSON's own: no fault of the engine, and no secret."""
    assert Scanner().scan_json(text.encode()) == []


def test_what_is_found_and_is_in_no_text_is_not_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where texts are not told from what is between them, nobody knows what was found."""
    monkeypatch.setattr(scanner, "leaves", lambda *_: ())
    with pytest.raises(Unscannable):
        Scanner().scan_value([MADE.github()])


def test_a_key_with_line_ends_is_one_finding_in_a_document() -> None:
    """Which is text with escapes in it."""
    [key] = SCANNER.scan_value({"file": MADE.pem() + "\n"})
    assert (key.category, key.start) == (Category.PRIVATE_KEY, 0)


def test_many_findings_are_located_in_time_that_grows_as_they_do() -> None:
    """A list of customers: each is looked up, not searched for."""
    document = json.dumps([f"user{number}@mail{number % 97}.example.com" for number in range(12_000)]).encode()
    started = time.process_time()
    assert len(SCANNER.scan_json(document)) == 12_000
    assert time.process_time() - started < 2.5
