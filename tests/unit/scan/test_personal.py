"""Personal data: numbers are told by their check digits and by a word near by; what only looks alike is left alone."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest

from holdgate.scan import Scanner
from holdgate.scan.engine import Engine
from holdgate.scan.examples import made, matching
from holdgate.scan.findings import Category
from holdgate.scan.ruleset import Rule, builtin_rules
from holdgate.scan.validators import VALIDATORS
from holdgate.scan.validators.personal import PERSONAL as PERSONAL_VALIDATORS

SCANNER = Scanner()
PERSONAL = [rule for rule in builtin_rules() if rule.category is Category.PII]

DMY = "(0[1-9]|1[0-9]|2[0-8])(0[1-9]|1[0-2])[3-9][0-9]"
YMD = "[3-9][0-9](0[1-9]|1[0-2])(0[1-9]|1[0-9]|2[0-8])"
ELSEWHERE: dict[str, tuple[str, str]] = {
    "at_svnr": ("at.vnr", rf"[1-9]\d{{3}}{DMY}"),
    "au_tfn": ("au.tfn", r"\d{9}"),
    "baltic_id": ("ee.ik", rf"[34]{YMD}\d{{4}}"),
    "be_rrn": ("be.nn", rf"{YMD}\d{{5}}"),
    "bg_egn": ("bg.egn", rf"{YMD}\d{{4}}"),
    "br_cnpj": ("br.cnpj", r"\d{14}"),
    "br_cpf": ("br.cpf", r"\d{11}"),
    "ca_sin": ("ca.sin", r"\d{9}"),
    "card": ("luhn", r"4\d{15}"),
    "ch_ahv": ("ch.ssn", r"756\d{10}"),
    "cl_rut": ("cl.rut", r"\d{8}[\dK]"),
    "cn_id": ("cn.ric", r"110101(19[5-9]\d)(0[1-9]|1[0-2])(0[1-9]|1\d|2[0-8])\d{3}[\dX]"),
    "cz_rc": ("cz.rc", rf"{YMD}\d{{4}}"),
    "de_steuer_id": ("de.idnr", r"(12345678|98765432|13579246)\d{3}"),
    "dk_cpr": ("dk.cpr", rf"{DMY}\d{{4}}"),
    "es_dni": ("es.dni", r"\d{8}[A-Z]"),
    "es_nie": ("es.nie", r"[XYZ]\d{7}[A-Z]"),
    "fi_hetu": ("fi.hetu", rf"{DMY}-\d{{3}}[0-9A-FHJ-NPR-Y]"),
    "fr_nir": ("fr.nir", r"[12]\d\d(0[1-9]|1[0-2])(75|2A|2B|13)\d{8}"),
    "gb_nhs": ("gb.nhs", r"\d{10}"),
    "gr_amka": ("gr.amka", rf"{DMY}\d{{5}}"),
    "iban": ("iban", r"DE\d{20}"),
    "ie_pps": ("ie.pps", r"\d{7}[A-W][ABTW]"),
    "il_id": ("il.idnr", r"\d{9}"),
    "in_aadhaar": ("in_.aadhaar", r"\d{12}"),
    "it_cf": ("it.codicefiscale", r"[A-Z]{6}[3-9]\d[ABCDEHLMPRST](0[1-9]|[14]\d|[256][0-8])[A-I]\d{3}[A-Z]"),
    "jp_my_number": ("jp.in_", r"\d{12}"),
    "kr_rrn": ("kr.rrn", rf"{YMD}-[12]\d{{6}}"),
    "mx_curp": ("mx.curp", rf"BOXW{YMD}[HM]VZRRL[\dA]\d"),
    "nl_bsn": ("nl.bsn", r"\d{9}"),
    "no_fnr": ("no.fodselsnummer", rf"{DMY}\d{{5}}"),
    "pl_pesel": ("pl.pesel", rf"{YMD}\d{{5}}"),
    "pt_nif": ("pt.nif", r"[123]\d{8}"),
    "ro_cnp": ("ro.cnp", rf"[12]{YMD}(12|40|01)\d{{4}}"),
    "se_pnr": ("se.personnummer", rf"{YMD}-\d{{4}}"),
    "tr_tckn": ("tr.tckimlik", r"\d{11}"),
    "us_ssn": ("us.ssn", r"\d{9}"),
    "za_id": ("za.idnr", rf"{YMD}\d{{4}}[01]8\d"),
}
STRICTER = {
    "be_rrn": "dates to come",
    "dk_cpr": "dates to come",
    "fi_hetu": "numbers that hospitals give for a while",
    "kr_rrn": "codes of places that were not given",
    "no_fnr": "numbers by century",
}
"""Where the other library asks for more: what it takes is taken here too, and here some more."""


def _numbers(pattern: str, seed: str, count: int) -> Iterable[str]:
    chance = random.Random(seed)
    return (matching(pattern, chance) for _ in range(count))


@pytest.mark.parametrize(("name", "other", "pattern"), [(n, *rest) for n, rest in ELSEWHERE.items()], ids=ELSEWHERE)
def test_check_digits_are_those_that_another_library_computes(name: str, other: str, pattern: str) -> None:
    """Of random numbers of the form, both take the same; where ours differs it is written down why."""
    is_valid: Any = import_module(f"stdnum.{other}").is_valid
    taken = 0
    for number in _numbers(pattern, name, 250):
        ours, theirs = VALIDATORS[name](number), is_valid(number)
        taken += ours
        assert ours == theirs or (ours and name in STRICTER), number
    assert taken, "none of the numbers was valid"


@pytest.mark.parametrize("name", ["gb_nino", "au_medicare", "sg_nric", "us_itin", "travel_document", "phone"])
def test_forms_without_another_library_hold_to_their_specification(name: str) -> None:
    """Numbers worked out by hand from the issuers' papers, and the same with a digit changed."""
    right, wrong = {
        "gb_nino": ("AB 12 34 56 C", "DA 12 34 56 C"),
        "au_medicare": ("2123 45670 1", "2123 45680 1"),
        "sg_nric": ("S1234567D", "S1234567E"),
        "us_itin": ("912-70-1234", "912-69-1234"),
        "travel_document": (
            "L898902C36UTO7408122F1204159ZE184226B<<<<<10",
            "L898902C36UTO7408123F1204159ZE184226B<<<<<10",
        ),
        "phone": ("+49 30 901820", "+49 1"),
    }[name]
    assert VALIDATORS[name](right)
    assert not VALIDATORS[name](wrong)


@pytest.mark.parametrize("rule", [rule for rule in PERSONAL if rule.validator], ids=lambda rule: rule.id)
def test_a_validator_never_raises_on_what_its_rule_lets_through(rule: Rule) -> None:
    """Whatever letters and digits the pattern allows: an error would end the scan of the whole text."""
    chance = random.Random(rule.id)
    engine = Engine([replace(rule, keywords=(), context=None, unless=None)])
    for text in (matching(rule.regex, chance) for _ in range(20)):
        assert all(0 <= hit.start < hit.end <= len(text) for hit in engine.hits(text.encode("latin-1")))


@pytest.mark.parametrize("rule", PERSONAL, ids=lambda rule: rule.id)
def test_rules_of_personal_data_find_their_examples_and_leave_the_others(rule: Rule) -> None:
    """Alone, and over the border of two pieces."""
    engine = Engine([rule])

    def is_found(text: str) -> bool:
        return any(True for _ in engine.hits(text.encode("latin-1")))

    for template in rule.examples.true:
        text = made(template, random.Random(1))
        assert is_found(text), text
        assert is_found("x " * 1015 + text), text
    for template in rule.examples.false:
        text = made(template, random.Random(1))
        assert not is_found(text), text


@pytest.mark.parametrize("name", sorted(PERSONAL_VALIDATORS))
def test_a_validator_takes_any_text(name: str) -> None:
    """Rules of a bundle may call it with patterns of their own."""
    chance = random.Random(name)
    for size in range(0, 30, 3):
        for alphabet in ("0123456789", "0123456789ABCXYZ-. ", "aé\u0661²<@:[]+"):
            assert VALIDATORS[name]("".join(chance.choices(alphabet, k=size))) in (True, False)


def test_a_number_that_chance_may_make_needs_a_word_for_it() -> None:
    """One number in ten has the check digit."""
    chance = random.Random(4)
    for name, pattern, word in (("nl_bsn", r"\d{9}", "BSN"), ("pl_pesel", r"[5-9]\d0[1-9]1\d{6}", "PESEL")):
        number = made(f"%{{@valid {name} {pattern}}}", chance)
        assert SCANNER.scan_raw(f"order {number} shipped") == []
        [finding] = SCANNER.scan_raw(f"{word}: {number}")
        assert (finding.severity, f"{word}: {number}"[finding.start : finding.end]) == ("high", number)
        assert [found.path for found in SCANNER.scan_value({"a": [{word.lower(): number}]})] == [f"/a/0/{word.lower()}"]


def test_a_column_of_social_security_numbers_is_found_to_its_end() -> None:
    """The name of the column stands far above most of them."""
    chance = random.Random(5)
    numbers = [made(r"%{@valid us_ssn \d{3}-\d{2}-\d{4}}", chance) for _ in range(200)]
    table = "name,ssn,city\n" + "".join(f"Ada {n},{number},Oslo\n" for n, number in enumerate(numbers))
    assert {table[found.start : found.end] for found in SCANNER.scan_raw(table)} == set(numbers)


def test_a_card_is_grave_where_a_word_says_so_and_an_id_is_none() -> None:
    """The same number three times."""
    number = made(r"%{@valid card 4\d{15}}", random.Random(6))
    found = {text: SCANNER.scan_raw(text) for text in (f"card {number}", f"total {number}", f'{{"id": "{number}"}}')}
    assert [[(str(f.severity), f.detector) for f in each] for each in found.values()] == [
        [("high", "card-number")],
        [("medium", "card-number-alone")],
        [],
    ]


@pytest.mark.parametrize("digit", ["1" * 15, "2" + "42" * 7])
def test_numbers_that_everybody_tries_first_are_found(digit: str) -> None:
    """Those of two digits, from the pages of payment providers."""
    value = {"payment": {"cardNumber": int("4" + digit)}}
    assert [(found.detector, found.path) for found in SCANNER.scan_value(value)] == [
        ("card-number", "/payment/cardNumber")
    ]


NOBODYS = {
    "ip_address": ("8.8.8.8", "93.184.216.0", "93.184.216.255", "10.1.2.3", "203.0.113.9", "2001:db8::1", "4.18.0.25"),
    "us_ssn": ("078-05-1120", "219-09-9999", "666-12-3456", "900-12-3456", "123-00-4567", "123-45-0000"),
    "birth_date": ("1990-02-30", "31/04/1990", "1990-13-01", "Feb 30, 1990", "1890-01-01"),
    "iban": ("DE89370400440532013001", "DE8937040044053201300", "ZZ89370400440532013000"),
    "email": ("git@github.com", "logo@2x.png", "a..b@example.org"),
    "document_number": ("AB12345", "111111111"),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in NOBODYS.items() for value in values])
def test_what_is_nobodys_is_not_taken(name: str, value: str) -> None:
    """Numbers that were never given, that stand in manuals, that belong to networks; days that there are not."""
    assert not VALIDATORS[name](value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ip_address", "93.184.216.34"),
        ("ip_address", "2606:2800:220:1:248:1893:25c8:1946"),
        ("us_ssn", "536-22-8726"),
        ("birth_date", "29.02.2000"),
        ("birth_date", "May 3, 1990"),
        ("birth_date", "3 May 90"),
        ("birth_date", "12/31/1990"),
        ("iban", "DE89 3704 0044 0532 0130 00"),
        ("document_number", "C01X00T478"),
    ],
)
def test_what_may_be_somebodys_is_taken(name: str, value: str) -> None:
    """The other side of the same."""
    assert VALIDATORS[name](value)


def test_an_id_beside_a_word_for_cards_is_none() -> None:
    """What the number is called counts more than what stands near by."""
    number = made(r"%{@valid card 4\d{15}}", random.Random(6))
    assert SCANNER.scan_raw(f'credit {{"order": "{number}"}}') == []


def test_plans_of_phone_numbers_are_not_loaded_before_a_candidate_comes() -> None:
    """They are of some megabytes, and most processes never meet one."""
    program = (
        "import sys\nfrom holdgate.scan import Scanner\nscanner = Scanner()\n"
        "scanner.scan('nothing here but 12 words')\nassert 'phonenumbers' not in sys.modules\n"
        "found = scanner.scan('call +49 30 901820 now')\nassert 'phonenumbers' in sys.modules\n"
        "assert [f.detector for f in found] == ['phone-number'], found\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
