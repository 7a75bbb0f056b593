"""`holdgate bundle` and `holdgate keys` as an author uses them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from holdgate.bundles.chain import sign_root
from holdgate.bundles.cli.bundle import bundle_app
from holdgate.bundles.cli.keys import keys_app
from holdgate.bundles.root import AuthorKey, Pins, Root, RootKeys
from support.trust import STARTER, signer

RUN = CliRunner()
FAR = "2040-01-01T00:00:00Z"


@pytest.fixture
def author(tmp_path: Path) -> Path:
    assert RUN.invoke(keys_app, ["generate", str(tmp_path / "author.key")]).exit_code == 0
    return tmp_path / "author.key"


@pytest.fixture
def trust(tmp_path: Path, author: Path) -> list[str]:
    """Options that name a root in which `author` may sign."""
    shown = json.loads(RUN.invoke(keys_app, ["show", str(author), "--json"]).stdout)
    root = Root(
        version=1,
        expires=FAR,
        root=RootKeys(keys=[signer("root").public_key.hex()], threshold=1),
        authors=[AuthorKey(name="author", public_key=shown["public_key"])],
        api_keys=[signer("api").public_key.hex()],
        kernel_keys=[signer("kernel").public_key.hex()],
    )
    (tmp_path / "root.json").write_bytes(sign_root(root, [signer("root")]))
    return ["--root", str(tmp_path / "root.json"), "--pins", str(Pins(frozenset({signer("root").name}), 1))]


def test_build_sign_and_verify(tmp_path: Path, author: Path, trust: list[str]) -> None:
    built = str(tmp_path / "starter.bundle.json")
    assert RUN.invoke(bundle_app, ["build", str(STARTER), "-o", built]).exit_code == 0
    unsigned = RUN.invoke(bundle_app, ["verify", built, *trust])
    assert (unsigned.exit_code, unsigned.stderr.split(":")[0]) == (1, "bundle_threshold")
    assert RUN.invoke(bundle_app, ["sign", built, "--key", str(author)]).exit_code == 0
    verified = RUN.invoke(bundle_app, ["verify", built, *trust, "--json"])
    assert verified.exit_code == 0, verified.stderr
    shown = json.loads(verified.stdout)
    assert (shown["name"], shown["signatures"]) == ("demo", shown["counted"])
    assert shown["signers"] == {shown["counted"][0]: "author"}
    stranger = tmp_path / "stranger.key"
    RUN.invoke(keys_app, ["generate", str(stranger)])
    RUN.invoke(bundle_app, ["sign", built, "--key", str(stranger)])
    shown = json.loads(RUN.invoke(bundle_app, ["verify", built, *trust, "--json"]).stdout)
    assert sorted(shown["signers"].values()) == ["author", "no author of the root; does not count"]
    assert RUN.invoke(bundle_app, ["verify", built, *trust]).exit_code == 0


def test_a_directory_that_is_no_bundle_is_refused_with_a_reason(tmp_path: Path) -> None:
    result = RUN.invoke(bundle_app, ["build", str(tmp_path)])
    assert result.exit_code == 1
    assert result.stderr.startswith("bundle_malformed: cannot read")


def test_rules_that_do_not_load_are_refused_with_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "bundle.yaml").write_text(f'name: x\nversion: 1\nexpires: "{FAR}"\nrules: [a.yaml]\n')
    (tmp_path / "a.yaml").write_text("rules:\n  - id: r\n    decision: maybe\n    reason: x\n")
    result = RUN.invoke(bundle_app, ["build", str(tmp_path)])
    assert result.exit_code == 1
    assert "a.yaml:3: rules.0.decision" in result.stderr
    assert not tmp_path.with_name(tmp_path.name + ".bundle.json").exists()


def test_a_key_that_others_can_read_signs_nothing(tmp_path: Path, author: Path) -> None:
    built = tmp_path / "b.json"
    RUN.invoke(bundle_app, ["build", str(STARTER), "-o", str(built)])
    before = built.read_bytes()
    author.chmod(0o644)
    result = RUN.invoke(bundle_app, ["sign", str(built), "--key", str(author)])
    assert (result.exit_code, result.stderr.split(":")[0]) == (1, "key_unsafe")
    assert built.read_bytes() == before


def test_a_private_key_is_not_shown(author: Path) -> None:
    seed = json.loads(author.read_text())["seed"]
    for options in ([], ["--json"]):
        assert seed not in RUN.invoke(keys_app, ["show", str(author), *options]).output


def test_publishing_where_there_is_no_store_says_so(tmp_path: Path, author: Path, trust: list[str]) -> None:
    built = str(tmp_path / "b.json")
    RUN.invoke(bundle_app, ["build", str(STARTER), "-o", built])
    RUN.invoke(bundle_app, ["sign", built, "--key", str(author)])
    result = RUN.invoke(bundle_app, ["publish", built, *trust, "--nats", "nats://127.0.0.1:1"])
    assert (result.exit_code, result.stderr.split(":")[0]) == (1, "store_unavailable")
