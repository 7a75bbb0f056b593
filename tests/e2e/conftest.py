"""A whole system for tests that only use it, and a way to start one for tests that break it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.whole import Whole, running_whole


@pytest.hookimpl(tryfirst=True)  # before xdist looks at the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share the system run where it is, one after the other; every other one where there is time."""
    for item in items:
        if "whole" in getattr(item, "fixturenames", ()) and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group("whole"))


@pytest.fixture(scope="package")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    """`holdgate up`, shared by the tests of this folder that leave it as it was."""
    with running_whole(tmp_path_factory.mktemp("whole")) as system:
        yield system
