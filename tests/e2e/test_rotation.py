"""A whole system while its trust root is replaced, by the commands that people use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from holdgate.bundles.cli.keys import keys_app
from holdgate.bundles.cli.root import root_app
from holdgate.scheduler.up.caller import Caller
from support.waiting import eventually_sync
from support.whole import Whole, running_whole


def holdgate(group: str, *arguments: str) -> str:
    """What a command prints; it must not fail."""
    done = CliRunner().invoke({"root": root_app, "keys": keys_app}[group], list(arguments))
    assert done.exit_code == 0, done.output
    return done.stdout


class Ceremony:
    """The root of a running system and the keys that replace it."""

    def __init__(self, system: Whole, room: Path) -> None:
        self._system, self._room = system, room
        self.root = system.folder / "root.json"
        self.pins = holdgate("root", "pins", str(self.root)).strip()

    def key(self, name: str) -> str:
        file = self._room / name
        if not file.exists():
            holdgate("keys", "generate", str(file), "--kind", "root")
        return str(file)

    def replaced(self, text: dict[str, str], keys: list[str], *options: str) -> None:
        """Put a next version in force, with `text` changed in its root.yaml and signed by `keys`."""
        number = len(list(self._room.glob("*.yaml")))
        source, built = self._room / f"{number}.yaml", self._room / f"{number}.json"
        holdgate("root", "init", str(source), "--after", str(self.root), *options)
        draft = source.read_text()
        for old, new in text.items():
            assert old in draft
            draft = draft.replace(old, new)
        source.write_text(draft)
        holdgate("root", "build", str(source), "-o", str(built), "--after", str(self.root))
        for key in keys:
            holdgate("root", "sign", str(built), "--key", key)
        holdgate("root", "verify", str(built), "--pins", self.pins, "--after", str(self.root))
        built.replace(self.root)

    def in_force(self, version: int) -> bool:
        """Whether api and every kernel go by this version."""
        api, operator = self._system.api, self._system.key("operator")
        caller = Caller(api, operator)
        try:
            seen: list[Any] = [caller.get("/status")[1]["root"]["version"]]
            seen += [item["root_version"] for item in caller.get("/policy/snapshots")[1]["items"]]
        finally:
            caller.close()
        return set(seen) == {version}


def test_every_process_goes_on_through_a_rotation_and_a_revoked_author_is_out(tmp_path: Path) -> None:
    """Root key replaced by two of three, then the only author by another: nothing is started again."""
    room = tmp_path / "room"
    room.mkdir()
    with running_whole(tmp_path) as system:
        pids = json.loads((tmp_path / "ready.json").read_text())["pids"]
        agent, ceremony = Caller(system.api, system.key("agent")), Ceremony(system, room)
        first = str(system.folder / "keys" / "root.key")
        new = [ceremony.key(name) for name in ("a.key", "b.key", "c.key")]
        lost = json.loads(Path(first + ".pub").read_text())["public_key"]
        more = [item for key in new for item in ("--root-key", f"{key}.pub")]
        ceremony.replaced({f'  - "{lost}"': "  #"}, [first, *new[:2]], *more, "--root-threshold", "2")
        eventually_sync(lambda: ceremony.in_force(2), why="the new root keys are in force")
        status, job = agent.submit("job.demo.read", prompt="status")
        assert (status, agent.ended(job["job_id"])["state"]) == (202, "succeeded")

        author = json.loads((system.folder / "keys" / "author.key.pub").read_text())["public_key"]
        other = json.loads(Path(ceremony.key("author.key") + ".pub").read_text())["public_key"]
        ceremony.replaced({author: other}, new[1:])
        eventually_sync(lambda: ceremony.in_force(3), why="the author is revoked")
        status, problem = agent.submit("job.demo.read", prompt="again")
        assert (status, problem["code"]) == (403, "denied")
        agent.close()
        assert json.loads((tmp_path / "ready.json").read_text())["pids"] == pids
