"""`holdgate bundle check`, `publish`, `log`, `list`, `rollback` as an author runs them, against a real API and NATS."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from holdgate.bundles.format import BundleFile, build_bundle, parse_bundle, sign_bundle
from holdgate.bundles.keys import generate, load_signer
from holdgate.kernel.permits import Signer
from support.api import ApiWorld, running_api
from support.waiting import eventually

OPEN = '  - {id: open, decision: allow, reason: open, match: {topics: ["job.opened.>"]}}\n'
CLOSED = '  - {id: closed, decision: deny, reason: closed, match: {topics: ["job.opened.>"]}}\n'
TESTS = "cases:\n  - {name: opened, job: {topic: job.opened.now}, expect: {verdict: allow}}\n"
SHUT = "cases:\n  - {name: nothing runs, job: {topic: job.opened.now}, expect: {verdict: deny}}\n"


@dataclass
class Author:
    """Somebody at a terminal in a folder of their own, with the API key of an author."""

    api: ApiWorld
    folder: Path
    who: str = "author"
    environment: dict[str, str] = field(default_factory=dict)

    async def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`holdgate bundle …` with the API at hand."""
        given = {"PATH": "/usr/bin:/bin", "HOLDGATE_API_URL": self.api.url, "HOLDGATE_API_KEY": self.api.keys[self.who]}
        return await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "holdgate.scheduler.cli", "bundle", *arguments],
            env={**given, **self.environment},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    async def does(self, *arguments: str) -> dict[str, Any]:
        """What the command prints as JSON; it must not fail."""
        done = await self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    async def is_refused(self, *arguments: str) -> str:
        """What a command that fails says."""
        done = await self.run(*arguments)
        assert done.returncode == 1, (done.stdout, done.stderr)
        return done.stderr

    def draft(self, version: int, rules: str, tests: str | None = None, *signers: Signer) -> str:
        """A bundle file in the folder, signed by this system's author where nobody else is named."""
        place = self.folder / f"draft-{version}"
        place.mkdir()
        (place / "rules.yaml").write_text(f"rules:\n{rules}")
        if tests is not None:
            (place / "tests.yaml").write_text(tests)
        (place / "bundle.yaml").write_text(
            f'name: house\nversion: {version}\nexpires: "2040-01-01T00:00:00Z"\nrules: [rules.yaml]\n'
            + ("" if tests is None else "tests: [tests.yaml]\n")
        )
        built = build_bundle(place)
        for signer in signers or (load_signer(self.key_file),):
            built = sign_bundle(built, signer)
        (self.folder / f"{version}.bundle").write_bytes(built)
        return f"{version}.bundle"

    @property
    def key_file(self) -> Path:
        return self.api.provisioned.home.key_file("author")

    async def decides(self, status: int) -> None:
        """Wait until a submit is answered so."""

        async def is_so() -> bool:
            return (await self.api.submit(topic="job.opened.now")).status_code == status

        await eventually(is_so, why=f"a submit is answered {status}")


@pytest.fixture
def author(api: ApiWorld, tmp_path: Path) -> Author:
    folder = tmp_path / "desk"
    folder.mkdir()
    return Author(api, folder)


async def test_from_check_to_rollback(author: Author) -> None:
    first = author.draft(1, OPEN, TESTS)
    checked = await author.does("check", first)
    assert (checked["publishable"], checked["widens"], checked["tests"]["cases"]) == (True, True, 1)
    said = await author.is_refused("publish", first)
    assert said.startswith("bundle_widening: 1 change may allow what was not allowed\n  house.open  ")
    assert "next: " in said
    assert "--accept-widening" in said
    assert (await author.does("publish", first, "--accept-widening"))["version"] == 1
    await author.decides(202)
    assert (await author.does("publish", author.draft(2, CLOSED, SHUT)))["accepted_widening"] is False
    await author.decides(403)
    assert (await author.is_refused("rollback", "house", "--to", "1", "--key", str(author.key_file))).startswith(
        "bundle_widening: "
    )
    back = await author.does("rollback", "house", "--to", "1", "--key", str(author.key_file), "--accept-widening")
    assert (back["version"], back["restores"], back["file"]) == (3, 1, "house-3.bundle")
    await author.decides(202)
    rows = (await author.does("log", "house"))["items"]
    assert [(row["version"], row["restores"], row["accepted_widening"]) for row in rows] == [
        (3, 1, True),
        (2, None, False),
        (1, None, True),
    ]
    shown = (await author.run("log", "house")).stdout
    assert "default/author" in shown
    assert "brings back 1" in shown
    listed = (await author.does("list"))["items"]
    assert {row["name"]: row["version"] for row in listed}["house"] == 3


async def test_what_comes_back_is_what_was_signed_byte_for_byte(author: Author) -> None:
    await author.does("publish", author.draft(1, OPEN, TESTS), "--accept-widening")
    await author.does("publish", author.draft(2, CLOSED, SHUT))
    await author.does(
        "rollback", "house", "--to", "1", "--key", str(author.key_file), "--accept-widening", "-o", "back"
    )
    old, new = (parse_bundle((author.folder / name).read_bytes()) for name in ("1.bundle", "back"))
    assert (new.files, new.manifest.rules, new.manifest.tests) == (old.files, old.manifest.rules, old.manifest.tests)


async def test_a_rollback_without_enough_signatures_waits_for_the_next_author(
    nats_url: str, redis_url: str, tmp_path: Path
) -> None:
    first, second = generate(tmp_path / "first.key"), generate(tmp_path / "second.key")
    authors = [
        {"name": name, "public_key": key.public_key.hex(), "scope": {"tenants": ["*"], "topics": [">"]}}
        for name, key in (("first", first), ("second", second))
    ]
    changes = {"authors": authors, "threshold": 2}
    async with running_api(nats_url, redis_url, tmp_path / "home", root=changes) as api:
        (tmp_path / "desk").mkdir()
        author = Author(api, tmp_path / "desk")
        await author.does("publish", author.draft(1, CLOSED, None, first, second))
        await author.does("publish", author.draft(2, CLOSED.replace("closed,", "shut,"), None, first, second))
        said = await author.is_refused("rollback", "house", "--to", "1", "--key", str(tmp_path / "first.key"))
        assert said.startswith("bundle_threshold: ")
        assert "`house-3.bundle`, not published" in said
        assert [row["version"] for row in (await author.does("log", "house"))["items"]] == [2, 1]
        await author.does("sign", "house-3.bundle", "--key", str(tmp_path / "second.key"))
        assert (await author.does("publish", "house-3.bundle"))["restores"] == 1


async def test_a_file_that_no_author_signed_gets_no_signature_from_a_rollback(author: Author) -> None:
    """As a store or an API in the wrong hands would offer it."""
    await author.does("publish", author.draft(1, CLOSED))
    planted = BundleFile(**_unsigned(author, 2))
    store = author.api.deps.bundles._store  # type: ignore[attr-defined]  as somebody with NATS credentials
    held = await store.get("house")
    await store.put("house", planted.to_bytes(), after_revision=held.revision)
    said = await author.is_refused("rollback", "house", "--to", "2", "--key", str(author.key_file))
    assert said.startswith("bundle_unknown_key: nothing shows that authors signed")
    home = author.api.provisioned.home
    trust = ["--root", str(home.root_file), "--pins", author.api.provisioned.root_pins]
    said = await author.is_refused("rollback", "house", "--to", "2", "--key", str(author.key_file), *trust)
    assert said.startswith("bundle_threshold: 0 authors")
    assert not list(author.folder.glob("house-*"))


def _unsigned(author: Author, version: int) -> dict[str, Any]:
    file = parse_bundle((author.folder / author.draft(version, OPEN)).read_bytes())
    return {"manifest": file.manifest, "files": file.files, "signatures": ()}


async def test_over_nats_the_same_is_refused_and_the_user_is_in_the_log(author: Author) -> None:
    home = author.api.provisioned.home
    there = ["--nats", author.api.nc.connected_url.geturl(), "--root", str(home.root_file)]
    there += ["--pins", author.api.provisioned.root_pins]
    author.environment = {"HOLDGATE_API_URL": "", "HOLDGATE_API_KEY": ""}
    first = author.draft(1, OPEN, TESTS)
    assert (await author.is_refused("publish", first, *there)).startswith("bundle_widening: ")
    assert (await author.is_refused("publish", first, "--accept-first", *there)).startswith("bundle_widening: ")
    done = await author.does("publish", first, "--accept-widening", *there)
    assert (done["version"], done["accepted_widening"]) == (1, True)
    assert (await author.does("publish", first, "--if-newer", *there))["published"] is False
    await author.does("publish", author.draft(2, CLOSED, SHUT), *there)
    back = await author.does(
        "rollback", "house", "--to", "1", "--key", str(author.key_file), "--accept-widening", *there
    )
    assert back["restores"] == 1
    rows = (await author.does("log", "house", *there))["items"]
    assert [(row["version"], row["publisher"]) for row in rows] == [(3, "nats:"), (2, "nats:"), (1, "nats:")]


async def test_who_is_no_author_is_told_so(author: Author) -> None:
    author.who = "operator"
    said = await author.is_refused("publish", author.draft(1, CLOSED))
    assert said.startswith("forbidden: ")
    assert "next: use the API key of an author" in said


async def test_an_api_key_on_the_command_line_is_refused_and_not_repeated(author: Author) -> None:
    key = author.api.keys["author"]
    done = await author.run("publish", author.draft(1, CLOSED), "--api-key", key)
    assert done.returncode == 2
    assert key not in done.stdout + done.stderr
    (author.folder / "author.key").write_text(key + "\n")
    author.environment = {"HOLDGATE_API_KEY": ""}
    assert (await author.does("publish", "1.bundle", "--api-key-file", "author.key"))["version"] == 1


async def test_where_there_is_no_api_or_no_word_of_one_that_is_said(author: Author) -> None:
    file = author.draft(1, CLOSED)
    assert (await author.is_refused("publish", file, "--api", "http://127.0.0.1:1")).startswith("store_unavailable: ")
    author.environment = {"HOLDGATE_API_URL": ""}
    done = await author.run("publish", file)
    assert done.returncode == 2
    assert "--api" in done.stderr


async def test_a_version_that_is_not_there_cannot_come_back(author: Author) -> None:
    await author.does("publish", author.draft(1, CLOSED))
    said = await author.is_refused("rollback", "house", "--to", "7", "--key", str(author.key_file))
    assert said.startswith("bundle_not_found: ")
