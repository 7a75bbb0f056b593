"""The file that says where a worker's secrets are and which topics may have them (`HOLDGATE_WORKER_SECRETS_FILE`).

    secrets:
      db-password: {env: DB_PASSWORD, topics: ["job.report.>"]}
      mail: {file: /run/secrets/mail, topics: ["job.mail.*"], tenants: [default]}
      vault: {command: [vault, kv, get, -field=token, deploy], topics: ["job.deploy.*"]}

What always holds: a file that others may change is refused, since it names commands; so is one with an unknown key, a
name that stands twice, or a secret that no topic is named for.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import NAME, SECRET_NAME
from holdgate.kernel.topics import is_pattern
from holdgate.workers.secrets import CREDENTIALS, TIMEOUT_S, SecretSource, SecretSources

CONFIG_BYTES_MAX = 256 * 1024
SOURCES_MAX = 256


def load_secret_sources(path: Path) -> SecretSources:
    """The sources in the file at `path`. InvalidInput says what is wrong with it."""
    try:
        with path.open("rb") as opened:
            _refuse_changeable(opened.fileno(), path)
            data = opened.read(CONFIG_BYTES_MAX + 1)
    except OSError as error:
        raise InvalidInput(f"the secrets file `{path}` cannot be read: {error.strerror}") from error
    if len(data) > CONFIG_BYTES_MAX:
        raise InvalidInput(f"the secrets file `{path}` is larger than {CONFIG_BYTES_MAX} bytes")
    try:
        listed = _SecretsFile.model_validate(yaml.load(data, Loader=_UniqueKeys))  # noqa: S506  derived from a safe one
    except yaml.YAMLError as error:
        raise InvalidInput(f"the secrets file `{path}` is not YAML: {getattr(error, 'problem', '')}") from error
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidInput(f"the secrets file `{path}` is wrong at `{where}`: {first['msg']}") from None
    return SecretSources({name: entry.source() for name, entry in listed.secrets.items()})


def _refuse_changeable(fileno: int, path: Path) -> None:
    """It says which commands are run: nobody but its owner may write it."""
    found = os.fstat(fileno)
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or found.st_uid not in {0, os.geteuid()}:
        raise InvalidInput(f"others may change `{path}`; own it, and run `chmod go-w {path}`")


class _UniqueKeys(yaml.SafeLoader):
    """Refuses a name that stands twice, of which one entry would be dropped in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if len(set(map(str, keys))) != len(keys):
            raise yaml.constructor.ConstructorError(problem="a name stands twice in it")
        return dict(super().construct_mapping(node, deep))


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")] | None = None
    file: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    command: Annotated[list[str], Field(min_length=1, max_length=64)] | None = None
    timeout_s: Annotated[float, Field(gt=0, le=60)] = TIMEOUT_S
    topics: Annotated[list[str], Field(min_length=1, max_length=64)]
    tenants: Annotated[list[str], Field(min_length=1, max_length=64)] | None = None

    @model_validator(mode="after")
    def _check(self) -> _Entry:
        if sum(each is not None for each in (self.env, self.file, self.command)) != 1:
            msg = "one of `env`, `file` and `command` is expected"
            raise ValueError(msg)
        if self.file is not None and not self.file.startswith(("/", CREDENTIALS)):
            msg = f"`file` begins with `/` or `{CREDENTIALS}`"
            raise ValueError(msg)
        for topic in self.topics:
            if not is_pattern(topic):
                msg = f"`{topic[:64]}` is not a topic or a pattern of one"
                raise ValueError(msg)
        if any(NAME.match(tenant) is None for tenant in self.tenants or ()):
            msg = "`tenants` has a name that is no tenant's"
            raise ValueError(msg)
        return self

    def source(self) -> SecretSource:
        return SecretSource(
            topics=tuple(self.topics),
            tenants=tuple(self.tenants or ()),
            env=self.env,
            file=self.file,
            command=tuple(self.command or ()),
            timeout_s=self.timeout_s,
        )


class _SecretsFile(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    secrets: Annotated[dict[str, _Entry], Field(max_length=SOURCES_MAX)]

    @model_validator(mode="after")
    def _check(self) -> _SecretsFile:
        for name in self.secrets:
            if SECRET_NAME.match(name) is None:
                msg = f"`{name[:64]}` is no name: 1 to 63 of a-z, 0-9, `.`, `_` and `-`, a letter or a digit first"
                raise ValueError(msg)
        return self
