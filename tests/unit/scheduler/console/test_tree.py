"""A payload as lines: all of it where it is short, a bounded and counted part where it is not."""

from __future__ import annotations

from typing import Any

import pytest

from holdgate.scheduler.console.tree import DEPTH_SHOWN_MAX, tree_of


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
    assert tree.left_out == 0


@pytest.mark.parametrize(("value", "text"), [(True, "true"), (False, "false"), (1, "1"), (1.5, "1.5"), (None, "null")])
def test_truth_is_no_number(value: Any, text: str) -> None:
    assert tree_of(value).lines[0].text == text


def test_what_is_left_out_is_counted() -> None:
    tree = tree_of(list(range(1000)), lines_max=10)
    assert (len(tree.lines), tree.left_out) == (10, 991)


def test_depth_does_not_run_off_the_page() -> None:
    value: Any = "deep"
    for _ in range(5000):
        value = [value]
    tree = tree_of(value, lines_max=10_000)
    assert max(line.indent for line in tree.lines) == DEPTH_SHOWN_MAX
    assert tree.lines[-1].depth == 5000
