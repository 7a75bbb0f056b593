"""The one table of transitions: what it says, and that every script keeps to it."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from holdgate.scheduler.errors import WrongState
from holdgate.scheduler.state.transitions import (
    DEAD,
    INITIAL,
    TERMINAL,
    TRANSITIONS,
    State,
    lua_table,
    mermaid,
    verify_transition,
)

FOLDER = resources.files("holdgate.scheduler.state") / "scripts"
SOURCES = {item.name: item.read_text("utf-8") for item in FOLDER.iterdir() if item.name != "prelude.lua"}


def test_every_state_has_a_row_and_every_state_can_be_reached() -> None:
    """Nothing is stranded outside the table."""
    reached = set(INITIAL).union(*TRANSITIONS.values())
    assert set(TRANSITIONS) == set(State) == reached


def test_an_end_is_left_only_by_a_person() -> None:
    """A dead job by an operator's retry, a quarantined one by its release."""
    for state in TERMINAL - DEAD - {State.QUARANTINED}:
        assert not TRANSITIONS[state]
    assert all(TRANSITIONS[state] == {State.QUEUED} for state in DEAD)


@pytest.mark.parametrize("before", State)
@pytest.mark.parametrize("after", State)
def test_the_check_says_what_the_table_says(before: State, after: State) -> None:
    """For every pair."""
    if after in TRANSITIONS[before]:
        verify_transition(before, after)
    else:
        with pytest.raises(WrongState):
            verify_transition(before, after)


def test_the_table_of_the_scripts_is_the_table() -> None:
    """Generated, entry for entry."""
    entries = set(re.findall(r'\["([a-z_>]+)"\]=true', lua_table()))
    pairs = {f"{before}>{after}" for before, row in TRANSITIONS.items() for after in row}
    assert entries == pairs | {f">{state}" for state in INITIAL}


def test_the_diagram_shows_every_transition() -> None:
    """For the docs."""
    lines = {line.strip() for line in mermaid().splitlines()}
    assert {f"{before} --> {after}" for before, row in TRANSITIONS.items() for after in row} <= lines


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_a_script_says_in_its_header_what_it_takes_does_and_returns(name: str) -> None:
    """Keys, arguments, from-states, to-states, events, returns."""
    header = "\n".join(line for line in SOURCES[name].splitlines() if line.startswith("--"))
    for word in ("KEYS", "From", "Returns"):
        assert word in header, f"{name} does not say `{word}`"
    assert "To:" in header or "From, to:" in header


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_a_script_moves_only_as_its_header_says(name: str) -> None:
    """Every literal state that a script moves to is named in its header, and by the table reachable from one there."""
    source = SOURCES[name]
    header = " ".join(line.lstrip("- ") for line in source.splitlines() if line.startswith("--"))
    said = re.search(r"From: (.*?)\. To: (.*?)\.(?: |$)", header)
    for before, after in re.findall(r"move\([^,]+, '?([a-z_\[\]0-9]*)'?, '([a-z_]+)'", source):
        assert said is not None, f"{name} moves jobs but has no From and To"
        assert after in said[2] or after in said[1], f"{name} moves to `{after}`, which its header does not say"
        origins = [before] if before in set(State) else [state for state in State if str(state) in said[1]]
        assert any(State(after) in TRANSITIONS[State(origin)] for origin in origins) or before == ""


def test_no_script_writes_a_state_but_through_the_one_function() -> None:
    """`move` checks the table and writes the audit event."""
    for name, source in SOURCES.items():
        assert not re.search(r"'HSET', job_key\([a-z]+\), 'state'", source), name
        assert "':state:'" not in re.sub(r"'(ZCARD|ZRANGE)'[^\n]*", "", source), name
