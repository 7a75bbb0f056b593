"""Signatures are not lost by a build, and those made apart come together."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from holdgate.bundles.cli.bundle import bundle_app
from holdgate.bundles.cli.keys import keys_app
from holdgate.bundles.errors import BundleRefused
from holdgate.bundles.format import BundleFile, join_signatures, parse_bundle
from holdgate.kernel.links import Signed
from support.trust import ALLOW_READS, HOLD_WRITES, STARTER, bundle, signed, signer

RUN = CliRunner()


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A directory to build, with a built and signed file beside it, and the key that signed."""
    shutil.copytree(STARTER, tmp_path / "house")
    assert RUN.invoke(keys_app, ["generate", str(tmp_path / "author.key")]).exit_code == 0
    build(tmp_path / "house")
    sign(tmp_path / "house.bundle.json")
    return tmp_path / "house"


def build(directory: Path, *options: str) -> tuple[int, str]:
    result = RUN.invoke(bundle_app, ["build", str(directory), *options])
    return result.exit_code, result.stderr


def sign(file: Path) -> None:
    assert RUN.invoke(bundle_app, ["sign", str(file), "--key", str(file.parent / "author.key")]).exit_code == 0


def raise_version(house: Path) -> None:
    source = house / "bundle.yaml"
    source.write_text(source.read_text().replace("version: 1", "version: 2"))


def test_a_build_of_the_same_keeps_the_signatures(house: Path) -> None:
    built = house.with_name("house.bundle.json")
    before = built.read_bytes()
    assert parse_bundle(before).signatures
    assert build(house) == (0, "")
    assert built.read_bytes() == before


def test_a_build_of_something_else_takes_no_signature_away_unless_that_is_said(house: Path) -> None:
    built = house.with_name("house.bundle.json")
    before = built.read_bytes()
    raise_version(house)
    exit_code, said = build(house)
    assert (exit_code, "--force" in said, parse_bundle(before).signatures[0].key in said) == (1, True, True)
    assert built.read_bytes() == before
    assert build(house, "--force") == (0, "")
    assert parse_bundle(built.read_bytes()).signatures == ()
    raise_version(house)
    assert build(house) == (0, "")


def test_what_is_no_bundle_is_written_over_as_before(house: Path) -> None:
    built = house.with_name("house.bundle.json")
    built.write_bytes(b"{}")
    assert build(house) == (0, "")
    assert parse_bundle(built.read_bytes()).signatures == ()


def test_signatures_that_were_made_apart_come_together(tmp_path: Path) -> None:
    unsigned = bundle(tmp_path, ALLOW_READS, signers=[])
    mine, theirs, third = (tmp_path / name for name in ("mine", "theirs", "third"))
    for file, names in ((mine, ["author"]), (theirs, ["second"]), (third, ["third", "author"])):
        file.write_bytes(signed(unsigned, names))
    result = RUN.invoke(bundle_app, ["merge", str(mine), str(theirs), str(third), "--json"])
    assert result.exit_code == 0, result.stderr
    names = [signer(name).name for name in ("author", "second", "third")]
    assert json.loads(result.stdout)["signatures"] == sorted(names)
    assert mine.read_bytes() == signed(unsigned, ["author", "second", "third"])


def test_signatures_of_other_content_are_not_taken(tmp_path: Path) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    mine.write_bytes(bundle(tmp_path, ALLOW_READS))
    theirs.write_bytes(bundle(tmp_path, HOLD_WRITES, signers=["second"]))
    before = mine.read_bytes()
    result = RUN.invoke(bundle_app, ["merge", str(mine), str(theirs)])
    assert (result.exit_code, result.stderr.split(":")[0]) == (1, "bundle_refused")
    assert mine.read_bytes() == before


def test_of_two_signatures_of_one_key_none_is_preferred(tmp_path: Path) -> None:
    one = parse_bundle(bundle(tmp_path, ALLOW_READS))
    (mine,) = one.signatures
    other = BundleFile(one.manifest, one.files, (Signed(mine.body, mine.key, bytes(64)),))
    with pytest.raises(BundleRefused, match="differ"):
        join_signatures(one, [other])


def test_people_are_told_scope_and_next_command_in_words(house: Path) -> None:
    raise_version(house)
    printed = RUN.invoke(bundle_app, ["build", str(house), "--force"]).stdout
    assert "all tenants: " in printed
    assert "nobody has signed it" in printed
    assert f"holdgate bundle sign {house.with_name('house.bundle.json')} --key" in printed
    assert "['" not in printed
