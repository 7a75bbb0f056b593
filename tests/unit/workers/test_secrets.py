"""Secrets of a worker: where they come from, who gets them, and that they do not show by themselves."""

from __future__ import annotations

import copy
import json
import os
import pickle
import stat
from pathlib import Path
from typing import Any

import pytest

from holdgate.kernel.errors import InvalidInput
from holdgate.workers import Job, Secret, SecretNotAsked
from holdgate.workers.results import OutputNotJson, encode_value
from holdgate.workers.secrets import SecretRefused, SecretSource, SecretSources
from holdgate.workers.secretsfile import load_secret_sources
from support.handover import make_job
from support.secrets import Secrets

VALUE = Secrets(7).chars("abcdefghijklmnopqrstuvwxyz0123456789", 20)
TOPICS = ("job.test.>",)


async def resolved(source: SecretSource, topic: str = "job.test.x", **job: Any) -> bytes:
    found = await SecretSources({"db": source}).resolve(make_job(topic, secrets=("db",), **job))
    return found["db"].reveal_bytes()


async def refusal(source: SecretSource, topic: str = "job.test.x", **job: Any) -> SecretRefused:
    with pytest.raises(SecretRefused) as caught:
        await resolved(source, topic, **job)
    assert VALUE not in str(caught.value)
    return caught.value


async def test_a_variable_a_file_and_a_command_give_their_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_PASSWORD", VALUE)
    file = tmp_path / "db"
    file.write_text(VALUE + "\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    for source in (
        SecretSource(TOPICS, env="DB_PASSWORD"),
        SecretSource(TOPICS, file=str(file)),
        SecretSource(TOPICS, file="$CREDENTIALS_DIRECTORY/db"),
        SecretSource(TOPICS, command=("cat", str(file))),
    ):
        assert await resolved(source) == VALUE.encode()


async def test_a_value_is_read_anew_for_each_run(tmp_path: Path) -> None:
    file = tmp_path / "db"
    for value in (VALUE, VALUE[::-1]):
        file.write_text(value)
        assert await resolved(SecretSource(TOPICS, file=str(file))) == value.encode()


def broken(tmp_path: Path) -> dict[str, SecretSource]:
    short, public, pipe = tmp_path / "short", tmp_path / "public", tmp_path / "pipe"
    short.write_text("12345\n")
    public.write_text(VALUE)
    public.chmod(0o666)
    os.mkfifo(pipe)
    return {
        "no variable": SecretSource(TOPICS, env="HOLDGATE_TEST_NOT_THERE"),
        "no file": SecretSource(TOPICS, file=str(tmp_path / "none")),
        "a pipe": SecretSource(TOPICS, file=str(pipe)),
        "a file that anybody may change": SecretSource(TOPICS, file=str(public)),
        "a value that is too short": SecretSource(TOPICS, file=str(short)),
        "a directory": SecretSource(TOPICS, file=str(tmp_path)),
        "not of systemd": SecretSource(TOPICS, file="$CREDENTIALS_DIRECTORY/db"),
        "no command": SecretSource(TOPICS, command=(str(tmp_path / "none"),)),
        "a command that fails": SecretSource(TOPICS, command=("sh", "-c", f"echo {VALUE}; echo {VALUE} >&2; exit 3")),
        "a command that hangs": SecretSource(TOPICS, command=("sleep", "60"), timeout_s=0.05),
        "a command that does not end to write": SecretSource(TOPICS, command=("yes", VALUE)),
    }


BROKEN = (
    "no variable",
    "no file",
    "a pipe",
    "a file that anybody may change",
    "a value that is too short",
    "a directory",
    "not of systemd",
    "no command",
    "a command that fails",
    "a command that hangs",
    "a command that does not end to write",
)


@pytest.mark.parametrize("kind", BROKEN)
async def test_a_secret_that_cannot_be_had_is_refused_without_its_value(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    refused = await refusal(broken(tmp_path)[kind])
    assert refused.code == "secret_unavailable"
    assert ("longer than may be" in str(refused)) is (kind == "a command that does not end to write")


async def test_a_secret_is_for_its_topics_and_tenants_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", VALUE)
    source = SecretSource(("job.report.*",), ("acme",), env="DB_PASSWORD")
    assert await resolved(source, "job.report.daily", tenant="acme") == VALUE.encode()
    for topic, tenant in (("job.report.daily", "other"), ("job.test.x", "acme")):
        assert (await refusal(source, topic, tenant=tenant)).code == "secret_not_permitted"


async def test_a_name_that_the_worker_does_not_know_is_refused() -> None:
    with pytest.raises(SecretRefused) as caught:
        await SecretSources().resolve(make_job(secrets=("db",)))
    assert caught.value.code == "secret_unavailable"


async def test_nothing_is_read_for_a_job_that_may_not_have_all_of_it(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    sources = {
        "a": SecretSource(TOPICS, command=("touch", str(ran))),
        "b": SecretSource(("job.other",), env="HOME"),
    }
    with pytest.raises(SecretRefused):
        await SecretSources(sources).resolve(make_job("job.test.x", secrets=("a", "b")))
    assert not ran.exists()


def test_a_secret_shows_its_text_only_when_asked() -> None:
    secret = Secret("db", VALUE.encode())
    shown = f"{secret} {secret!r} {secret!s} {[secret]} {secret:}"
    assert VALUE not in shown
    assert secret.reveal() == VALUE
    with pytest.raises(OutputNotJson):
        encode_value({"a": secret})
    for kept in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            kept(secret)


def test_a_job_gives_what_it_asked_for_and_does_not_print_it() -> None:
    job = Job(job_id="j", topic="t", tenant="a", _secrets={"db": Secret("db", VALUE.encode())})
    assert job.secret("db").reveal() == VALUE
    assert VALUE not in repr(job)
    with pytest.raises(SecretNotAsked, match="mail"):
        job.secret("mail")


def written(tmp_path: Path, text: str, mode: int = 0o640) -> Path:
    file = tmp_path / "secrets.yaml"
    file.write_text(text)
    file.chmod(mode)
    return file


async def test_a_file_says_where_secrets_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", VALUE)
    text = json.dumps({"secrets": {"db": {"env": "DB_PASSWORD", "topics": ["job.test.>"], "tenants": ["acme"]}}})
    sources = load_secret_sources(written(tmp_path, text))
    assert sources.variables == {"DB_PASSWORD"}
    found = await sources.resolve(make_job("job.test.x", tenant="acme", secrets=("db",)))
    assert found["db"].reveal() == VALUE


WRONG: list[tuple[str, str]] = [
    ("", "valid dictionary"),
    ("secrets: {db: {env: A}}", "topics"),
    ("secrets: {db: {topics: [a.b]}}", "one of"),
    ("secrets: {db: {env: A, file: /x, topics: [a.b]}}", "one of"),
    ("secrets: {db: {env: A, topics: []}}", "topics"),
    ("secrets: {db: {env: A, topics: ['a..b']}}", "not a topic"),
    ("secrets: {db: {env: A, topics: [a.b], tenants: [UP]}}", "tenants"),
    ("secrets: {DB: {env: A, topics: [a.b]}}", "no name"),
    ("secrets: {db: {file: relative, topics: [a.b]}}", "begins with"),
    ("secrets: {db: {env: A, topics: [a.b], shell: true}}", "shell"),
    ("secrets: {db: {env: A, topics: [a.b]}, db: {env: B, topics: ['>']}}", "twice"),
    ("secrets: {db: {command: [], topics: [a.b]}}", "command"),
    ("secrets: [", "not YAML"),
]


@pytest.mark.parametrize(("text", "why"), WRONG)
def test_a_file_that_is_wrong_is_refused_and_says_where(text: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=why):
        load_secret_sources(written(tmp_path, text))


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_file_that_others_may_change_is_refused(mode: int, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="others may change"):
        load_secret_sources(written(tmp_path, "secrets: {}", mode))
    assert stat.S_IMODE((tmp_path / "secrets.yaml").stat().st_mode) == mode


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        load_secret_sources(tmp_path / "none.yaml")
