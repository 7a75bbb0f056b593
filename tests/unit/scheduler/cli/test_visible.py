"""What a submitter writes does nothing to the terminal of who reads it, and is seen."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import pytest

from holdgate.client.models import Approval, JobInfo, Output
from holdgate.scheduler.cli.people import held, jobs
from holdgate.scheduler.cli.people.look import Look
from holdgate.scheduler.cli.people.output import Out, aligned, rich_table
from holdgate.scheduler.visible import visible, visible_lines, visible_on_page

ATTACKS = {
    "clear the screen": ("\x1b[2J", "\\x1b[2J"),
    "C1 control sequence": ("\x9b2J", "\\x9b2J"),
    "title of the window": ("\x1b]0;pwned\x07", "\\x1b]0;pwned\\x07"),
    "back over the line": ("safe\rrm -rf /", "safe\\rrm -rf /"),
    "erase what was said": ("no\x08\x08yes", "no\\x08\\x08yes"),
    "text turned around": ("\u202egpj.exe", "\\u202egpj.exe"),
    "isolates": ("\u2066a\u2069", "\\u2066a\\u2069"),
    "nothing between letters": ("a\u200bb\u2060c\ufeffd", "a\\u200bb\\u2060c\\ufeffd"),
    "tags nobody sees": ("ok\U000e0041", "ok\\U000e0041"),
    "a line of its own": ("a\u2028b\u0085c", "a\\u2028b\\x85c"),
    "a letter that is blank": ("a\u3164b", "a\\u3164b"),
    "a blank of another width": ("a\u2003b", "a\\u2003b"),
    "half a character": ("\ud800", "\\ud800"),
    "hyperlink": ("\x1b]8;;http://evil\x1b\\x", "\\x1b]8;;http://evil\\x1b\\x"),
}
EVIL = "".join(attack for attack, _ in ATTACKS.values()) + "\n\t[red]markup[/red]"
HARMLESS = re.compile(r"[\n\x20-\x7e]*")


@pytest.mark.parametrize(("attack", "shown"), ATTACKS.values(), ids=ATTACKS)
def test_what_would_act_or_hide_is_an_escape(attack: str, shown: str) -> None:
    assert visible(attack) == shown


def test_words_of_all_scripts_are_left_as_they_are() -> None:
    assert visible("Größe 語 مرحبا → ✓ 😀 a\u0301") == "Größe 語 مرحبا → ✓ 😀 a\u0301"
    assert (visible("a\nb"), visible_lines("a\nb\r")) == ("a\\nb", "a\nb\\r")


@pytest.mark.parametrize("attack", [attack for attack, _ in ATTACKS.values()], ids=ATTACKS)
def test_a_page_writes_out_what_a_terminal_does(attack: str) -> None:
    escaped = re.sub(r"\\(x..|u.{4}|U.{8}|r)", "#", visible(attack))
    assert re.sub(r"\[U\+[0-9A-F]{4,6}\]", "#", visible_on_page(attack)) == escaped


def test_a_page_keeps_lines_and_names_what_is_not_seen() -> None:
    assert visible_on_page("a\n\tGröße \u202egpj.exe\x1b") == "a\n\tGröße [U+202E]gpj.exe[U+001B]"


class Terminal(io.StringIO):
    """Standard output of somebody who sits there, in colour."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(params=["pipe", "terminal"])
def printed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    return Terminal() if request.param == "terminal" else io.StringIO()


def shown_text(printed: io.StringIO) -> str:
    """What was printed, without the colours that are ours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", printed.getvalue())


def evil_approval() -> Approval:
    """Every text in it is somebody else's."""
    requirement = {"names": [EVIL], "roles": [EVIL], "confirm": EVIL, "excluded": [EVIL], "quorum": 1, "reason": EVIL}
    vote = {"approve": True, "approver": EVIL, "on_behalf_of": EVIL, "cast_at": EVIL, "reason": EVIL}
    job = {"labels": {EVIL: EVIL}, "capability": EVIL, "risk_tags": [EVIL], "requires": [EVIL], "pool": EVIL}
    return Approval(
        job_id=EVIL,
        status=EVIL,
        job_hash=EVIL,
        snapshot=EVIL,
        topic=EVIL,
        actor=EVIL,
        principals=(EVIL,),
        severity=EVIL,
        rules=(EVIL,),
        reason=EVIL,
        job=job,
        constraints={EVIL: EVIL},
        requirements=(requirement,),
        votes=(vote,),
        refused_for=EVIL,
        may_vote=False,
        previous={"status": EVIL, "votes": [vote], "ended_at": EVIL},
        changes=({"what": EVIL, "before": EVIL, "after": {EVIL: EVIL}},),
        can_reconfirm=True,
    )


def evil_look() -> Look:
    rule = {"id": EVIL, "deciding": True, "bundle": EVIL, "version": EVIL, "signers": [EVIL], "text": EVIL}
    content = {"labels": {EVIL: EVIL}, "prompt": EVIL, "payload": {EVIL: [EVIL]}}
    similar = {"job_id": EVIL, "status": EVIL, "state": EVIL, "decided_by": [EVIL], "decided_at": EVIL}
    return Look(evil_approval(), content, False, 1, (rule,), (similar,), (EVIL,))


def test_a_held_job_of_somebody_evil_is_shown_and_does_nothing(printed: io.StringIO) -> None:
    held.print_look(Out(as_json=False, file=printed), evil_look(), now_ms=0)
    assert HARMLESS.fullmatch(re.sub(r"[^\x00-\x7f\x80-\x9f]", "?", shown_text(printed)))
    assert "[red]markup[/red]" in shown_text(printed)
    assert "\\u202egpj.exe" in shown_text(printed)


def test_jobs_results_and_decisions_of_somebody_evil_do_nothing(printed: io.StringIO) -> None:
    out = Out(as_json=False, file=printed)
    job = JobInfo(job_id=EVIL, topic=EVIL, state=EVIL, actor=EVIL, prompt=EVIL, labels={EVIL: EVIL}, reason=EVIL)
    no = {"type": "approval.vote", "approve": False, "approver": EVIL, "reason": EVIL}
    out.facts(jobs._facts(job, [no]))
    out.table(jobs.COLUMNS, [jobs._row(job, 0)])
    jobs.print_output(out, Output(job_id=EVIL, state="succeeded", value={EVIL: EVIL}))
    jobs.print_output(out, Output(job_id=EVIL, state="succeeded", value=EVIL))
    assert HARMLESS.fullmatch(re.sub(r"[^\x00-\x7f\x80-\x9f]", "?", shown_text(printed)))


def test_json_is_ascii_that_says_exactly_what_the_api_said(printed: io.StringIO) -> None:
    out = Out(as_json=True, file=printed)
    value: dict[str, Any] = {"text": EVIL + "\x7f", "list": [1, None]}
    out.document(value)
    assert HARMLESS.fullmatch(printed.getvalue())
    assert json.loads(printed.getvalue()) == value


def test_json_of_a_list_is_an_object_a_line(printed: io.StringIO) -> None:
    out = Out(as_json=True, file=printed)
    out.line({"a": EVIL})
    out.line({"b": 2})
    assert [json.loads(line) for line in printed.getvalue().splitlines()] == [{"a": EVIL}, {"b": 2}]


def test_in_a_pipe_a_row_is_one_line_with_columns_two_blanks_apart() -> None:
    file = io.StringIO()
    rows = [("job_1", "語語", "a\nb"), ("job_22", "", "x" * 500)]
    Out(as_json=False, file=file).table(("job", "topic", "why"), rows)
    lines = file.getvalue().splitlines()
    assert lines == ["job     topic  why", "job_1   語語   a\\nb", "job_22  -      " + "x" * 500]
    assert [re.split(r" {2,}", line)[0] for line in lines] == ["job", "job_1", "job_22"]


def test_nothing_in_a_pipe_is_coloured_and_nothing_has_a_tab() -> None:
    file = io.StringIO()
    held.print_look(Out(as_json=False, file=file), evil_look(), now_ms=0)
    assert "\x1b" not in file.getvalue()
    assert "\t" not in file.getvalue()


def test_a_table_on_a_narrow_terminal_keeps_ids_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    file = Terminal()
    job_id = "job_01a1fef6-588d-7f02-8f9d-305a03608237"
    Out(as_json=False, file=file).table(("job", "held because"), [(job_id, "word " * 30)])
    assert job_id in shown_text(file)
    assert all(len(line) <= 60 for line in shown_text(file).splitlines())


def test_markup_in_a_cell_is_text(printed: io.StringIO) -> None:
    Out(as_json=False, file=printed).table(("a", "b"), [("[red]x[/red]", "[link=http://evil]y")])
    assert "[red]x[/red]" in shown_text(printed)
    assert "[link=http://evil]y" in shown_text(printed)


def test_an_empty_list_is_its_heading() -> None:
    assert aligned([("a", "b")]) == ["a  b"]
    assert rich_table(("a",), []).row_count == 0
