"""How tests are shared out among processes."""

from __future__ import annotations

import pytest


@pytest.mark.xdist_group("groups")
def test_the_group_of_a_test_is_in_the_id_that_it_is_shared_out_by(request: pytest.FixtureRequest) -> None:
    """Else every process starts what the tests of a group were to share. Whoever runs them in one process has none."""
    has_groups = bool(getattr(request.config.option, "loadgroup", False))
    assert request.node.nodeid.endswith("@groups") == has_groups
