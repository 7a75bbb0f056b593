"""Files of sealed outputs: exported from the API, opened where the key is, brought back for a release.

What always holds: a file with something in the open is its owner's only, and never takes the place of another; what
was opened is what was exported, by its digest, and what the output gate committed to; names of a worker's files are
made plain before anything is called by them.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nacl.public import PrivateKey

from holdgate.kernel.canonical import digest_bytes, parse_json
from holdgate.kernel.errors import InvalidInput, MalformedJson
from holdgate.scan.output import Output
from holdgate.scheduler.gates.sealing import commitment_of, content_of, open_box

FILE_BYTES_MAX = 256 * 1024 * 1024
NAME_CHARS_MAX = 80
OPENED = "opened.json"
REPLACEMENT = "replacement.json"
_PLAIN = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Opened:
    """A box that was opened. `data`: its bytes, which a release takes."""

    job_id: str
    attempt: int
    digest: str
    commitment: str | None
    data: bytes
    output: Output


def read_object(file: Path) -> dict[str, Any]:
    """The JSON object in `file`; InvalidInput where it holds none."""
    try:
        with file.open("rb") as opened:
            data = opened.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise InvalidInput(f"`{file}`: {(error.strerror or str(error)).lower()}") from error
    if len(data) > FILE_BYTES_MAX:
        raise InvalidInput(f"`{file}` is larger than {FILE_BYTES_MAX} bytes")
    value = parse_json(data)
    if not isinstance(value, dict):
        raise InvalidInput(f"`{file}` holds no JSON object")
    return value


def open_export(file: Path, key: PrivateKey) -> Opened:
    """What is in the box that was exported to `file`. InvalidInput where it is no export; Forged where it is not what
    was sealed, or sealed to another key."""
    export = read_object(file)
    sealed, digest, commitment = _bytes(export, "sealed", file), export.get("digest"), export.get("commitment")
    if digest_bytes(sealed) != digest:
        raise InvalidInput(f"`{file}` was altered: its bytes are not those of its digest; export it again")
    opened = open_box(sealed, key)
    if commitment is not None and commitment_of(opened) != commitment:
        raise InvalidInput(f"`{file}` was altered: what is in it is not what was committed to; export it again")
    content = content_of(opened)
    try:
        if (content["job_id"], content["attempt"]) != (export["job_id"], export["attempt"]):
            raise InvalidInput(f"`{file}` holds the output of `{content['job_id']}`, not of the job that it names")
        output = Output.from_dict(content["output"])
        return Opened(str(content["job_id"]), int(content["attempt"]), str(digest), commitment, opened, output)
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"`{file}` opens to nothing that was sealed here") from error


def opened_text(file: Path, job_id: str, digest: str | None) -> str:
    """Base64 of the opened box in `file` (or in the directory of that name), as a release takes it. InvalidInput where
    it is of another output than the one that is shown."""
    document = read_object(file / OPENED if file.is_dir() else file)
    if document.get("job_id") != job_id or document.get("digest") != digest:
        raise InvalidInput(f"`{file}` was opened from another output than the one of `{job_id}` that is sealed now")
    _bytes(document, "opened", file)
    return str(document["opened"])


def write_opened(opened: Opened, directory: Path) -> list[Path]:
    """All of it in a new directory, each file its owner's only; the files. InvalidInput where it is there already."""
    try:
        directory.mkdir(mode=0o700)
        (directory / "artifacts").mkdir(mode=0o700)
        return [write_new(directory / name, data) for name, data in _files(opened).items()]
    except FileExistsError as error:
        raise InvalidInput(f"`{directory}` is there already; name a new directory") from error
    except OSError as error:
        raise InvalidInput(f"`{directory}`: {(error.strerror or str(error)).lower()}") from error


def write_new(file: Path, data: bytes) -> Path:
    """A file that was not there before, mode 0600, written to its end. FileExistsError, OSError."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(data)
    return file


def replacement_of(output: Output) -> dict[str, Any]:
    """What people may take the secret out of and propose instead; without the worker's files, which cannot be edited
    like this."""
    made: dict[str, Any] = {} if output.value is None else {"value": _value(output.value)}
    made["logs"] = list(output.logs)
    made["error"] = None if output.error is None else dict(output.error)
    return made


def _value(data: bytes) -> Any:
    """It may be sealed for being no JSON at all."""
    try:
        return parse_json(data)
    except MalformedJson:
        return data.decode("utf-8", "replace")


def _files(opened: Opened) -> dict[str, bytes]:
    output = opened.output
    head = {"job_id": opened.job_id, "attempt": opened.attempt, "digest": opened.digest}
    files = {
        OPENED: _json({**head, "commitment": opened.commitment, "opened": base64.b64encode(opened.data).decode()}),
        REPLACEMENT: _json(replacement_of(output)),
    }
    if output.value is not None:
        files["value.json"] = output.value
    if output.logs:
        files["logs.txt"] = "".join(f"{line}\n" for line in output.logs).encode("utf-8", "surrogatepass")
    if output.error is not None:
        files["error.json"] = _json(dict(output.error))
    for number, artifact in enumerate(output.artifacts, 1):
        files[f"artifacts/{number:02}-{plain_name(artifact.name)}"] = artifact.data
    return files


def plain_name(name: str) -> str:
    """A name of a worker's as a part of a name of ours: no folders, nothing hidden, nothing that a shell reads."""
    return _PLAIN.sub("_", name).lstrip("._-")[-NAME_CHARS_MAX:] or "file"


def _bytes(document: Mapping[str, Any], name: str, file: Path) -> bytes:
    try:
        return base64.b64decode(document[name], validate=True)
    except (KeyError, TypeError, binascii.Error, ValueError) as error:
        raise InvalidInput(f"`{file}` is not such a file: `{name}` is missing or no base64") from error


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=2, ensure_ascii=False).encode()  # noqa: TID251  a file for people; never hashed
