"""`holdgate root`: the ceremony of a trust root as several people go through it."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from holdgate.bundles.chain import parse_chain, verify_root
from holdgate.bundles.cli.keys import keys_app
from holdgate.bundles.cli.root import root_app
from holdgate.bundles.keys import generate
from holdgate.bundles.root import Pins
from holdgate.kernel.clock import SystemClock

RUN = CliRunner()


class Room:
    """A directory where people meet with their keys."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def key(self, name: str) -> str:
        """The private key file of `name`."""
        file = self.path / f"{name}.key"
        if not file.exists():
            generate(file, name)
        return str(file)

    def public(self, name: str) -> str:
        return self.key(name) + ".pub"

    def file(self, name: str) -> str:
        return str(self.path / name)

    def run(self, *arguments: str) -> Result:
        return RUN.invoke(root_app, list(arguments))

    def done(self, *arguments: str) -> Any:
        """What a command shows as JSON; it must not fail."""
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def init(self, *more: str, name: str = "root.yaml") -> str:
        result = self.run("init", self.file(name), *more)
        assert result.exit_code == 0, result.output
        return self.file(name)

    def first(self) -> str:
        """The first root, with the signatures of two of its three keys."""
        roots = [item for name in ("r1", "r2", "r3") for item in ("--root-key", self.public(name))]
        processes = [item for name in ("api", "kernel", "dispatcher") for item in (f"--{name}-key", self.public(name))]
        self.init(
            *roots, *processes, "--author", f"alice={self.public('alice')}", "--author", f"bob={self.public('bob')}"
        )
        self.done("build", self.file("root.yaml"), "-o", self.file("root.json"))
        for name in ("r1", "r2"):
            self.done("sign", self.file("root.json"), "--key", self.key(name))
        return self.file("root.json")

    def pins(self, file: str) -> str:
        return self.run("pins", file).stdout.strip()


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def missing(shown: dict[str, Any]) -> list[int]:
    return [tally["missing"] for tally in shown["signatures"]]


def test_three_people_make_a_root_that_two_of_them_must_sign(room: Room) -> None:
    root = room.first()
    pins = room.pins(root)
    assert pins.startswith("2/")
    assert missing(room.done("verify", root, "--pins", pins)) == [0, 0]
    verified = verify_root(Path(root).read_bytes(), Pins.parse(pins), SystemClock().now_ms())
    assert [author.name for author in verified.authors] == ["alice", "bob"]
    assert (verified.default_decision, verified.fail_modes.submit) == ("deny", "closed")


def test_what_is_missing_is_said_and_is_an_error(room: Room) -> None:
    root = room.first()
    pins = room.pins(root)
    document = json.loads(Path(root).read_text())
    Path(root).write_text(json.dumps({**document, "signatures": document["signatures"][:1]}))
    result = room.run("verify", root, "--pins", pins, "--json")
    assert (result.exit_code, result.stderr.split(":")[0]) == (1, "root_threshold")
    assert missing(json.loads(result.stdout)) == [1, 1]
    shown = room.run("verify", root, "--pins", pins)
    assert "1 of 3" in shown.stdout


def test_a_root_key_is_replaced_and_the_old_ones_sign_too(room: Room) -> None:
    root = room.first()
    pins, second = room.pins(root), room.file("root-2.json")
    source = Path(room.init("--after", root, "--root-key", room.public("r4"), name="next.yaml"))
    lost = json.loads(Path(room.public("r3")).read_text())["public_key"]
    source.write_text("".join(line for line in source.read_text().splitlines(True) if lost not in line))
    assert missing(room.done("build", str(source), "-o", second, "--after", root)) == [2, 2]
    room.done("sign", second, "--key", room.key("r1"))
    assert missing(room.done("sign", second, "--key", room.key("r4"))) == [0, 1]
    assert missing(room.done("sign", second, "--key", room.key("r2"))) == [0, 0]
    assert missing(room.done("verify", second, "--pins", pins, "--after", root)) == [0, 0, 0]
    assert missing(room.done("verify", second, "--pins", room.pins(second))) == [0, 0, 0]
    assert [link.root.version for link in parse_chain(Path(second).read_bytes()).links] == [1, 2]


def test_a_root_that_does_not_follow_from_the_one_in_force(room: Room) -> None:
    root = room.first()
    source = Path(room.init("--after", root, name="next.yaml"))
    text = source.read_text()
    made = [room.file("a.json"), room.file("b.json")]
    for place in made:
        source.write_text(text.replace('name: "alice"', f'name: "{Path(place).stem}"'))
        room.done("build", str(source), "-o", place, "--after", root)
        for key in ("r1", "r2"):
            room.done("sign", place, "--key", room.key(key))
    result = room.run("verify", made[1], "--pins", room.pins(root), "--after", made[0])
    assert (result.exit_code, result.stderr.split(":")[0]) == (1, "root_fork")
    result = room.run("verify", root, "--pins", room.pins(root), "--after", made[0])
    assert (result.exit_code, result.stderr.split(":")[0]) == (1, "root_version")


def test_who_has_no_say_signs_nothing(room: Room) -> None:
    root = room.first()
    before = Path(root).read_bytes()
    result = room.run("sign", root, "--key", room.key("alice"))
    assert (result.exit_code, result.stderr.split(":")[0]) == (1, "root_signer")
    assert Path(root).read_bytes() == before


def test_the_same_file_gives_the_same_bytes_and_a_changed_one_has_no_signatures(room: Room) -> None:
    root = room.first()
    room.done("build", room.file("root.yaml"), "-o", room.file("again.json"))
    room.done("build", room.file("root.yaml"), "-o", room.file("once-more.json"))
    assert Path(room.file("again.json")).read_bytes() == Path(room.file("once-more.json")).read_bytes()
    assert parse_chain(Path(room.file("again.json")).read_bytes()).root == parse_chain(Path(root).read_bytes()).root


def test_the_root_in_force_is_not_written_over(room: Room) -> None:
    root = room.first()
    before = Path(root).read_bytes()
    source = room.init("--after", root, name="next.yaml")
    assert room.run("build", source, "-o", root, "--after", root).exit_code == 1
    assert room.run("build", source, "-o", source, "--after", root).exit_code == 1
    assert room.run("init", source).exit_code == 1
    assert Path(root).read_bytes() == before


def test_a_signed_root_is_as_readable_as_before(room: Room) -> None:
    root = Path(room.first())
    root.chmod(0o600)
    room.done("sign", str(root), "--key", room.key("r3"))
    assert stat.S_IMODE(root.stat().st_mode) == 0o600
    assert [file.name for file in room.path.iterdir() if file.name.endswith(".new")] == []


def test_a_version_that_is_not_the_next(room: Room) -> None:
    root = room.first()
    result = room.run("build", room.file("root.yaml"), "-o", room.file("x.json"), "--after", root)
    assert (result.exit_code, result.stderr.split(":")[0]) == (1, "root_chain")


def test_only_as_many_older_roots_as_are_wanted(room: Room) -> None:
    root = room.first()
    for version in (2, 3):
        source = room.init("--after", root, name=f"{version}.yaml")
        after, root = root, room.file(f"root-{version}.json")
        room.done("build", source, "-o", root, "--after", after, "--keep", "1")
    assert [link.root.version for link in parse_chain(Path(root).read_bytes()).links] == [2, 3]


def test_a_key_is_named_by_file_hex_or_fingerprint(room: Room) -> None:
    root = room.first()
    shown = json.loads(RUN.invoke(keys_app, ["show", room.public("r1"), "--json"]).stdout)
    for text in (room.public("r1"), room.key("r1"), shown["public_key"], shown["fingerprint"]):
        source = room.init("--after", root, "--kernel-key", text, name=f"{abs(hash(text))}.yaml")
        result = room.run("build", source, "-o", room.file("x.json"), "--after", root)
        assert (result.exit_code, "also that of a process" in result.stderr) == (1, True)
    unknown = room.run("init", room.file("y.yaml"), "--after", root, "--root-key", "ed25519:" + "0" * 32)
    assert (unknown.exit_code, unknown.stderr.split(":")[0]) == (1, "root_refused")
    nameless = room.run("init", room.file("y.yaml"), "--author", room.public("alice"))
    assert (nameless.exit_code, "NAME=KEY" in nameless.stderr) == (1, True)


WRONG = {
    "an unknown member": ("version: 1", "version: 1\nversoin: 2", "root.yaml:4: versoin"),
    "a key that stands twice": ("version: 1", "version: 1\nversion: 2", "root.yaml:4: version: this key stands twice"),
    "an anchor": ("version: 1", "version: &a 1", "root.yaml:3: version: anchors"),
    "a word that is none": ("default_decision: deny", "default_decision: maybe", "default_decision: input should be"),
    "a scope of nowhere": ('topics: [">"]', "topics: []", "scope.topics: "),
    "a threshold out of reach": ("threshold: 2", "threshold: 4", "more than there are root keys"),
    "a name that moves the cursor": ('name: "alice"', 'name: "a\\x1b[2Jlice"', "cannot be printed"),
    "a time that is none": ('expires: "2', 'expires: "x2', "root.yaml:"),
}


@pytest.mark.parametrize(("old", "new", "said"), WRONG.values(), ids=WRONG)
def test_a_root_yaml_that_is_wrong_is_refused_with_its_line(room: Room, old: str, new: str, said: str) -> None:
    room.first()
    source = Path(room.file("root.yaml"))
    assert old in source.read_text()
    source.write_text(source.read_text().replace(old, new, 1))
    result = room.run("build", str(source), "-o", room.file("x.json"))
    assert (result.exit_code, said in result.stderr) == (1, True), result.stderr
    assert not Path(room.file("x.json")).exists()


def test_people_are_shown_what_a_root_says_and_what_is_weak(room: Room) -> None:
    root = room.first()
    shown = room.run("show", root)
    for part in ("2 of these must sign it", "alice", "all tenants: >", "submit closed, dispatch closed", "sha256:"):
        assert part in shown.stdout
    assert shown.stderr == "warning: any one author's key publishes a bundle\n"
    assert room.done("show", root)["digest"] == parse_chain(Path(root).read_bytes()).root.digest
    changed = Path(room.init("--after", root, name="next.yaml"))
    changed.write_text(changed.read_text().replace("default_decision: deny", "default_decision: allow"))
    room.done("build", str(changed), "-o", room.file("next.json"), "--after", root)
    said = room.run("diff", root, room.file("next.json"))
    assert "warning: what no rule speaks of: `deny`, now `allow`" in said.stderr
    assert room.done("diff", root, room.file("next.json"))["weakens"] is True
    assert room.run("diff", root, root).stdout == "nothing differs\n"


def test_a_file_that_is_no_root(room: Room) -> None:
    Path(room.file("x.json")).write_text("{}")
    for command in ("show", "sign", "pins"):
        result = room.run(command, room.file("x.json"))
        assert (result.exit_code, result.stderr.split(":")[0]) == (1, "root_malformed"), command
        assert room.run(command, room.file("none.json")).exit_code == 1
