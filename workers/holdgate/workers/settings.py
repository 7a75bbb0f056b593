"""A worker's settings: the one place of this package that reads the environment."""

from __future__ import annotations

import base64
import binascii
import os
import socket
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.filemodes import is_private
from holdgate.kernel.ids import ActorId, Entropy
from holdgate.kernel.login import Login
from holdgate.kernel.nkeys import Nkey
from holdgate.kernel.tls import Plaintext, TlsFiles, is_secure
from holdgate.kernel.tracing import Collector
from holdgate.workers.votes import PinnedApprover

PREFIX = "HOLDGATE_"
SECRET_BYTES_MAX = 64 * 1024


class WorkerSettings(BaseSettings):
    """Read from `HOLDGATE_…` variables; what the command line gives goes first."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True, hide_input_in_errors=True)

    nats_url: str = Field("nats://127.0.0.1:4222", description="NATS servers, comma separated, without a password")
    nats_user: str = Field("", description="user of this process at NATS")
    nats_nkey_file: Path | None = Field(
        None, description="file with its seed (`SU…`), mode 0600; goes before a password"
    )
    nats_password_file: Path | None = Field(None, description="file with its password, mode 0600")
    nats_ca_file: Path | None = Field(
        None, description="authorities of NATS's certificates for `tls://`, PEM; none: those that this machine trusts"
    )
    nats_cert_file: Path | None = Field(None, description="certificate of this process, where NATS asks for one, PEM")
    nats_cert_key_file: Path | None = Field(None, description="its private key, PEM, mode 0600")
    plaintext: Plaintext = Field(
        "loopback",
        description="`loopback`: no connection without TLS leaves this machine; `allow`: any may, with a warning",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level that is logged")
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="`auto`: JSON, but text where standard error is a terminal"
    )
    metrics_listen: str | None = Field(
        None,
        pattern=r"^(\[[0-9a-f:]+\]|[A-Za-z0-9_.-]+):[0-9]{1,5}$",
        description="`host:port` on which this process shows its own metrics; `holdgate up` collects them itself",
    )
    stop_timeout_s: float = Field(8.0, gt=0, le=600, description="how long work under way may take to end at a stop")
    otlp_endpoint: str | None = Field(
        None,
        pattern=r"^https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~/-]*)?$",
        max_length=512,
        description="OpenTelemetry collector that spans go to over OTLP/HTTP; needs `holdgate[tracing]`",
    )
    otlp_headers_file: Path | None = Field(
        None, description="headers that the collector asks for, `Name: value` a line, mode 0600"
    )
    trace_ratio: float = Field(1.0, ge=0, le=1, description="share of traces that is kept, the same ones everywhere")
    kernel_keys_file: Path | None = Field(
        None,
        description='file of the pinned public keys: `{"kernel_keys": [...], "dispatcher_keys": [...], '
        '"approver_keys": [{"actor": ..., "public_key": ...}]}`',
    )
    pool: str = Field("default", pattern="^[a-z0-9][a-z0-9_-]{0,62}$", description="pool to take jobs of")
    worker_name: str = Field(
        default_factory=lambda: socket.gethostname().split(".")[0],
        description="begin of the worker's id; the rest is random, so that no permit outlives a restart",
    )
    worker_concurrency: int = Field(32, ge=1, le=1024, description="jobs that run at once")
    worker_max_runtime_s: float = Field(3600, gt=0, description="longest run where no permit or handler says less")
    accept_fail_open: bool = Field(
        False, description="run jobs handed over without a decision of the kernel, where the signed root allows that"
    )
    worker_signed_votes: int = Field(
        0,
        ge=0,
        le=20,
        description="how many people must have signed the release of a held job with keys that this worker pinned",
    )

    worker_secrets_file: Path | None = Field(
        None,
        description="file that says where the secrets are that jobs may name, and which topics may have each",
    )

    def collector(self) -> Collector | None:
        """Where spans go; InvalidInput when the file of headers is missing or others may read it."""
        if self.otlp_endpoint is None:
            return None
        headers = () if self.otlp_headers_file is None else _read_secret_lines(self.otlp_headers_file)
        return Collector(self.otlp_endpoint, headers, self.trace_ratio, self.plaintext)

    def nats_password(self) -> SecretStr | None:
        """The password, read now; InvalidInput when its file is missing or others may read it."""
        return None if self.nats_password_file is None else _read_secret(self.nats_password_file)

    def nats_seed(self) -> SecretStr | None:
        """The seed of its nkey, read now; InvalidInput as for the password."""
        return None if self.nats_nkey_file is None else _read_secret(self.nats_nkey_file)

    def nats_login(self) -> Login:
        """Who this worker is at NATS, and its TLS; InvalidInput when a file cannot be used."""
        urls = self.nats_url.split(",")
        seed, password = self.nats_seed(), self.nats_password()
        if self.nats_cert_key_file is not None:
            _read_secret(self.nats_cert_key_file)
        files = TlsFiles(self.nats_ca_file, self.nats_cert_file, self.nats_cert_key_file)
        if self.nats_ca_file is not None and not all(map(is_secure, urls)):
            raise InvalidInput("`HOLDGATE_NATS_CA_FILE` is set, and `HOLDGATE_NATS_URL` asks for no TLS: say `tls://`")
        return Login(
            self.nats_user,
            None if password is None else password.get_secret_value(),
            None if seed is None else Nkey.parse(seed.get_secret_value()),
            files.context() if any(map(is_secure, urls)) else None,
            self.plaintext,
        )


@dataclass(frozen=True, slots=True)
class PinnedKeys:
    """32-byte Ed25519 public keys that a worker believes."""

    kernel: tuple[bytes, ...]
    dispatcher: tuple[bytes, ...] = ()
    approvers: tuple[PinnedApprover, ...] = ()


class _ApproverKey(BaseModel):
    model_config = ConfigDict(extra="forbid")

    actor: Annotated[str, Field(min_length=1, max_length=128)]
    public_key: str


class _KeysFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kernel_keys: Annotated[list[str], Field(min_length=1, max_length=64)]
    dispatcher_keys: Annotated[list[str], Field(max_length=64)] = []
    approver_keys: Annotated[list[_ApproverKey], Field(max_length=1000)] = []


def load_keys(path: Path | None) -> PinnedKeys:
    """The keys in the file at `path`, hex or base64; InvalidInput when there are none."""
    if path is None:
        raise InvalidInput("no kernel keys are pinned: set `HOLDGATE_KERNEL_KEYS_FILE` to the file that holds them")
    try:
        listed = _KeysFile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InvalidInput(f"the kernel keys at `{path}` cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise InvalidInput(f"`{path}` is not a list of keys: {error.errors(include_input=False)[0]['msg']}") from error
    return PinnedKeys(
        kernel=tuple(map(_public_key, listed.kernel_keys)),
        dispatcher=tuple(map(_public_key, listed.dispatcher_keys)),
        approvers=tuple(
            PinnedApprover(ActorId(item.actor), _public_key(item.public_key)) for item in listed.approver_keys
        ),
    )


def new_worker_id(name: str, entropy: Entropy = os.urandom) -> str:
    """`name`, the process id and chance, as one NATS token: a new one for each start."""
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in name)[:40] or "worker"
    return f"{safe}-{os.getpid()}-{entropy(4).hex()}"


def notify_socket() -> str | None:
    """Where to say that this process is ready (the protocol of systemd's `sd_notify`); None: nobody asks."""
    return os.environ.get("NOTIFY_SOCKET")  # noqa: TID251  named by systemd, not by us


def child_environment(without: Collection[str] = ()) -> dict[str, str]:
    """The environment of a handler's process: this one without Holdgate's settings, which hold credentials."""
    return {
        name: value
        for name, value in os.environ.items()  # noqa: TID251
        if not name.startswith(PREFIX) and name not in without
    }


def environment_value(name: str) -> bytes | None:
    """A variable that the worker's secrets file names."""
    return os.environb.get(name.encode())


def credentials_directory() -> str | None:
    """Where systemd put the credentials of this unit (systemd.exec, `LoadCredential=`)."""
    return os.environ.get("CREDENTIALS_DIRECTORY")  # noqa: TID251  named by systemd, not by us


def _read_secret(file: Path) -> SecretStr:
    return SecretStr(_read_secret_lines(file)[0].decode("utf-8", "replace"))


def _read_secret_lines(file: Path) -> tuple[bytes, ...]:
    try:
        with file.open("rb") as opened:
            is_shared = not is_private(os.fstat(opened.fileno()), os.geteuid())
            lines = tuple(line.strip() for line in opened.read(SECRET_BYTES_MAX).splitlines() if line.strip())
    except OSError as error:
        raise InvalidInput(f"cannot read `{file}`: {error.strerror}") from error
    if is_shared:
        raise InvalidInput(f"others may read `{file}`; run `chmod 600 {file}`")
    if not lines:
        raise InvalidInput(f"`{file}` is empty")
    return lines


def _public_key(text: str) -> bytes:
    try:
        raw = bytes.fromhex(text) if len(text) == 64 else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error) as error:
        raise InvalidInput("a kernel key is neither hex nor base64") from error
    if len(raw) != 32:
        raise InvalidInput(f"a kernel key has {len(raw)} bytes, not 32")
    return raw
