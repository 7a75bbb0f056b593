"""A payload as lines: all of it where it is short, a bounded and counted part where it is not."""

from __future__ import annotations

from typing import Any

import pytest

from holdgate.scheduler.console.tree import DEPTH_SHOWN_MAX, LEAF_CHARS_MAX, LINES_MAX, TREE_CHARS_MAX, tree_of


def test_values_stand_below_their_keys_in_order() -> None:
    tree = tree_of({"a": [1, {"b": None}], "c": "text", "d": True})
    assert [(line.depth, line.name, line.kind, line.text) for line in tree.lines] == [
        (0, None, "object", ""),
        (1, "a", "list", ""),
        (2, "0", "number", "1"),
        (2, "1", "object", ""),
        (3, "b", "nothing", "null"),
        (1, "c", "text", "text"),
        (1, "d", "truth", "true"),
    ]
    assert not tree.is_cut


@pytest.mark.parametrize(("value", "text"), [(True, "true"), (False, "false"), (1, "1"), (1.5, "1.5"), (None, "null")])
def test_truth_is_no_number(value: Any, text: str) -> None:
    assert tree_of(value).lines[0].text == text


def test_that_something_is_left_out_is_told() -> None:
    tree = tree_of(list(range(1000)), lines_max=10)
    assert (len(tree.lines), tree.is_cut) == (10, True)
    assert not tree_of(list(range(9)), lines_max=10).is_cut


class Counted(dict[str, Any]):
    """An object that counts how many of its members were asked for."""

    asked = 0

    def items(self) -> Any:
        for pair in super().items():
            self.asked += 1
            yield pair


def test_no_more_of_a_value_is_looked_at_than_is_shown() -> None:
    value = Counted({f"k{number}": {"z": [number]} for number in range(300_000)})
    assert len(tree_of(value).lines) == LINES_MAX
    assert value.asked <= LINES_MAX


def test_a_long_text_is_cut_and_the_line_says_how_much_is_not_there() -> None:
    tree = tree_of({"a": "\u202e" * 2_600_000})
    assert (len(tree.lines[1].text), tree.lines[1].cut, tree.is_cut) == (
        LEAF_CHARS_MAX - 1,
        2_600_001 - LEAF_CHARS_MAX,
        True,
    )


@pytest.mark.parametrize("value", [["x" * 9000] * 400, {"k" * 9000 + str(number): 1 for number in range(400)}])
def test_all_texts_and_names_together_are_bounded(value: Any) -> None:
    tree = tree_of(value, lines_max=5000)
    assert tree.is_cut
    assert sum(len(line.name or "") + len(line.text) for line in tree.lines) <= TREE_CHARS_MAX


def test_depth_does_not_run_off_the_page() -> None:
    value: Any = "deep"
    for _ in range(5000):
        value = [value]
    tree = tree_of(value, lines_max=10_000)
    assert max(line.indent for line in tree.lines) == DEPTH_SHOWN_MAX
    assert tree.lines[-1].depth == 5000
