"""Settings of each process: the one place of the scheduler that reads the environment.

What always holds: settings are checked once, at start, and never change; secrets come from files that only their owner
can read, so that they show up neither in the process list nor in a dump of the environment; a variable that begins with
`HOLDGATE_` and is none of ours stops the start, because a misspelt setting is one that silently does nothing.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, StringConstraints, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from holdgate.kernel import limits
from holdgate.kernel.filemodes import is_private
from holdgate.kernel.login import Login
from holdgate.kernel.nkeys import Nkey
from holdgate.kernel.tls import Plaintext, TlsFiles, is_secure
from holdgate.kernel.tracing import Collector
from holdgate.scheduler.errors import Misconfigured

PREFIX = "HOLDGATE_"
SECRET_FILE_BYTES_MAX = 64 * 1024
Address = Annotated[str, StringConstraints(pattern=r"^(\[[0-9a-f:]+\]|[A-Za-z0-9_.-]+):[0-9]{1,5}$")]
"""`host:port`; port 0: any free one."""


Url = Annotated[str, StringConstraints(pattern=r"^https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~/-]*)?$", max_length=512)]


def _checked_networks(text: str) -> str:
    for part in text.split(",") if text else []:
        if ipaddress.ip_network(part.strip()).prefixlen == 0:
            raise ValueError("everybody is not a proxy")
    return text


Networks = Annotated[str, StringConstraints(max_length=2048), AfterValidator(_checked_networks)]
"""IP addresses and networks, comma separated."""


class Process(BaseSettings):
    """What every process needs."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", hide_input_in_errors=True)

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
    metrics_listen: Address | None = Field(
        None, description="`host:port` on which this process shows its own metrics; `holdgate up` collects them itself"
    )
    stop_timeout_s: float = Field(8.0, gt=0, le=600, description="how long work under way may take to end at a stop")
    otlp_endpoint: Url | None = Field(
        None, description="OpenTelemetry collector that spans go to over OTLP/HTTP; needs `holdgate[tracing]`"
    )
    otlp_headers_file: Path | None = Field(
        None, description="headers that the collector asks for, `Name: value` a line, mode 0600"
    )
    trace_ratio: float = Field(1.0, ge=0, le=1, description="share of traces that is kept, the same ones everywhere")
    drain_s: float = Field(
        0.0, ge=0, le=600, description="how long to go on after a stop was asked for, while `/readyz` says so already"
    )

    def collector(self) -> Collector | None:
        """Where spans go; Misconfigured when the file of headers is missing or others may read it."""
        if self.otlp_endpoint is None:
            return None
        headers = () if self.otlp_headers_file is None else read_secrets(self.otlp_headers_file)
        return Collector(self.otlp_endpoint, headers, self.trace_ratio, self.plaintext)

    def nats_password(self) -> SecretStr | None:
        """The password, read now; Misconfigured when its file is missing or others may read it."""
        return None if self.nats_password_file is None else read_secret(self.nats_password_file)

    def nats_seed(self) -> SecretStr | None:
        """The seed of its nkey, read now; Misconfigured as for the password."""
        return None if self.nats_nkey_file is None else read_secret(self.nats_nkey_file)

    def nats_login(self) -> Login:
        """Who this process is at NATS, and its TLS; Misconfigured, InvalidInput when a file cannot be used."""
        urls = self.nats_url.split(",")
        seed, password = self.nats_seed(), self.nats_password()
        files = TlsFiles(self.nats_ca_file, self.nats_cert_file, _private(self.nats_cert_key_file))
        if self.nats_ca_file is not None and not all(map(is_secure, urls)):
            raise Misconfigured("`HOLDGATE_NATS_CA_FILE` is set, and `HOLDGATE_NATS_URL` asks for no TLS: say `tls://`")
        return Login(
            self.nats_user,
            None if password is None else password.get_secret_value(),
            None if seed is None else Nkey.parse(seed.get_secret_value()),
            files.context() if any(map(is_secure, urls)) else None,
            self.plaintext,
        )


class Trusting(Process):
    """A process that verifies."""

    root_file: Path = Field(description="the signed trust root")
    root_pins: str = Field(description="fingerprints of root keys, `2/ed25519:…,ed25519:…`: who must have signed it")


class Signing(Process):
    """A process that signs."""

    key_file: Path = Field(description="this process's own Ed25519 key, mode 0600")


class Keeping(Process):
    """Who speaks to Redis, and cares that what is told as kept is kept."""

    redis_url: str = Field(
        "redis://127.0.0.1:6379/0",
        description="Redis, without a password; `redis+sentinel://host:port,host:port/service/0`,"
        " `redis+cluster://host:port,host:port`",
    )
    redis_user: str = Field("", description="user of this process at Redis; none: Redis's own `default`")
    redis_password_file: Path | None = Field(None, description="file with its password, mode 0600")
    redis_sentinel_password_file: Path | None = Field(None, description="file with the sentinels' password, mode 0600")
    redis_ca_file: Path | None = Field(
        None,
        description="authorities of Redis's certificates for `rediss://`, PEM; none: those that this machine trusts",
    )
    redis_cert_file: Path | None = Field(None, description="certificate of this process, where Redis asks for one, PEM")
    redis_key_file: Path | None = Field(None, description="its private key, PEM, mode 0600")
    redis_replicas: int | None = Field(
        None,
        ge=0,
        le=8,
        description="how many replicas of Redis must have a change before anybody is told of it; none: 1 with Sentinel "
        "and for a cluster, or else 0",
    )
    nats_monitor_url: str | None = Field(
        None,
        description="HTTP monitoring of the NATS servers, comma separated, where their durability is checked at start",
    )
    durability: Literal["strict", "relaxed"] = Field(
        "strict",
        description="`strict`: the start is refused unless both servers write to disk before they confirm",
    )

    def redis_password(self) -> SecretStr | None:
        """The password, read now; Misconfigured when its file is missing or others may read it."""
        return None if self.redis_password_file is None else read_secret(self.redis_password_file)

    def monitor_tls(self) -> ssl.SSLContext | None:
        """For the monitoring of NATS over `https:`, which shows the certificate that NATS does."""
        return None if self.nats_ca_file is None else TlsFiles(self.nats_ca_file).context()

    def redis_tls(self) -> ssl.SSLContext | None:
        """For `rediss:`; Misconfigured, InvalidInput when a file cannot be used."""
        files = TlsFiles(self.redis_ca_file, self.redis_cert_file, _private(self.redis_key_file))
        if is_secure(self.redis_url):
            return files.context()
        if self.redis_ca_file is not None:
            raise Misconfigured(
                "`HOLDGATE_REDIS_CA_FILE` is set, and `HOLDGATE_REDIS_URL` asks for no TLS: `rediss://`"
            )
        return None


class Stateful(Trusting, Keeping):
    """A process that uses Redis."""


class Quarantining(Stateful):
    """A process that goes by how long sealed outputs wait."""

    quarantine_keep_s: int = Field(
        limits.QUARANTINE_KEEP_S,
        ge=60,
        le=limits.QUARANTINE_KEEP_S_MAX,
        description="how long a sealed output waits for people to decide; then it is destroyed. The same for both",
    )


class Scanning(Stateful):
    """A process that looks for secrets."""

    known_secrets_file: Path | None = Field(
        None,
        description="secrets of the platform, one a line, mode 0600, or `sha256:…` of those that `holdgate provision`"
        " made: found in any encoding, in jobs and outputs",
    )
    scan_fast: bool = Field(False, description="scan with hyperscan, too, which `pip install 'holdgate[fast]'` brings")


class KernelSettings(Trusting, Signing):
    """`holdgate kernel`."""

    kernel_dir: Path = Field(description="last good bundles and the highest versions seen; must survive a restart")


class Bounding(Stateful):
    """A process that holds tenants to their bounds."""

    tenants_file: Path | None = Field(
        None,
        description="JSON map from names of tenants to their own `weight`, `queue_jobs_max` and `running_max`; read"
        " again when it changes",
    )


class ApiSettings(Bounding, Quarantining, Scanning, Signing):
    """`holdgate api`."""

    api_listen: Address = Field("127.0.0.1:8081", description="`host:port` of the HTTP API")
    api_keys_file: Path = Field(description="who may call: hashes of API keys, mode 0600; read again when it changes")
    body_bytes_max: int = Field(
        limits.BODY_BYTES_DEFAULT, ge=1024, lt=limits.ENVELOPE_BYTES_MAX, description="largest request body"
    )
    queue_jobs_max: int = Field(100_000, ge=1, description="jobs of one tenant that may wait at once")
    queues_jobs_max: int = Field(
        1_000_000,
        ge=1,
        description="jobs of all tenants together that may wait at once, as last counted: the processes of the API may"
        " pass it by what the others accept within a second",
    )
    public_url: Url | None = Field(
        None, description="how people reach the console, such as `https://holdgate.example.com`"
    )
    trusted_proxies: Networks = Field(
        "", description="addresses and networks of proxies whose `X-Forwarded-For` tells the client, comma separated"
    )
    oidc_issuer: Url | None = Field(None, description="OpenID provider that people may sign in by; none: API keys only")
    oidc_client_id: str = Field("", max_length=256, description="how the console is known to the provider")
    oidc_client_secret_file: Path | None = Field(
        None, description="file with its secret there, mode 0600; none for a public client"
    )
    oidc_tenant: str = Field("", description="tenant of all who sign in by the provider; or else the next one")
    oidc_tenant_claim: str = Field("", max_length=128, description="claim that names their tenant")
    oidc_actor_claim: str = Field(
        "email", min_length=1, max_length=128, description="claim that names the person; `email` must be verified"
    )
    oidc_roles_claim: str = Field(
        "roles", min_length=1, max_length=128, description="claim that lists their roles; dots lead into objects"
    )
    oidc_roles_file: Path | None = Field(
        None, description="JSON map from the provider's names of roles to ours; none: the names are ours"
    )
    quarantine_key_file: Path | None = Field(
        None, description="the key that opens quarantined output, mode 0600; without it nothing is released here"
    )


class DispatcherSettings(Bounding, Quarantining, Signing):
    """`holdgate dispatcher`."""

    tenant_running_max: int = Field(1000, ge=1, description="jobs of one tenant that may run at once, in all pools")
    retention_s: int = Field(
        7 * 24 * 3600, ge=60, description="how long ended jobs and their results are kept; denied ones a day at most"
    )
    webhooks_file: Path | None = Field(
        None, description="webhooks that are told of held jobs and what became of them: JSON, mode 0600"
    )


class OutputGateSettings(Scanning):
    """`holdgate output-gate`."""

    fingerprint_key_file: Path = Field(description="key of the fingerprints that findings are named by, mode 0600")
    scan_timeout_s: float = Field(5.0, gt=0, le=60, description="a scan that takes longer leaves the output sealed")
    scan_children: int = Field(2, ge=1, le=64, description="processes that scan large outputs, started when needed")


class AuditorSettings(Stateful, Signing):
    """`holdgate auditor`."""

    audit_dir: Path = Field(description="the archive: segments, seals")
    audit_seal_s: float = Field(60.0, ge=0.1, le=3600, description="a segment is sealed at this age")


class BackupSettings(Stateful):
    """`holdgate backup` and `holdgate restore`, as a user who may do everything at both servers."""

    root_pins: str = ""
    audit_dir: Path | None = None
    kernel_dir: Path | None = None


class SetupSettings(Keeping):
    """`holdgate setup`, run once before the processes, as a NATS user who may create streams and a user of Redis who
    may read how it is configured."""

    replicas: int = Field(1, ge=1, le=5, description="on how many NATS servers the log and the bundles lie")
    nats_file_store: str | None = Field(
        None,
        pattern=r"^[0-9]{1,15}([kKmMgGtT]([iI]?[bB])?)?$",
        description="what each NATS server has for the streams (its `max_file_store`), such as `18GB`, where it is "
        "for nothing else: each stream is bounded to its share",
    )

    def file_store_bytes(self) -> int | None:
        """As the server reads it: `K` is a thousand, `KB` and `KiB` are 1024."""
        if self.nats_file_store is None:
            return None
        number = self.nats_file_store.rstrip("kKmMgGtTiIbB")
        unit = self.nats_file_store[len(number) :].lower()
        power = "kmgt".index(unit[0]) + 1 if unit else 0
        step: int = (1024 if len(unit) > 1 else 1000) ** power
        return int(number) * step


ALL: tuple[type[Process], ...] = (
    KernelSettings,
    ApiSettings,
    DispatcherSettings,
    OutputGateSettings,
    AuditorSettings,
    SetupSettings,
)


_ELSEWHERE = (
    "accept_fail_open api_key api_retry_s api_tenant api_url kernel_keys_file pool worker_concurrency "
    "worker_max_runtime_s worker_name worker_secrets_file worker_signed_votes"
)
"""Read by workers and clients only. By name, so that a kernel need not load either; a test holds it current."""


def known_names() -> frozenset[str]:
    """Every variable that some process reads."""
    own = {name for settings in ALL for name in settings.model_fields}
    return frozenset(f"{PREFIX}{name.upper()}" for name in (*own, *_ELSEWHERE.split()))


def read_secret(file: Path) -> SecretStr:
    """The first line of `file`; Misconfigured when it is missing, empty or readable by others."""
    return SecretStr(read_secrets(file)[0].decode("utf-8", "replace"))


def read_secrets(file: Path) -> tuple[bytes, ...]:
    """The lines of `file` that are not empty, at least one; Misconfigured as for `read_secret`."""
    try:
        with file.open("rb") as opened:
            is_shared = not is_private(os.fstat(opened.fileno()), os.geteuid())
            data = opened.read(SECRET_FILE_BYTES_MAX)
    except OSError as error:
        raise Misconfigured(f"cannot read `{file}`: {error.strerror}") from error
    if is_shared:
        raise Misconfigured(f"others may read `{file}`; run `chmod 600 {file}`")
    lines = tuple(line.strip() for line in data.splitlines() if line.strip())
    if not lines:
        raise Misconfigured(f"`{file}` is empty")
    return lines


def _private(file: Path | None) -> Path | None:
    """`file`, which its owner alone can read."""
    if file is not None:
        read_secrets(file)
    return file


def refuse_unknown() -> None:
    """Misconfigured when the environment holds a `HOLDGATE_` variable that no process reads."""
    known = known_names()
    unknown = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)  # noqa: TID251
    if unknown:
        raise Misconfigured(f"no such setting: {', '.join(f'`{name}`' for name in unknown)}; see `holdgate settings`")


def notify_socket() -> str | None:
    """Where to say that this process is ready (the protocol of systemd's `sd_notify`); None: nobody asks."""
    return os.environ.get("NOTIFY_SOCKET")  # noqa: TID251  named by systemd, not by us


class _Links(BaseSettings):
    """What a command that is no process reads of the same settings."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", hide_input_in_errors=True)

    plaintext: Plaintext = "loopback"


def plaintext() -> Plaintext:
    """Where a command's connections may go without TLS; Misconfigured where the setting is neither."""
    try:
        return _Links().plaintext
    except ValidationError as error:
        raise Misconfigured("`HOLDGATE_PLAINTEXT` is `loopback` or `allow`") from error


def child_environment(settings: dict[str, str], *, metrics_dir: Path, notify: str) -> dict[str, str]:
    """The environment of a child process: ours without any `HOLDGATE_` variable, and `settings` with the prefix."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}  # noqa: TID251
    named = {f"{PREFIX}{name.upper()}": value for name, value in settings.items()}
    return {**inherited, **named, "PROMETHEUS_MULTIPROC_DIR": str(metrics_dir), "NOTIFY_SOCKET": notify}
