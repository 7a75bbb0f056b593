"""The engine: never silent, never endless. And exact matches of known secrets."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from urllib.parse import quote

import pytest
import re2

from holdgate.scan import EngineFailed, RedactionIncomplete, ScanError, ScanIncomplete, Scanner, ScanTimedOut
from holdgate.scan.engine import PIECE_BYTES, Budget, Engine, Meter
from holdgate.scan.errors import RulesInvalid
from holdgate.scan.findings import Category, Severity
from holdgate.scan.known import KnownSecrets
from holdgate.scan.ruleset import Rule, builtin_rules, latin1_options, parse_rules
from holdgate.scan.sets import SENTINEL, AnchorSet, PartedSet, re2_set, set_anchor
from support.secrets import ALNUM, Secrets

MADE = Secrets(9)
SCANNER = Scanner()


class StarvedSet:
    """An RE2 set without memory for its automaton: it answers as if nothing matched (google/re2 issue 136)."""

    def __init__(self) -> None:
        options = latin1_options()
        options.max_mem = 1
        self.starved = re2.Set.SearchSet(options)
        self.starved.Add(b"[a-z]{1,900}x")

    def Match(self, text: bytes) -> list[int]:  # noqa: N802  the name that RE2 gives it
        """None or an empty list."""
        return self.starved.Match(text) or []


def test_an_engine_that_did_not_run_is_an_error_not_a_clean_text() -> None:
    """Without the sentinel this text would count as clean."""
    engine = Engine(builtin_rules())
    assert list(engine.hits(b"clean")) == []
    engine._set = StarvedSet()
    with pytest.raises(EngineFailed):
        list(engine.hits(b"clean"))


def test_an_engine_that_finds_a_rule_and_not_the_sentinel_failed() -> None:
    """It may have stopped half-way."""

    class HalfSet:
        def Match(self, _: bytes) -> list[int]:  # noqa: N802  the name that RE2 gives it
            return [0]

    engine = Engine(builtin_rules())
    engine._set = HalfSet()
    with pytest.raises(EngineFailed):
        list(engine.hits(b"clean"))


def test_a_pattern_that_the_sentinel_has_in_it_is_no_failure() -> None:
    """A tenant's own may be any letters."""
    letters = Rule("letters", Category.PII, Severity.LOW, "([a-z]{4,20})", 20)
    assert [(hit.start, hit.end) for hit in Engine([letters]).hits(b"some 12")] == [(0, 4)]


def test_one_set_of_several_that_did_not_run_is_an_engine_that_failed() -> None:
    """Anchors are in sets by kind; each must answer."""
    rules = builtin_rules()
    parts = PartedSet(rules, list(map(set_anchor, rules)))._parts
    assert len(parts) > 3
    for starved, (_, sentinel, numbers) in enumerate(parts):
        engine, found = Engine([]), PartedSet([], [])
        found._parts = [*parts[:starved], (StarvedSet().Match, sentinel, numbers), *parts[starved + 1 :]]
        engine._set = found
        with pytest.raises(EngineFailed):
            list(engine.hits(b"clean"))


def test_a_text_of_chance_does_not_slow_a_new_engine() -> None:
    """Base64 that it has not seen: one automaton of all anchors meets many more new states, three times as slow."""
    text = base64.b64encode(MADE.random.randbytes(30_000))
    rules = builtin_rules()
    anchors = list(map(set_anchor, rules))
    taken_s = []
    made: list[Callable[[], AnchorSet]] = [lambda: re2_set(tuple(anchors)), lambda: PartedSet(rules, anchors)]
    for make in made:
        re2_set.cache_clear()  # what is shared may have seen the text
        found = make()
        started = time.process_time()
        assert found.Match(text + SENTINEL)
        taken_s.append(time.process_time() - started)
    assert taken_s[1] < taken_s[0] / 1.8


def test_a_text_that_holds_the_sentinel_does_not_pass_for_an_engine_that_ran() -> None:
    """It is the engine's answer that counts, not the text."""
    engine = Engine(builtin_rules())
    engine._set = StarvedSet()
    with pytest.raises(EngineFailed):
        list(engine.hits(SENTINEL * 3))


@pytest.mark.parametrize("offset", range(-45, 5))
def test_a_secret_on_the_border_of_two_pieces_is_found_once(offset: int) -> None:
    """Wherever the border cuts it."""
    secret = MADE.github()
    before = " " * (PIECE_BYTES + offset)
    assert [(f.start, f.end) for f in SCANNER.scan(before + secret + " ")] == [(len(before), len(before) + 40)]


@pytest.mark.parametrize(
    ("budget", "error"),
    [
        (Budget(text_chars_max=10), ScanIncomplete),
        (Budget(work_base=0, work_per_byte=0), ScanIncomplete),
        (Budget(findings_max=2), ScanIncomplete),
        (Budget(seconds=0.0), ScanTimedOut),
    ],
)
def test_a_budget_that_ends_the_scan_is_an_error(budget: Budget, error: type[ScanError]) -> None:
    """Never a part of the findings."""
    text = " ".join(MADE.github() for _ in range(3))
    with pytest.raises(error):
        Scanner(budget=budget).scan(text)


@pytest.mark.parametrize(
    "unit",
    ["password=", "aws_secret=", "://a:", "-----BEGIN PRIVATE KEY-----", "eyJhbGciOi.eyJ", "4111 1111 1111 ", "a@"],
)
def test_a_hostile_text_ends_at_its_budget(unit: str) -> None:
    """Repeats of what begins a rule: scanned to the end, or given up; never for ever."""
    try:
        Scanner().scan(unit * (60_000 // len(unit)))
    except ScanIncomplete:
        return


@pytest.mark.parametrize("unit", [b"x", b"aws_secret=", MADE.chars(ALNUM, 999).encode(), b"eyJ0eXAi."])
def test_a_line_of_megabytes_ends_at_its_budget(unit: bytes) -> None:
    """Without a space in it: looked at to its end, or given up in time; no step looks at more than a piece or two."""
    engine = Engine(builtin_rules(), Budget(seconds=0.2))
    started = time.monotonic()
    try:
        assert list(engine.hits(unit * (3_000_000 // len(unit)))) == []
    except ScanTimedOut:
        assert time.monotonic() - started >= 0.2
    assert time.monotonic() - started < 2.0


def test_views_of_a_text_share_one_budget() -> None:
    """Work, findings and what decoding makes are counted over all of them."""
    engine = Engine(builtin_rules())
    text = MADE.github().encode()
    meter = Meter(Budget(findings_max=2), len(text))
    assert len(list(engine.hits(text, meter)) + list(engine.hits(text, meter))) == 2
    with pytest.raises(ScanIncomplete):
        list(engine.hits(text, meter))
    work = Meter(Budget(work_base=PIECE_BYTES, work_per_byte=0), len(text))
    assert list(engine.hits(b"clean", work)) == []
    with pytest.raises(ScanIncomplete):
        list(engine.hits(b"clean", work))
    decoded = Meter(Budget(decoded_base=10, decoded_factor=2), 100)
    decoded.decoded(210)
    with pytest.raises(ScanIncomplete):
        decoded.decoded(1)


def test_what_latin_1_cannot_say_keeps_its_place() -> None:
    """Offsets are characters of the text."""
    secret = MADE.github()
    text = f"日本語 😀 é {secret} ü"
    [finding] = Scanner().scan(text)
    assert text[finding.start : finding.end] == secret


def test_bytes_are_scanned_as_they_are() -> None:
    """Offsets are bytes; no encoding is assumed."""
    secret = MADE.github().encode()
    data = b"\xff\xfe \x00" + secret + b" \xc3"
    [finding] = Scanner().scan(data)
    assert data[finding.start : finding.end] == secret


SECRET = "p1/" + MADE.chars(ALNUM, 19) + "+=?"
FORMS = {
    "plain": SECRET,
    "hex": SECRET.encode().hex(),
    "hex upper": SECRET.encode().hex().upper(),
    "percent": quote(SECRET, safe=""),
    "json": json.dumps(SECRET).replace("/", "\\/"),
    "json \\u": "".join(f"\\u{ord(c):04x}" for c in SECRET),
    **{f"base64 {n}": base64.b64encode(b"#" * n + SECRET.encode() + b"#" * n).decode() for n in range(4)},
    **{f"base64url {n}": base64.urlsafe_b64encode(b"?" * n + SECRET.encode() + b">" * n).decode() for n in range(4)},
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_known_secret_is_found_in_every_form(form: str) -> None:
    """As it leaves a program, and with anything around it."""
    scanner = Scanner([SECRET.encode()])
    for text in (form, f"x {form} y", f"{'z' * 5000}\n{form}"):
        assert Category.PLATFORM_SECRET in {finding.category for finding in scanner.scan(text)}


def test_a_known_secret_that_is_not_ascii_is_found() -> None:
    """In a text and in bytes."""
    scanner = Scanner(["пароль-日本".encode()])
    assert [f.severity for f in scanner.scan("это пароль-日本!")] == [Severity.CRITICAL]
    assert [f.severity for f in scanner.scan("это пароль-日本!".encode())] == [Severity.CRITICAL]


def test_known_secrets_do_not_print_and_short_ones_are_refused() -> None:
    """A secret of three letters would be found everywhere."""
    assert SECRET not in repr(KnownSecrets([SECRET.encode()]))
    with pytest.raises(ValueError, match="6 to"):
        Scanner([b"abc"])


def test_secrets_are_told_from_personal_data_at_the_door() -> None:
    """What a rule may ask as `secrets_present`."""
    scanner = Scanner()
    assert scanner.present("status", None, MADE.github().encode()).secrets
    assert not scanner.present("ada@lovelace.org", MADE.card(), None, b"null").secrets
    assert Scanner(budget=Budget(work_base=0, work_per_byte=0)).present("too much").secrets


RULE = "family: x\nrules:\n  - {id: a, category: secret, severity: high, regex: 'abc', max_len: 3%s}\n"


@pytest.mark.parametrize(
    "text",
    [
        "family: x",
        "rules: []",
        "[",
        "family: x\nrules: [1]",
        RULE % ", more: 1",
        RULE % ", validator: none",
        RULE % ", before: 1000",
        RULE.replace("secret", "secrets") % "",
        RULE.replace("high", "big") % "",
        RULE.replace("max_len: 3", "max_len: 1000") % "",
        RULE.replace("max_len: 3", "max_len: 100000") % ", anchor: a",
        RULE.replace("'abc'", "'(?=a)b'") % "",
        RULE.replace("'abc'", "'é'") % "",
    ],
)
def test_a_rules_file_that_is_not_right_does_not_load(text: str) -> None:
    """No rule is left out in silence."""
    with pytest.raises(RulesInvalid):
        parse_rules(text, "test.yaml")


def test_a_redaction_that_leaves_something_says_so() -> None:
    """A rule that fires on what a tag leaves behind: the output is not let through."""
    from holdgate.scan.inspector import OutputInspector
    from holdgate.scan.output import Output

    touching = Rule("touching", Category.SECRET, Severity.HIGH, r"\] (x+)", 20)
    token = next(rule for rule in builtin_rules() if rule.id == "github-token")
    inspector = OutputInspector(Scanner(rules=[token, touching]), b"k" * 32)
    with pytest.raises(RedactionIncomplete):
        inspector.redact(Output(value=json.dumps(f"{MADE.github()} xxx").encode()))
