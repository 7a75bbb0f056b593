"""One whole system for this folder's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from holdgate.client import AsyncClient, Client
from support.whole import Whole, running_whole


@pytest.fixture(scope="package")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    with running_whole(tmp_path_factory.mktemp("whole")) as system:
        yield system


@pytest.fixture
def client(whole: Whole) -> Iterator[Client]:
    with Client(whole.key("agent"), url=whole.api) as made:
        yield made


@pytest.fixture
def approver(whole: Whole) -> Iterator[Client]:
    with Client(whole.key("approver"), url=whole.api) as made:
        yield made


@pytest.fixture
async def async_client(whole: Whole) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(whole.key("agent"), url=whole.api) as made:
        yield made
