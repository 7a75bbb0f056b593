"""Which connections may go without TLS."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.tls import TlsFiles, open_hosts, verify_private


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("nats://127.0.0.1:4222", ()),
        ("nats://localhost:4222", ()),
        ("nats://[::1]:4222", ()),
        ("tls://nats.example:4222", ()),
        ("rediss://redis.example:6379/0", ()),
        ("rediss+sentinel://a:1,b:2/main/0", ()),
        ("https://nats.example:8222", ()),
        ("nats://nats.example:4222", ("nats.example",)),
        ("nats.example", ("nats.example",)),
        ("nats.example:4222", ("nats.example",)),
        ("nats://u:p@10.0.0.7:4222", ("10.0.0.7",)),
        ("nats://[fd00::7]:4222", ("fd00::7",)),
        ("redis+sentinel://127.0.0.1:1,b.example:2/main/0", ("b.example",)),
        ("redis+cluster://a.example:1,b.example:2", ("a.example", "b.example")),
        ("nats://127.0.0.1.example:4222", ("127.0.0.1.example",)),
    ],
)
def test_a_connection_without_tls_beyond_this_machine_is_seen(url: str, hosts: tuple[str, ...]) -> None:
    assert open_hosts([url]) == hosts
    if hosts:
        with pytest.raises(InvalidInput, match="HOLDGATE_PLAINTEXT=allow"):
            verify_private([url], "loopback")
    assert verify_private([url], "allow") == hosts


def test_half_a_client_certificate_and_a_file_that_is_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="pair"):
        TlsFiles(cert=tmp_path / "cert").context()
    (tmp_path / "ca").write_text("nothing\n")
    for file in (tmp_path / "ca", tmp_path / "missing"):
        with pytest.raises(InvalidInput, match="cannot use"):
            TlsFiles(ca=file).context()
