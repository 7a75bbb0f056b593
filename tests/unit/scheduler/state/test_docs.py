"""What the docs say of states is what the table says."""

from __future__ import annotations

from pathlib import Path

from holdgate.scheduler.state.transitions import mermaid

PAGE = Path(__file__).parents[4] / "docs" / "reference" / "states.md"


def test_the_page_of_states_has_the_diagram_of_the_table() -> None:
    """Generated: `python -c 'from holdgate.scheduler.state.transitions import mermaid; print(mermaid())'`."""
    assert f"```mermaid\n{mermaid()}```" in PAGE.read_text("utf-8")
