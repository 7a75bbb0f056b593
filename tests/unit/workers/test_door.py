"""The one way out of a worker: what was handed out is taken out, in any form and place, or nothing leaves."""

from __future__ import annotations

import base64
import gzip
import io
import json
import logging
import os
import re
import subprocess
import sys
import threading
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from holdgate.kernel.nkeys import Nkey
from holdgate.scan.inspector import OutputInspector
from holdgate.workers import door as door_module
from holdgate.workers.artifacts import RunArtifact
from holdgate.workers.door import OWN_TAG, WITHHELD_LINE, Door
from holdgate.workers.results import RunError, RunOutcome, RunResult
from holdgate.workers.runlog import RunLog, collecting_all, guard, install, install_hooks
from holdgate.workers.secrets import Secret
from holdgate.workers.settings import WorkerSettings
from holdgate.workers.worker import _own_secrets
from support.secrets import Secrets

VALUE = Secrets(8).chars("abcdefghijklmnopqrstuvwxyz0123456789", 24)
PASSWORD = Secrets(9).chars("abcdefghijklmnopqrstuvwxyz0123456789", 32)
RAW = VALUE.encode()
FORMS: dict[str, Callable[[], str]] = {
    "plain": lambda: VALUE,
    "base64": lambda: base64.b64encode(b"user:" + RAW).decode(),
    "hex": lambda: RAW.hex(),
    "percent": lambda: "".join(f"%{byte:02x}" for byte in RAW),
    "escapes": lambda: "".join(f"\\u{byte:04x}" for byte in RAW),
    "base64 in base64": lambda: base64.b64encode(base64.b64encode(b"ab" + RAW)).decode(),
    "gzip in base64": lambda: base64.b64encode(gzip.compress(b"so it is: " + RAW)).decode(),
}


def result(**fields: object) -> RunResult:
    given: dict[str, object] = {"outcome": RunOutcome.SUCCEEDED, "started_ms": 1, "ended_ms": 2, **fields}
    return RunResult(**given)  # type: ignore[arg-type]


def handed() -> dict[str, Secret]:
    return {"db": Secret("db", RAW)}


async def let_out(given: RunResult, own: tuple[bytes, ...] = ()) -> RunResult:
    door = Door(own, os.urandom)
    with door.handing_out(handed()):
        return await door.let_out(given)


@pytest.mark.parametrize("form", FORMS)
async def test_a_secret_in_any_form_is_replaced_and_reported(form: str) -> None:
    text = FORMS[form]()
    error = RunError("ValueError", f"bad: {text}", f"Traceback\n  {text}\n")
    given = result(value=json.dumps({"a": ["x " + text], "b": 1}).encode(), logs=("ok", f"it is {text}"), error=error)
    out = await let_out(given)
    document = json.loads(out.value or b"")
    assert out.error is not None
    everything = [document["a"][0], out.logs[1], out.error.message, out.error.trace]
    assert all(text not in each and "[redacted:platform_secret:" in each for each in everything)
    assert (document["b"], out.logs[0], out.outcome) == (1, "ok", RunOutcome.SUCCEEDED)
    assert out.reported
    assert {(category, severity) for _, category, severity in out.reported} == {("platform_secret", "critical")}


async def test_one_secret_has_one_tag_in_whatever_form_it_is_written() -> None:
    """Who reads what is left sees that it was one value."""
    written = {**{form: encoded() for form, encoded in FORMS.items()}, "whole": base64.b64encode(RAW).decode()}
    out = await let_out(result(value=json.dumps(written).encode()))
    document = json.loads(out.value or b"")
    tags = {re.findall(r"\[redacted:platform_secret:[0-9a-f]+\]", text)[0]: form for form, text in document.items()}
    assert len(tags) == 1, tags


async def test_what_holds_none_leaves_as_it_was() -> None:
    given = result(value=b'{"a":1.0}', logs=("fine",), artifacts=(RunArtifact("a.txt", None, b"fine"),))
    assert await let_out(given) == given


async def test_keys_names_of_files_and_the_word_for_the_end_are_searched_too() -> None:
    out = await let_out(result(value=json.dumps({VALUE: 1}).encode(), artifacts=(RunArtifact(VALUE, None, b"x"),)))
    assert VALUE not in str(out)
    assert out.reported
    assert VALUE not in str(await let_out(result(outcome=RunOutcome.FAILED, code=VALUE)))


async def test_a_line_of_a_key_and_a_value_of_a_file_of_credentials_are_looked_for() -> None:
    pem = Secrets(12).pem()
    line = pem.splitlines()[3]
    token = Secrets(13).chars("abcdefghijklmnopqrstuvwxyz0123456789", 20)
    document = json.dumps({"type": "service_account", "private_key": pem, "more": {"refresh_token": token}})
    given = {"pem": Secret("pem", pem.encode()), "file": Secret("file", document.encode())}
    door = Door((), os.urandom)
    with door.handing_out(given):
        out = await door.let_out(
            result(logs=(f"line: {line}", f"token: {token}", "service_account", pem.splitlines()[0]))
        )
    assert line not in str(out)
    assert token not in str(out)
    assert out.logs[2:] == ("service_account", pem.splitlines()[0])


async def test_a_secret_of_an_earlier_run_is_looked_for() -> None:
    door = Door((), os.urandom)
    with door.handing_out(handed()):
        pass
    assert VALUE not in str(await door.let_out(result(logs=(VALUE,))))


async def test_a_secret_that_is_handed_out_later_is_looked_for_from_then_on() -> None:
    door = Door((PASSWORD.encode(),), os.urandom)
    assert VALUE in str(await door.let_out(result(logs=(VALUE,))))
    with door.handing_out(handed()):
        assert VALUE not in str(await door.let_out(result(logs=(VALUE,))))


async def test_a_run_that_goes_on_keeps_its_secret_looked_for_whatever_others_get(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(door_module, "REMEMBERED_MAX", 2)
    door = Door((), os.urandom)
    with door.handing_out(handed()):
        for number in range(5):
            with door.handing_out({"n": Secret("n", f"another-{number}-{number}".encode())}):
                pass
        out = await door.let_out(result(logs=(VALUE, "another-0-0", "another-4-4")))
    assert VALUE not in str(out)
    assert out.logs[1] == "another-0-0"
    assert "another-4-4" not in str(out)


def zipped(text: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", text)
    return made.getvalue()


async def test_a_text_file_is_redacted_and_one_that_cannot_be_is_left_out() -> None:
    noise = Secrets(3).random.randbytes(500)
    files = (
        RunArtifact("a.txt", "text/plain", f"first\nit is {VALUE}\n".encode()),
        RunArtifact("b.zip", None, zipped(VALUE)),
        RunArtifact("c.bin", None, noise),
        RunArtifact("d.zip", None, zipped("harmless")),
    )
    out = await let_out(result(artifacts=files))
    assert [each.name for each in out.artifacts] == ["a.txt", "d.zip"]
    assert out.artifacts[0].data.startswith(b"first\nit is [redacted:platform_secret:")
    assert VALUE.encode() not in out.artifacts[0].data
    assert {category for _, category, _ in out.reported} == {"platform_secret", "unscannable"}


async def test_when_the_search_fails_nothing_of_the_output_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError(VALUE)

    monkeypatch.setattr(OutputInspector, "inspect", fail)
    files = (RunArtifact("a", None, b"x"),)
    out = await let_out(result(value=b'"harmless"', logs=("harmless",), artifacts=files))
    assert (out.outcome, out.code, out.retryable) == (RunOutcome.FAILED, "output_unscannable", False)
    assert (out.value, out.logs, out.artifacts) == (None, (), ())
    assert VALUE not in str(out)


async def test_a_value_that_is_no_json_does_not_leave() -> None:
    assert (await let_out(result(value=b"{"))).code == "output_unscannable"


async def test_where_a_text_was_cut_its_end_is_left_out() -> None:
    line = ("x" * 3990 + VALUE)[:4000]
    error = RunError("E", "x" * 3990 + VALUE, VALUE + "x" * 15_990)
    out = await let_out(result(logs=(line,), error=error))
    assert out.error is not None
    assert all(VALUE[:8] not in text for text in (*out.logs, out.error.message, out.error.trace))
    assert VALUE[-8:] not in out.error.trace


async def test_a_worker_that_handed_out_nothing_looks_for_its_password_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door((PASSWORD.encode(),), os.urandom)
    parsed = []
    monkeypatch.setattr(OutputInspector, "inspect", lambda *_: parsed.append(1))
    given = result(value=json.dumps({"a": VALUE}).encode(), logs=("fine",))
    assert await door.let_out(given) is given
    assert not parsed


def test_a_worker_that_hands_out_nothing_loads_no_pattern_engine() -> None:
    code = (
        "import asyncio, os, sys, holdgate.workers.demo\n"
        "from holdgate.workers.door import Door\n"
        "from holdgate.workers.results import RunOutcome, RunResult\n"
        "result = RunResult(RunOutcome.SUCCEEDED, 1, 2, value=b'1')\n"
        "assert asyncio.run(Door((b'x' * 20,), os.urandom).let_out(result)) is result\n"
        "print('re2' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


@pytest.mark.parametrize("encode", [str, quote, lambda text: base64.b64encode(text.encode()).decode()])
async def test_the_password_of_the_worker_does_not_leave(encode: Callable[[str], str]) -> None:
    door = Door((PASSWORD.encode(),), os.urandom)
    for given in (
        result(value=json.dumps({"a": encode(PASSWORD)}).encode()),
        result(logs=(encode(PASSWORD),)),
        result(error=RunError("E", encode(PASSWORD))),
        result(artifacts=(RunArtifact("a", None, encode(PASSWORD).encode()),)),
    ):
        out = await door.let_out(given)
        assert encode(PASSWORD) not in str(out)
        assert out.reported


async def test_tags_tell_values_apart_within_a_process_and_mean_nothing_in_another() -> None:
    tags = [str((await let_out(result(logs=(VALUE, f"again {VALUE}")))).logs) for _ in range(2)]
    assert tags[0] != tags[1]
    door = Door((), os.urandom)
    with door.handing_out(handed()):
        first, second = (await door.let_out(result(logs=(VALUE, f"again {VALUE}")))).logs
    assert second == f"again {first}"


def test_lines_of_the_worker_s_own_log_are_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door((PASSWORD.encode(),), os.urandom)
    assert door.line(f"connected with {PASSWORD}") == f"connected with {OWN_TAG}"
    with door.handing_out(handed()):
        assert door.line(f"got {VALUE}, {RAW.hex()} and {PASSWORD}") == f"got {OWN_TAG}, {OWN_TAG} and {OWN_TAG}"
        monkeypatch.setattr(door, "_searched", lambda: None)
        assert door.line("harmless") == WITHHELD_LINE


def test_the_log_of_the_process_passes_the_door(monkeypatch: pytest.MonkeyPatch) -> None:
    root, written = logging.getLogger(), io.StringIO()
    handler = logging.StreamHandler(written)
    monkeypatch.setattr(root, "handlers", [handler])
    for _ in range(2):
        guard(Door((PASSWORD.encode(),), os.urandom).line)
    root.warning("it is %s", PASSWORD)
    assert written.getvalue() == f"it is {OWN_TAG}\n"


def fail_in_a_thread() -> None:
    """As a handler's thread may: no run's context is there."""
    thread = threading.Thread(target=lambda: int(f"not a number: {PASSWORD}"))
    thread.start()
    thread.join()


def test_what_python_writes_by_itself_passes_the_door(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failures of threads and in destructors, and warnings: the interpreter would write them to standard error."""

    class Fails:
        def __del__(self) -> None:
            raise ValueError(PASSWORD)

    root, written = logging.getLogger(), io.StringIO()
    monkeypatch.setattr(root, "handlers", [logging.StreamHandler(written)])
    for module, name in ((threading, "excepthook"), (sys, "unraisablehook"), (warnings, "showwarning")):
        monkeypatch.setattr(module, name, getattr(module, name))
    guard(Door((PASSWORD.encode(),), os.urandom).line)
    install_hooks()
    fail_in_a_thread()
    Fails()
    warnings.showwarning(f"old: {PASSWORD}", UserWarning, "file", 1)
    logging.captureWarnings(capture=False)
    assert written.getvalue().count(OWN_TAG) >= 3
    assert PASSWORD not in written.getvalue()


def test_what_a_thread_logs_in_a_process_of_one_run_is_that_run_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its output is searched; the standard error that it shares with its worker is not."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    install()
    install_hooks()
    logging.captureWarnings(capture=False)
    log = RunLog()
    with collecting_all(log):
        fail_in_a_thread()
    fail_in_a_thread()
    assert len(log.lines()) == 1
    assert PASSWORD in log.lines()[0]


def test_what_a_worker_knows_of_its_own_is_its_password_and_its_nkey(tmp_path: Path) -> None:
    """Each is looked for in whatever leaves it."""
    key = Nkey.generate()
    for name, text in (("nkey", key.seed), ("password", PASSWORD)):
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_text(text + "\n")
    files = {"nats_nkey_file": tmp_path / "nkey", "nats_password_file": tmp_path / "password"}
    own = _own_secrets(WorkerSettings().model_copy(update=files))
    assert set(own) == {key.seed.encode(), PASSWORD.encode()}
    assert key.seed not in Door(own, os.urandom).line(f"the seed is {key.seed}")
