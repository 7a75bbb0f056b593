"""A client that knows several APIs: one that goes away, or says that it cannot, is no failure."""

from __future__ import annotations

import contextlib
import threading

import pytest

from holdgate.client import AsyncClient, Client, Unavailable
from holdgate.client.addresses import Addresses
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.tls import Plaintext
from support.whole import Whole


def test_one_that_is_not_there_is_passed_over(whole: Whole, free_port: int) -> None:
    """And not asked first again by the calls that follow."""
    with Client(whole.key("agent"), url=f"http://127.0.0.1:{free_port}, {whole.api}/", retry_s=10) as client:
        job = client.submit("job.demo.read", prompt="status")
        assert job.result(timeout_s=30).value["status"] == "ok"


async def test_one_that_is_not_there_is_passed_over_by_streams_too(whole: Whole, free_port: int) -> None:
    """The stream of a job is opened where the job can be seen."""
    urls = f"http://127.0.0.1:{free_port},{whole.api}"
    async with AsyncClient(whole.key("agent"), url=urls, retry_s=10) as client:
        job = await client.submit("job.demo.read", prompt="status")
    async with AsyncClient(whole.key("agent"), url=urls, retry_s=10) as other:
        states = [seen.state async for seen in other.jobs.events(job.job_id)]
    assert states[-1] == "succeeded"


def test_all_away_is_an_error_after_the_time_allowed(free_port: int) -> None:
    with (
        Client("hg_none", url=f"http://127.0.0.1:{free_port},http://127.0.0.1:{free_port}", retry_s=0.5) as client,
        pytest.raises(Unavailable),
    ):
        client.status()


def test_turns_go_round_and_are_taken_once() -> None:
    """Threads that fail at one address together do not skip the next one."""
    addresses = Addresses("http://a/, http://b,http://c", "allow")
    assert addresses.now == "http://a"
    failed = addresses.now
    threads = [threading.Thread(target=addresses.leave, args=(failed,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert addresses.now == "http://b"
    addresses.leave("http://b")
    addresses.leave("http://c")
    assert addresses.now == "http://a"


@pytest.mark.parametrize(
    ("urls", "plaintext", "said"),
    [
        ("https://a.example,http://b.example", "allow", "all of one kind"),
        ("https://a.example,http://127.0.0.1:8081", "loopback", "all of one kind"),
        ("http://127.0.0.1:8081,http://b.example", "loopback", "HOLDGATE_PLAINTEXT=allow"),
        ("http://b.example", "loopback", "HOLDGATE_PLAINTEXT=allow"),
        ("http://b.example,http://c.example", "allow", None),
        ("https://a.example,https://b.example", "loopback", None),
    ],
)
def test_no_key_is_sent_in_clear_because_somebody_holds_up_another_address(
    urls: str, plaintext: Plaintext, said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDGATE_PLAINTEXT", plaintext)
    with contextlib.nullcontext() if said is None else pytest.raises(InvalidInput, match=said):
        Client("hg_none", url=urls).close()
    with contextlib.nullcontext() if said is None else pytest.raises(InvalidInput, match=said):
        AsyncClient("hg_none", url=urls)
